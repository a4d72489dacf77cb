import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import TerminalError
from tidegate.evidence.profile import (
    LEVEL_LIMIT,
    RARE_LIMIT,
    SPECIAL_BINS,
    Category,
    Number,
    Profile,
    make_profile,
)

FLOATS = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0]), st.none()), min_size=1
)
LABELS = st.lists(st.one_of(st.text(max_size=2), st.none(), st.booleans()), min_size=1)


def one_number(values: Any) -> Number:
    found = make_profile({"x": values}, {"x": "number"}, values, "regression", {}).features[0]
    assert isinstance(found, Number)
    return found


def one_category(values: Any) -> Category:
    found = make_profile({"x": values}, {"x": "category"}, values, "classification", {}).features[0]
    assert isinstance(found, Category)
    return found


@given(values=FLOATS)
def test_the_reference_of_a_number_is_its_own_encoding(values: list[float | None]) -> None:
    feature = one_number(values)
    assert tuple(feature.encode(values).tolist()) == feature.counts
    assert sum(feature.counts) == len(values)
    assert list(feature.edges) == sorted(set(feature.edges))
    assert sum(feature.counts[-SPECIAL_BINS + 1 :]) == 0, "nothing of the reference is outside"
    if any(v is not None for v in values):
        assert all(feature.counts[:-SPECIAL_BINS]), "no bin of the reference is empty"


@given(values=LABELS)
def test_the_reference_of_a_category_is_its_own_encoding(values: list[Any]) -> None:
    feature = one_category(values)
    assert tuple(feature.encode(values).tolist()) == feature.counts
    assert sum(feature.counts) == len(values)
    assert sum(feature.counts[-SPECIAL_BINS + 1 :]) == 0


@given(numbers=FLOATS)
def test_a_profile_survives_json(numbers: list[float | None]) -> None:
    profile = make_profile(
        {"n": numbers, "c": [str(v) for v in numbers]},
        {"n": "number", "c": "category"},
        numbers,
        "regression",
        {"r2": 0.5},
    )
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


def test_a_smooth_number_gets_ten_equal_bins() -> None:
    feature = one_number(np.random.default_rng(1).normal(size=10_000))
    assert feature.counts[:-SPECIAL_BINS] == (1000,) * 10


def test_a_common_value_gets_a_bin_of_its_own() -> None:
    values = np.concatenate([np.zeros(400), np.linspace(1, 2, 600)])
    feature = one_number(values)
    assert feature.counts[0] == 400
    assert len(feature.edges) == 6
    mixed = one_number(np.concatenate([np.linspace(-1, 1, 1001), np.full(200, 0.25)]))
    assert 201 in mixed.counts


def test_a_constant_is_one_bin_and_everything_else_is_outside() -> None:
    feature = one_number([3.0] * 100)
    assert feature.counts == (100, 0, 0, 0)
    assert feature.encode([3, 2, 4]).tolist() == [1, 0, 2, 0]


def test_a_column_without_numbers_still_has_bins() -> None:
    assert one_number([None, None]).counts == (0, 2, 0, 0)


def test_rare_levels_are_pooled_and_known() -> None:
    values = ["a"] * 600 + ["b"] * 398 + ["x", "y"]
    feature = one_category(values)
    assert (feature.levels, feature.rare) == (("a", "b"), ("x", "y"))
    assert feature.counts == (600, 398, 2, 0, 0, 0)


def test_a_column_of_identifiers_stays_small() -> None:
    feature = one_category([str(n) for n in range(5000)])
    assert len(feature.levels) <= LEVEL_LIMIT
    assert len(feature.rare) == RARE_LIMIT
    assert sum(feature.counts) == 5000


def test_shares_and_absent_columns() -> None:
    profile = make_profile(
        {"n": [1.0, 2.0], "c": ["a", None]},
        {"n": "number", "c": "category"},
        ["yes", "no"],
        "classification",
        {},
    )
    assert [s.sum() for s in profile.shares()] == [1.0, 1.0]
    encoded = profile.encode({"n": [1.0, 1.0, 9.0], "other": [0, 0, 0]})
    assert [c.sum() for c in encoded] == [3, 3]
    assert encoded[1][-SPECIAL_BINS] == 3
    assert profile.predictions.counts == {"yes": 1, "no": 1}


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"version": 2},
        {"task": "ranking"},
        {"features": [{"name": "x", "kind": "number"}]},
        {"features": [{"name": "x", "kind": "text", "counts": []}]},
        {"features": [{"name": "x", "kind": "category", "levels": [], "rare": [], "counts": [1]}]},
        {"predictions": {"kind": "tokens", "counts": {}}},
    ],
)
def test_what_is_no_profile_is_refused(broken: dict[str, Any]) -> None:
    whole = make_profile({}, {}, ["a"], "classification", {}).to_json()
    data = {**whole, **broken} if broken else {}
    with pytest.raises(TerminalError) as caught:
        Profile.from_json(data)
    assert caught.value.reason == "InvalidProfile"
