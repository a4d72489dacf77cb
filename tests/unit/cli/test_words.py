"""What a rollout lacks, and what a decision is worth, in words."""

import pytest

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.api.v1alpha1.model_status import MetricStatus
from tidegate.cli.words import guarantee, missing, remaining

ERRORS = Metric(
    name="errors", source="ErrorRate", max_absolute_increase="0.005", on_breach="Rollback"
)


def seen(metric: Metric, **changes: object) -> MetricStatus:
    status = MetricStatus(
        name=metric.name,
        source=metric.source,
        verdict="Fail",
        samples=812,
        stable_samples=7340,
        events=31,
        stable_events=4,
    )
    return status.model_copy(update=changes)


def test_what_is_missing_follows_from_the_evidence_so_far() -> None:
    analysis = Analysis(beta="0.05", min_samples=300)
    half = seen(ERRORS, verdict="Inconclusive", samples=500, safety=f"{20**0.5:.6g}")
    assert remaining(half, analysis) == pytest.approx(500, rel=1e-3)
    assert missing(half, analysis, 10.0) == (
        "about 500 more samples of the candidate are needed, in some 50 s at this traffic."
    )


def test_min_samples_are_waited_for_however_clear_it_is() -> None:
    clear = seen(ERRORS, verdict="Inconclusive", samples=100, safety="1000")
    assert remaining(clear, Analysis(min_samples=300)) == 200


@pytest.mark.parametrize("safety", ["", "1", "0.2"])
def test_no_trend_gives_no_number(safety: str) -> None:
    result = seen(ERRORS, verdict="Inconclusive", samples=100, safety=safety)
    assert remaining(result, Analysis()) is None
    assert "does not point to a Pass" in missing(result, Analysis(), None)


def test_silence_asks_for_traffic() -> None:
    assert "does traffic" in missing(seen(ERRORS, samples=0), Analysis(), None)


def test_a_metric_without_values_asks_for_its_query() -> None:
    silent = MetricStatus(
        name="conversion", source="Prometheus", verdict="Inconclusive", windows=0, missing=3
    )
    assert "does the query give one number" in missing(silent, Analysis(), None)


def test_the_guarantee_is_that_of_the_decision() -> None:
    analysis = Analysis(alpha="0.01", beta="0.05")
    assert "fewer than 1 of 100" in guarantee("RollBack", "MetricBreached", analysis)
    assert "at most 1 of 20" in guarantee("Advance", "AnalysisPassed", analysis)
    assert guarantee("Start", "CandidateReady", analysis) == ""
