"""A metric of Prometheus in the analysis: values in, a verdict out, whenever they come."""

import json
import zlib
from base64 import b64decode, b64encode
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rollout.test_analysis import ARMS, result
from tests.unit.rollout.test_replay import decided

from tidegate.api.v1alpha1.analysis import Analysis, Metric, Range
from tidegate.errors import TerminalError
from tidegate.evidence.values import ValueKey, question_of
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.analysis import Evidence, Weighed, start, weigh
from tidegate.rollout.replay import replay
from tidegate.rollout.trackers import tracker_of

CONVERSION = Metric(
    name="conversion",
    source="Prometheus",
    query="conv({{revision}}[{{window}}])",
    window="20s",
    range=Range(min="0", max="0.4"),
    max_relative_drop="0.2",
    on_breach="Rollback",
)
ERRORS = Metric(
    name="errors", source="ErrorRate", max_absolute_increase="0.02", on_breach="Rollback"
)
ANALYSIS = Analysis(metrics=(CONVERSION, ERRORS))
AFTER = 1000


def metric(**changes: object) -> Analysis:
    """The analysis with another question about the conversion."""
    changed = Metric.model_validate(CONVERSION.to_api() | changes)
    return ANALYSIS.model_copy(update={"metrics": (changed, ERRORS)})


def world(
    candidate: float = 0.2, stable: float = 0.2, *, slots: int = 80, analysis: Analysis = ANALYSIS
) -> Evidence:
    """Both arms under the same waves; all is closed."""
    rng = np.random.default_rng(3)
    windows: dict[BlockKey, Counts] = {}
    values: dict[ValueKey, float | None] = {}
    question = question_of((analysis.metrics or ())[0])
    assert question is not None
    for slot in range(AFTER + 1, AFTER + slots + 1):
        windows[BlockKey(slot, 7, ARMS.candidate)] = Counts(requests=20)
        windows[BlockKey(slot, 7, ARMS.stable)] = Counts(requests=180)
        if (slot + 1) % question.slots == 0:
            wave = 0.05 * np.sin(slot / 20)
            for revision, level in ((ARMS.candidate, candidate), (ARMS.stable, stable)):
                noise = rng.normal(0, 0.01)
                values[ValueKey(slot, question.id, revision)] = float(level + wave + noise)
    end = AFTER + slots
    return Evidence(windows, {}, end, end, values=values, values_closed_through=end)


def once(evidence: Evidence, analysis: Analysis = ANALYSIS) -> Weighed:
    return weigh(analysis, start(analysis, AFTER), ARMS, evidence)


def test_a_candidate_like_stable_passes_on_requests_that_were_compared() -> None:
    seen = result(once(world()), "conversion")
    assert seen.verdict == "Pass"
    assert (seen.windows, seen.missing) == (39, 0)
    assert (seen.samples, seen.stable_samples) == (39 * 40, 39 * 360)
    assert (seen.tolerance, seen.events) == ("-20%", None)
    assert float(seen.value or "") == pytest.approx(float(seen.stable_value or ""), abs=0.01)


def test_a_worse_candidate_is_rolled_back_with_an_interval_in_the_users_unit() -> None:
    seen = result(once(world(candidate=0.08, slots=120)), "conversion")
    assert seen.verdict == "Fail"
    assert seen.estimate is not None
    assert seen.lower is not None
    assert seen.upper is not None
    assert float(seen.lower) <= float(seen.estimate) <= float(seen.upper) < -0.2


def test_a_metric_to_hold_on_fails_by_itself() -> None:
    analysis = metric(onBreach="Hold")
    seen = once(world(candidate=0.08, slots=120, analysis=analysis), analysis)
    assert result(seen, "conversion").verdict == "Fail"


@pytest.mark.parametrize(
    ("changes", "candidate", "verdict"),
    [
        ({"maxAbsoluteDrop": "0.05", "maxRelativeDrop": None}, 0.05, "Fail"),
        ({"maxAbsoluteIncrease": "0.05", "maxRelativeDrop": None}, 0.38, "Fail"),
        ({"maxRelativeIncrease": "0.2", "maxRelativeDrop": None}, 0.38, "Fail"),
        ({"maxAbsoluteIncrease": "0.05", "maxRelativeDrop": None}, 0.2, "Pass"),
    ],
)
def test_every_kind_of_tolerance(
    changes: dict[str, object], candidate: float, verdict: str
) -> None:
    analysis = metric(**changes)
    assert result(once(world(candidate, slots=160), analysis), "conversion").verdict == verdict


def test_what_has_no_value_is_counted_and_is_no_evidence() -> None:
    evidence = world(candidate=0.02)
    silent: dict[ValueKey, float | None] = {
        k: None if k.revision == ARMS.candidate else v for k, v in evidence.values.items()
    }
    for values in (silent, {}):
        seen = result(once(replace(evidence, values=values)), "conversion")
        assert (seen.verdict, seen.windows, seen.missing) == ("Inconclusive", 0, 39)
        assert (seen.samples, seen.estimate, seen.value) == (0, None, None)


