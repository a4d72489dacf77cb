"""Evidence in plain words: what was counted on both sides, and what follows."""

from tidegate.api.v1alpha1.analysis import Metric
from tidegate.api.v1alpha1.model_status import MetricStatus
from tidegate.rollout.verdict import PAIRED

EVENTS = {"ErrorRate": "errors", "LabelledAccuracy": "wrong answers"}
UNITS = {"ErrorRate": "requests", "LabelledAccuracy": "labelled answers"}


def told(result: MetricStatus, metric: Metric | None = None) -> str:
    """A result with its numbers; with `metric` the quantile has its name."""
    return " ".join(filter(None, [counted(result, metric), compared(result)]))


def count(number: float) -> str:
    """A number of things.

    >>> count(7340)
    '7,340'
    """
    return f"{number:,.0f}"


def counted(result: MetricStatus, metric: Metric | None = None) -> str:
    """What was seen of both arms, as one sentence."""
    seen, stable = result.samples, result.stable_samples
    if result.windows is not None:
        return _valued(result)
    if not seen:
        return "Nothing of the candidate could be compared yet."
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


def compared(result: MetricStatus) -> str:
    """How the candidate differs, and what is tolerated; empty where nothing is known."""
    if result.estimate is None:
        return ""
    match result.source:
        case "ErrorRate" if not result.tolerance.endswith("%"):
            return _points(result, "The candidate fails", "more", "less", "often")
        case "ErrorRate":
            tolerance = f"tolerance {1 + _tolerated(result) / 100:g}"
            return f"The candidate's error rate is {_times(result)} stable's, {tolerance}."
        case "LatencyQuantile":
            return f"At that quantile it is {_slower(result)}; tolerance {result.tolerance}."
        case "LabelledAccuracy":
            return _points(result, "Its accuracy is", "higher", "lower", "")
        case "PairedDisagreement":
            low, high = (_percent(float(b or 0), 1) for b in (result.lower, result.upper))
            return (
                f"They disagree on {_percent(float(result.estimate), 1)} of them ({low} to {high}),"
                f" tolerance {_percent(_tolerated(result), 1)}."
            )
        case "Prometheus":
            return f"The candidate's mean is {_changed(result)}; tolerance {result.tolerance}."
        case _:
            return f"The difference is {result.estimate}, tolerance {result.tolerance}."


def _valued(result: MetricStatus) -> str:
    """The means of what Prometheus said, and of how many windows."""
    lacking = f" {count(result.missing)} windows had no value." if result.missing else ""
    if not result.windows:
        return f"No window could be compared yet.{lacking}"
    return (
        f"{result.value} against {result.stable_value} on stable, the means of "
        f"{count(result.windows)} windows with {count(result.samples)} and "
        f"{count(result.stable_samples)} requests.{lacking}"
    )


def _changed(result: MetricStatus) -> str:
    """By how much a mean is higher or lower, as a share or in its own unit."""
    as_share = result.tolerance.endswith("%")

    def amount(change: float) -> str:
        return f"{abs(change):.3g}" if not as_share else f"{100 * abs(change):.3g} %"

    if result.lower is None or result.upper is None:
        change = float(result.estimate or 0)
        return f"about {amount(change)} {'higher' if change >= 0 else 'lower'}"
    low, high = float(result.lower), float(result.upper)
    if low >= 0:
        return f"{amount(low)} to {amount(high)} higher"
    if high <= 0:
        return f"{amount(high)} to {amount(low)} lower"
    return f"between {amount(low)} lower and {amount(high)} higher"


def _tolerated(result: MetricStatus) -> float:
    """The number of a tolerance such as +0.005, +25% or -0.02; 0 where an old object has none."""
    number = result.tolerance.strip("+-%")
    return float(number) if number.replace(".", "", 1).isdecimal() else 0.0


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
    tolerance = f"tolerance {100 * _tolerated(result):g}"
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
