"""Many metrics, one verdict."""

from typing import Literal

from tidegate.api.v1alpha1.analysis import Metric
from tidegate.api.v1alpha1.model_status import MetricStatus
from tidegate.rollout.verdict import Verdict, summarize

ERRORS = Metric(
    name="errors", source="ErrorRate", max_absolute_increase="0.01", on_breach="Rollback"
)
SHIFT = Metric(name="shift", source="PredictionShift", max_distance="0.1", on_breach="Hold")
LABELS = Metric(
    name="accuracy", source="LabelledAccuracy", max_absolute_drop="0.02", on_breach="Rollback"
)


def said(name: str, verdict: Literal["Pass", "Fail", "Inconclusive"]) -> MetricStatus:
    return MetricStatus(name=name, verdict=verdict)


def test_passes_only_when_every_metric_passes() -> None:
    both = (said("errors", "Pass"), said("accuracy", "Pass"))
    assert summarize((ERRORS, LABELS), both).verdict is Verdict.PASS
    one = (said("errors", "Pass"), said("accuracy", "Inconclusive"))
    summary = summarize((ERRORS, LABELS), one)
    assert (summary.verdict, summary.waiting_for) == (Verdict.INCONCLUSIVE, ("accuracy",))


def test_a_failure_to_roll_back_on_wins_over_one_to_hold_on() -> None:
    summary = summarize((SHIFT, ERRORS), (said("shift", "Fail"), said("errors", "Fail")))
    assert summary.rollback
    assert summary.breached is not None
    assert summary.breached.name == "errors"


def test_diverging_predictions_hold_while_labels_are_pending() -> None:
    summary = summarize((SHIFT, LABELS), (said("shift", "Fail"), said("accuracy", "Inconclusive")))
    assert (summary.verdict, summary.rollback) == (Verdict.FAIL, False)


def test_labels_that_pass_overrule_diverging_predictions() -> None:
    summary = summarize((SHIFT, LABELS), (said("shift", "Fail"), said("accuracy", "Pass")))
    assert summary.verdict is Verdict.PASS


def test_labels_do_not_overrule_errors() -> None:
    summary = summarize((ERRORS, LABELS), (said("errors", "Fail"), said("accuracy", "Pass")))
    assert summary.rollback
