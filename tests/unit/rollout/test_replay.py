"""Replay: a decision of the operator, taken again from the windows, is the same bit for bit."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rollout.test_analysis import ANALYSIS, ARMS, World, simulate

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.api.v1alpha1.model_status import DecisionStatus
from tidegate.errors import TerminalError
from tidegate.evidence.windows import Counts, Labels
from tidegate.rollout.analysis import Evidence, Weighed, start, weigh
from tidegate.rollout.replay import replay

AFTER = 1000


def decided(weighed: Weighed) -> DecisionStatus:
    """The record as it comes back from the API server."""
    written = DecisionStatus(
        id="d-0001",
        at="2026-11-21T12:00:00Z",
        action="Advance",
        revision=ARMS.candidate,
        reason="AnalysisPassed",
        metrics=weighed.results,
        evidence=weighed.evidence,
    )
    return DecisionStatus.model_validate(written.to_api())


def looks(analysis: Analysis, whole: Evidence, ends: list[tuple[int, int]]) -> Weighed:
    """The analysis after looks at which the windows and labels up to these slots were known."""
    cursor, weighed = start(analysis, AFTER), None
    for windows, labels in ends:
        seen = Evidence(whole.windows, whole.labels, AFTER + windows, AFTER + labels)
        weighed = weigh(analysis, cursor, ARMS, seen)
        cursor = weighed.cursor
    assert weighed is not None
    return weighed


def rising(draw: st.DrawFn, count: int) -> list[int]:
    return sorted(draw(st.lists(st.integers(0, 12), min_size=count, max_size=count)))


@st.composite
def paths(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Windows and labels become known at their own paces."""
    count = draw(st.integers(1, 6))
    return list(zip(rising(draw, count), rising(draw, count), strict=True))


WORLDS = st.sampled_from(
    [
        World(),
        World(errors=(0.03, 0.004)),
        World(wrong=(0.16, 0.06)),
        World(errors=(0.02, 0.004), wrong=(0.14, 0.06), slower=1.2),
        World(positive=(0.7, 0.4)),
    ]
)


@settings(max_examples=30, deadline=None)
@given(WORLDS, paths(), st.integers(0, 3))
def test_whatever_the_looks_were_the_replay_is_the_same(
    world: World, ends: list[tuple[int, int]], seed: int
) -> None:
    whole = simulate(world, 12, seed, first=AFTER + 1)
    weighed = looks(ANALYSIS, whole, ends)
    # What came later, and what was open then, changes nothing.
    again = replay(decided(weighed), ANALYSIS, whole)
    assert again.same_evidence
    assert again.results == weighed.results
    assert again.differences == ()


def test_a_metric_that_was_edited_in_mid_rollout_is_replayed_from_there() -> None:
    whole = simulate(World(), 12, 3, first=AFTER + 1)
    early = Evidence(whole.windows, whole.labels, AFTER + 5, AFTER + 3)
    edited = ANALYSIS.model_copy(
        update={
            "metrics": (
                Metric(
                    name="errors",
                    source="ErrorRate",
                    max_absolute_increase="0.02",
                    on_breach="Rollback",
                ),
                *(ANALYSIS.metrics or ())[1:],
            )
        }
    )
    cursor = weigh(ANALYSIS, start(ANALYSIS, AFTER), ARMS, early).cursor
    weighed = weigh(edited, cursor, ARMS, whole)
    again = replay(decided(weighed), edited, whole)
    assert again.same_evidence
    assert again.results == weighed.results


@pytest.mark.parametrize("slot", [AFTER + 1, AFTER + 6, AFTER + 10])
def test_one_changed_count_is_found(slot: int) -> None:
    whole = simulate(World(), 12, 5, first=AFTER + 1)
    record = decided(looks(ANALYSIS, whole, [(10, 10)]))
    key = next(k for k in whole.windows if k.slot == slot)
    one_more = {**whole.windows, key: whole.windows[key] + Counts(requests=1)}
    assert not replay(record, ANALYSIS, replace(whole, windows=one_more)).same_evidence
    label = next(k for k in whole.labels if k.slot == slot)
    relabelled = {**whole.labels, label: whole.labels[label] + Labels(1, 0)}
    assert not replay(record, ANALYSIS, replace(whole, labels=relabelled)).same_evidence


def test_missing_windows_are_told_from_a_wrong_verdict() -> None:
    whole = simulate(World(), 12, 6, first=AFTER + 1)
    record = decided(looks(ANALYSIS, whole, [(12, 12)]))
    assert not replay(record, ANALYSIS, Evidence({}, {}, None, None)).same_evidence


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("verdict", "Fail", id="another verdict"),
        pytest.param("samples", 1, id="another count"),
        pytest.param("estimate", "0.5", id="another estimate"),
        pytest.param("tolerance", "+0.2", id="another tolerance"),
    ],
)
def test_a_record_that_was_tampered_with_differs(field: str, value: Any) -> None:
    whole = simulate(World(), 12, 7, first=AFTER + 1)
    record = decided(looks(ANALYSIS, whole, [(12, 12)]))
    forged = record.metrics[0].model_copy(update={field: value})
    record = record.model_copy(update={"metrics": (forged, *record.metrics[1:])})
    found = replay(record, ANALYSIS, whole).differences
    assert [(d.metric, d.field) for d in found] == [("errors", field)]


def test_the_last_digit_may_be_rounded_otherwise() -> None:
    whole = simulate(World(), 12, 7, first=AFTER + 1)
    record = decided(looks(ANALYSIS, whole, [(12, 12)]))
    upper = float(record.metrics[0].upper or "nan")
    rounded = record.metrics[0].model_copy(update={"upper": f"{upper * 1.0005:.4g}"})
    record = record.model_copy(update={"metrics": (rounded, *record.metrics[1:])})
    assert replay(record, ANALYSIS, whole).differences == ()


def test_another_spec_is_refused_and_said() -> None:
    whole = simulate(World(), 12, 8, first=AFTER + 1)
    record = decided(looks(ANALYSIS, whole, [(12, 12)]))
    other = ANALYSIS.model_copy(update={"alpha": "0.05"})
    with pytest.raises(TerminalError, match=r"another spec\.delivery\.analysis"):
        replay(record, other, whole)


def test_a_decision_without_evidence_has_nothing_to_replay() -> None:
    record = DecisionStatus(id="d-0001", at="", action="Start", revision="m-new", reason="x")
    with pytest.raises(TerminalError, match="rests on no evidence"):
        replay(record, ANALYSIS, Evidence({}, {}, None, None))
