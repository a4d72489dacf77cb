"""Recordings: parts overlap, come back from JSON, and are read as one."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.evidence.test_windows import COUNTS, KEYS, LABELS

from tidegate.api.v1alpha1.model import Model
from tidegate.evidence.profile import make_profile
from tidegate.evidence.recording import Recording, joined
from tidegate.evidence.values import ValueKey
from tidegate.evidence.windows import BlockKey, Counts, Labels

PROFILE = make_profile(
    {"age": [1.0, 2.0, 3.0]}, {"age": "number"}, ["a", "b", "a"], "classification", {}
)
MODEL = Model.model_validate(
    {"metadata": {"name": "churn"}, "spec": {"artifact": {"fromTraining": {}}}}
)
PARTS = st.builds(
    Recording,
    namespace=st.just("growth"),
    model=st.just("churn"),
    closed_through=st.none() | st.integers(0, 9),
    labels_closed_through=st.none() | st.integers(0, 9),
    windows=st.dictionaries(KEYS, COUNTS, max_size=3),
    labels=st.dictionaries(KEYS, LABELS, max_size=3),
    values=st.dictionaries(
        st.builds(ValueKey, st.integers(0, 9), st.just("q"), st.just("r1")),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        max_size=3,
    ),
    values_closed_through=st.none() | st.integers(0, 9),
    profiles=st.sampled_from([{}, {"r1": PROFILE}]),
    snapshots=st.sampled_from([(), (MODEL,)]),
)


@given(PARTS)
def test_a_part_survives_json(part: Recording) -> None:
    assert Recording.from_json(json.loads(json.dumps(part.to_json()))) == part


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_joining_loses_no_block(parts: list[Recording]) -> None:
    whole = joined(parts)
    assert whole.windows.keys() == {k for p in parts for k in p.windows}
    assert whole.labels.keys() == {k for p in parts for k in p.labels}
    assert whole.values.keys() == {k for p in parts for k in p.values}
    assert whole.closed_through in [p.closed_through for p in parts]


def test_of_two_parts_the_later_one_is_right() -> None:
    key = BlockKey(7, 1, "r1")
    early = Recording("growth", "churn", 8, 2, {key: Counts(requests=5)}, {key: Labels(1, 0)})
    later = replace(early, closed_through=90, labels={key: Labels(3, 2, ((4, 2, 1),))})
    assert joined([later, early]).labels == {key: Labels(3, 2, ((4, 2, 1),))}
    assert joined([later, early]).slots == (7, 7)


def test_a_part_of_an_older_version_knows_no_values_and_no_ranks() -> None:
    older = Recording("growth", "churn").to_json()
    del older["values"], older["valuesClosedThrough"], older["ranked"]
    assert Recording.from_json(older) == Recording("growth", "churn")


def test_models_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="2 Models"):
        joined([Recording("growth", "churn"), Recording("growth", "fraud")])


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="version 9"):
        Recording.from_json({**Recording("growth", "churn").to_json(), "version": 9})
