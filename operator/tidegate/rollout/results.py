"""What the evidence of each metric comes to: harm, safety, or neither yet."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.api.v1alpha1.model_status import MetricStatus
from tidegate.rollout.trackers import AnyTracker, ValueTracker, capped, tolerance_in_words
from tidegate.rollout.verdict import PROXIES, Verdict
from tidegate.statistics.combine import combine


def breach(
    metrics: Sequence[Metric],
    trackers: Mapping[str, AnyTracker],
    analysis: Analysis,
) -> str | None:
    """The metric to roll back on, once the mean e-value of all such metrics reaches 1/alpha.

    Proxies that labels have overruled are left out: they would not roll back.
    """
    overruled = any(
        m.source == "LabelledAccuracy" and passes(trackers[m.name], analysis) for m in metrics
    )
    evidence = {
        m.name: trackers[m.name].test.log_e_worse()
        for m in metrics
        if m.on_breach == "Rollback" and not (overruled and m.source in PROXIES)
    }
    if not evidence:
        return None
    # What is overruled keeps its weight and has no evidence: weights that depended on what was
    # seen would make the mean no e-value.
    silenced = sum(m.on_breach == "Rollback" for m in metrics) - len(evidence)
    each = [*evidence.values(), *[-math.inf] * silenced]
    together = combine(each, [1.0] * len(each))
    if together < -math.log(float(analysis.alpha)):
        return None
    return max(evidence, key=lambda name: evidence[name])


def passes(tracker: AnyTracker, analysis: Analysis) -> bool:
    """Whether a metric has shown that the candidate is within its tolerance."""
    enough = tracker.samples >= analysis.min_samples
    return enough and tracker.test.log_e_good() >= -math.log(float(analysis.beta))


def result(
    metric: Metric,
    tracker: AnyTracker,
    analysis: Analysis,
    *,
    breached: bool,
) -> MetricStatus:
    """What is shown of a metric; `breached`: the rollout is rolled back on it."""
    alpha = float(analysis.alpha)
    holds = metric.on_breach == "Hold" and tracker.test.log_e_worse() >= -math.log(alpha)
    if breached or holds:
        verdict = Verdict.FAIL
    elif passes(tracker, analysis):
        verdict = Verdict.PASS
    else:
        verdict = Verdict.INCONCLUSIVE
    shown = tracker.estimate(alpha)
    return MetricStatus(
        name=metric.name,
        source=metric.source,
        verdict=verdict.value,
        estimate=_text(shown.value),
        lower=_text(shown.lower),
        upper=_text(shown.upper),
        tolerance=tolerance_in_words(metric),
        samples=tracker.samples,
        stable_samples=tracker.stable_samples,
        **_values(tracker),
        events=tracker.events[0] if tracker.events else None,
        stable_events=tracker.events[1] if tracker.events else None,
        evidence=capped(tracker.test.log_e_worse()),
        safety=capped(tracker.test.log_e_good()),
    )


def _values(tracker: AnyTracker) -> dict[str, Any]:
    """What only metrics of Prometheus have."""
    if not isinstance(tracker, ValueTracker):
        return {}
    candidate, stable = tracker.test.means() or (None, None)
    return {
        "value": _text(candidate),
        "stable_value": _text(stable),
        "windows": tracker.test.pairs,
        "missing": tracker.missing,
    }


def _text(value: float | None) -> str | None:
    return None if value is None or not math.isfinite(value) else f"{value:.4g}"
