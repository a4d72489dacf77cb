"""Evidence in plain words: what was counted, what follows, what is still missing. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from tidegate.api.v1alpha1.model import Analysis, Metric, MetricStatus
from tidegate.rollout.attribution import Cause
from tidegate.rollout.verdict import PAIRED

EVENTS = {"ErrorRate": "errors", "LabelledAccuracy": "wrong answers"}
READINGS: Mapping[str, str] = {
    Cause.BAD_CANDIDATE: "the candidate is worse than stable on the same kind of requests",
    Cause.DIFFERENT_CANDIDATE: "the candidate answers differently; nothing says that it is worse",
    Cause.ROUTING_SKEW: "both versions get different inputs, so their answers can't be compared",
    Cause.BROKEN_DATA: "features have lost their values before they came to the model",
    Cause.CONCEPT_DRIFT: "quality has fallen while the inputs stand still: the truth has changed",
    Cause.DECAY: "quality has fallen, and the inputs are no longer those of the training",
    Cause.SHARED_DRIFT: "the inputs have moved for every version alike",
}
UNITS = {"ErrorRate": "requests", "LabelledAccuracy": "labelled answers"}


def count(number: float) -> str:
    """A number of things.

    >>> count(7340)
    '7,340'
    """
    return f"{number:,.0f}"


def roughly(number: float) -> str:
    """Two digits of a number: what an extrapolation is worth.

    >>> roughly(1234), roughly(8.4), roughly(0.2)
    ('1,200', '9', '1')
    """
    if number < 10:
        return str(max(1, math.ceil(number)))
    scale = 10 ** (math.floor(math.log10(number)) - 1)
    return f"{round(number / scale) * scale:,}"


def span(length: timedelta) -> str:
    """A length of time, in the unit that fits it.

    >>> span(timedelta(seconds=40)), span(timedelta(minutes=12)), span(timedelta(hours=30))
    ('40 s', '12 min', '30 h')
    """
    seconds = length.total_seconds()
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    if seconds < 100 * 60:
        return f"{math.ceil(seconds / 60)} min"
    return f"{math.ceil(seconds / 3600)} h" if seconds < 100 * 3600 else f"{seconds / 86400:.0f} d"


def one_in(probability: float) -> str:
    """A probability as people count it.

    >>> one_in(0.01), one_in(0.05)
    ('1 of 100', '1 of 20')
    """
    return f"1 of {1 / probability:.0f}"


def counted(result: MetricStatus, metric: Metric | None) -> str:
    """What was seen of both arms, as one sentence."""
    seen, stable = result.samples, result.stable_samples
    if not seen:
        return "nothing of the candidate could be compared yet."
    if result.source == PAIRED:
        return f"{count(seen)} requests were answered by both revisions."
    if result.events is None or result.stable_events is None:
        return f"{count(seen)} answers against {count(stable)} of stable in the same minutes."
    if result.source == "LatencyQuantile":
        quantile = (
            f"p{float(metric.quantile) * 100:g}" if metric and metric.quantile else "quantile"
        )
        return (
            f"{count(result.events)} of {count(seen)} requests were slower than stable's "
            f"{quantile} {result.tolerance}, and {count(result.stable_events)} of {count(stable)} "
            f"on stable were slower than that {quantile}."
        )
    what, of = EVENTS.get(result.source, "events"), UNITS.get(result.source, "samples")
    return (
        f"{count(result.events)} {what} in {count(seen)} {of} ({_percent(result.events, seen)}) "
        f"against {count(result.stable_events)} in {count(stable)} "
        f"({_percent(result.stable_events, stable)}) on stable in the same minutes."
    )


def compared(result: MetricStatus, metric: Metric | None) -> str:
    """How the candidate differs, and what is tolerated; empty where nothing is known."""
    if result.estimate is None:
        return ""
    relative = metric is not None and metric.max_relative_increase is not None
    match result.source:
        case "ErrorRate" if not relative:
            return _points(result, "The candidate fails", "more", "less", "often")
        case "ErrorRate":
            tolerance = 1 + float(metric.max_relative_increase or 0) if metric else 1.0
            return (
                f"The candidate's error rate is {_times(result)} stable's, tolerance {tolerance:g}."
            )
        case "LatencyQuantile":
            return f"At that quantile it is {_slower(result)}; tolerance {result.tolerance}."
        case "LabelledAccuracy":
            return _points(result, "Its accuracy is", "higher", "lower", "")
        case "PairedDisagreement":
            low, high = (_percent(float(b or 0), 1) for b in (result.lower, result.upper))
            return (
                f"They disagree on {_percent(float(result.estimate), 1)} of them ({low} to {high}),"
                f" tolerance {_percent(float(result.tolerance), 1)}."
            )
        case _:
            return f"The difference is {result.estimate}, tolerance {result.tolerance}."


def remaining(result: MetricStatus, analysis: Analysis) -> float | None:
    """About how many more samples of the candidate a Pass takes; None if it is not in sight.

    The logarithm of the evidence of safety grows in proportion to the samples.
    """
    short = max(0, analysis.min_samples - result.samples)
    if result.verdict == "Pass":
        return 0.0
    evidence = math.log(float(result.safety)) if result.safety else 0.0
    needed = -math.log(float(analysis.beta))
    if evidence < needed / 50:  # no trend yet, or the wrong one
        return None
    return max(float(short), result.samples * (needed / evidence - 1))


def missing(result: MetricStatus, analysis: Analysis, samples_per_second: float | None) -> str:
    """What a metric without a verdict waits for."""
    if not result.samples:
        return "it has no samples yet: does traffic, or feedback, come in?"
    more = remaining(result, analysis)
    if more is None:
        at_least = analysis.min_samples - result.samples
        floor = f" At least {count(at_least)} more samples are asked for." if at_least > 0 else ""
        return f"the evidence does not point to a Pass so far.{floor}"
    when = ""
    if samples_per_second:
        when = f", in some {span(timedelta(seconds=more / samples_per_second))} at this traffic"
    return f"about {roughly(more)} more samples of the candidate are needed{when}."


def guarantee(action: str, reason: str, analysis: Analysis) -> str:
    """How often a decision of this kind is wrong."""
    if action == "RollBack" and reason == "MetricBreached":
        often = one_in(float(analysis.alpha))
        return f"A good candidate is rolled back like this in fewer than {often} rollouts."
    if reason == "AnalysisPassed":
        often = one_in(float(analysis.beta))
        return f"A metric passes a candidate that is worse than its tolerance in at most {often}."
    return ""


def by_name(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """The metrics of a spec, to be found by the name in a result."""
    return {m.name: m for m in metrics}


def paragraphs(results: Sequence[MetricStatus], metrics: dict[str, Metric]) -> Iterator[str]:
    """A line for each metric: verdict, counts, difference."""
    for result in results:
        metric = metrics.get(result.name)
        told = [counted(result, metric), compared(result, metric)]
        yield f"{result.name}: {result.verdict}. {' '.join(filter(None, told))}"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3g} %" if whole else "-"


def _times(result: MetricStatus) -> str:
    if result.lower is None or result.upper is None:
        return f"about {1 + float(result.estimate or 0):.2g} times"
    low, high = (1 + float(b) for b in (result.lower, result.upper))
    return f"{low:.3g} to {high:.3g} times"


def _slower(result: MetricStatus) -> str:
    def change(text: str) -> str:
        return f"{abs(float(text)):.0%} {'slower' if float(text) >= 0 else 'faster'}"

    about = f"about {change(result.estimate or '0')}"
    if result.lower is None or result.upper is None:
        return about
    return f"{about} (between {change(result.lower)} and {change(result.upper)})"


def _points(result: MetricStatus, subject: str, up: str, down: str, rest: str) -> str:
    """A difference of rates, as percentage points."""
    tolerance = f"tolerance {100 * abs(float(result.tolerance or 0)):g}"
    if result.lower is None or result.upper is None:
        low = high = 100 * float(result.estimate or 0)
        between = f"about {abs(low):.2g}"
    else:
        low, high = sorted(100 * float(b) for b in (result.lower, result.upper))
        between = f"{low:.2g} to {high:.2g}"
    if low >= 0:
        direction = up
    elif high <= 0:
        direction = down
        between = f"{-high:.2g} to {-low:.2g}" if result.lower is not None else between
    else:
        direction = f"{up} (negative: {down})"
    words = f"{subject} {between} percentage points {direction}"
    return f"{words}{' ' + rest if rest else ''}; {tolerance}."