def test_without_any_answer_the_other_metrics_go_on() -> None:
    seen = once(replace(world(slots=200), values={}, values_closed_through=None))
    assert result(seen, "conversion").verdict == "Inconclusive"
    assert result(seen, "conversion").missing == 0
    assert result(seen, "errors").verdict == "Pass"


def test_values_wait_until_the_requests_of_their_window_are_known() -> None:
    evidence = world()
    early = once(replace(evidence, closed_through=AFTER + 20))
    assert result(early, "conversion").windows == 9
    late = weigh(ANALYSIS, early.cursor, ARMS, evidence)
    assert late == once(evidence)


def test_few_requests_do_not_pass() -> None:
    analysis = ANALYSIS.model_copy(update={"min_samples": 5000})
    assert result(once(world(), analysis), "conversion").verdict == "Inconclusive"


def test_sessions_divide_the_evidence() -> None:
    sticky = ANALYSIS.model_copy(update={"max_requests_per_session": 8})
    assert result(once(world(), sticky), "conversion").verdict == "Inconclusive"


ends = st.integers(0, 80)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(ends, ends), min_size=1, max_size=6), st.sampled_from([0.2, 0.14, 0.08]))
def test_whatever_the_looks_and_restarts_were_no_window_is_lost_or_counted_twice(
    looks: list[tuple[int, int]], candidate: float
) -> None:
    """Each look has only the cursor of the one before; what was known may be unknown again."""
    whole = world(candidate)
    cursor = start(ANALYSIS, AFTER)
    for windows, values in looks:
        known = {k: v for k, v in whole.values.items() if k.slot <= AFTER + values}
        seen = replace(
            whole,
            closed_through=AFTER + windows,
            labels_closed_through=None,
            values=known,
            values_closed_through=AFTER + values,
        )
        cursor = weigh(ANALYSIS, cursor, ARMS, seen).cursor
    last = weigh(ANALYSIS, cursor, ARMS, whole)
    assert last.results == once(whole).results
    again = replay(decided(last), ANALYSIS, whole)
    assert again.same_evidence
    assert again.results == last.results
    assert again.differences == ()


@pytest.mark.parametrize("change", [0.123, None])
def test_one_changed_value_is_found(change: float | None) -> None:
    evidence = world()
    record = decided(once(evidence))
    key = sorted(evidence.values)[7]
    other = replace(evidence, values={**evidence.values, key: change})
    assert not replay(record, ANALYSIS, other).same_evidence


def test_a_question_that_was_edited_begins_with_the_windows_that_begin_then() -> None:
    evidence = world(candidate=0.08)
    early = replace(evidence, closed_through=AFTER + 9, values_closed_through=AFTER + 9)
    cursor = once(early).cursor
    edited = metric(maxRelativeDrop="0.3")
    later = weigh(edited, cursor, ARMS, evidence)
    assert result(later, "conversion").windows == 35
    again = replay(decided(later), edited, evidence)
    assert again.same_evidence
    assert again.results == later.results


def test_a_question_that_is_asked_only_now_begins_now() -> None:
    """Windows that were there to be seen before somebody chose the question are no evidence."""
    errors_only = ANALYSIS.model_copy(update={"metrics": (ERRORS,)})
    evidence = world(candidate=0.08)
    early = replace(evidence, closed_through=AFTER + 40, values_closed_through=None)
    later = weigh(ANALYSIS, once(early, errors_only).cursor, ARMS, evidence)
    assert result(later, "conversion").windows == 19
    again = replay(decided(later), ANALYSIS, evidence)
    assert again.same_evidence
    assert again.results == later.results


def test_what_the_answer_leads_to_is_no_part_of_the_question() -> None:
    cursor = once(world()).cursor
    later = weigh(metric(onBreach="Hold"), cursor, ARMS, world())
    assert result(later, "conversion").windows == 39


def test_a_cursor_of_an_older_version_goes_on() -> None:
    analysis = ANALYSIS.model_copy(update={"metrics": (ERRORS,)})
    evidence = world()
    cursor = once(replace(evidence, closed_through=AFTER + 40), analysis).cursor
    data = json.loads(zlib.decompress(b64decode(cursor)))
    del data["values"]
    del data["valued"]
    older = b64encode(zlib.compress(json.dumps(data).encode())).decode()
    assert weigh(analysis, older, ARMS, evidence).results == once(evidence, analysis).results
    record = decided(weigh(analysis, older, ARMS, evidence))
    assert replay(record, analysis, evidence).same_evidence
    assert record.evidence is not None
    assert record.evidence.values_through is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"query": None}, id="no query"),
        pytest.param({"range": None}, id="no range"),
        pytest.param({"range": {"min": "1", "max": "0"}}, id="an empty range"),
        pytest.param({"maxRelativeDrop": None}, id="no tolerance"),
    ],
)
def test_a_question_that_the_server_let_through_by_mistake_is_refused_by_name(
    changes: dict[str, object],
) -> None:
    with pytest.raises(TerminalError, match=r"analysis\.metrics, conversion"):
        tracker_of((metric(**changes).metrics or ())[0])
