"""What a decision is worth and what a rollout still lacks, in plain words. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.api.v1alpha1.model_status import MetricStatus
from tidegate.rollout.attribution import Cause
from tidegate.rollout.words import count, told

READINGS: Mapping[str, str] = {
    Cause.BAD_CANDIDATE: "the candidate is worse than stable on the same kind of requests",
    Cause.DIFFERENT_CANDIDATE: "the candidate answers differently; nothing says that it is worse",
    Cause.ROUTING_SKEW: "both versions get different inputs, so their answers can't be compared",
    Cause.BROKEN_DATA: "features have lost their values before they came to the model",
    Cause.CONCEPT_DRIFT: "quality has fallen while the inputs stand still: the truth has changed",
    Cause.DECAY: "quality has fallen, and the inputs are no longer those of the training",
    Cause.SHARED_DRIFT: "the inputs have moved for every version alike",
}


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
    if not result.samples and result.windows is not None:
        return "no window has values of both yet: does the query give one number for each revision?"
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
        yield f"{result.name}: {result.verdict}. {told(result, metrics.get(result.name))}"
