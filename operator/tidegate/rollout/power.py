"""Power: how long a rollout's metrics will take, by simulation with the operator's own decisions.

Traffic like the present one, or copies of it, is drawn slot by slot; the candidate differs in one
metric by a given multiple of its tolerance. The trackers that the operator uses weigh it, and the
same looks end it. The seed is part of the question: the same question has the same answer.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.evidence.latency import BINS, BINS_PER_DOUBLING
from tidegate.evidence.paired import Pair
from tidegate.evidence.values import Compared, question_of
from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.rollout.analysis import metrics_of
from tidegate.rollout.results import breach, passes
from tidegate.rollout.trackers import (
    AnyTracker,
    CountTracker,
    LabelTracker,
    ValueTracker,
    tracker_of,
)
from tidegate.statistics.distance import jensen_shannon
from tidegate.statistics.floats import Floats

RUNS = 30
MOST_SLOTS = 8640  # a day
# Slots are folded together as time goes by, one more every so many: three per cent is near enough.
COARSE = 30
FEWEST = 5.0  # requests of the candidate that are worth a fold

Fold = Callable[[AnyTracker, int], None]
"""Gives a tracker the evidence of so many slots."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a Model answers in a slot, on average."""

    requests: float
    error_rate: float = 0.0
    latency: Mapping[int, float] = field(default_factory=dict)
    """Shares of requests by latency bin."""
    predictions: Mapping[str, float] = field(default_factory=dict)
    """Shares of rows by prediction."""
    labels: float = 0.0
    """Labels that come back, for each request."""
    wrong_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """How many slots the runs took, infinity where one did not end in time."""

    slots: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """The slots within which this share of the runs was done."""
        ordered = sorted(self.slots)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    @property
    def done(self) -> float:
        """The share of runs that were done in time."""
        return sum(math.isfinite(s) for s in self.slots) / len(self.slots)


def traffic_of(
    windows: Mapping[BlockKey, Counts],
    labels: Mapping[BlockKey, Labels],
    revision: str,
    slots: Iterable[int],
) -> Traffic:
    """The average of a Model's requests over the slots, answered as the revision answers them."""
    span = set(slots)
    everything = [c for k, c in windows.items() if k.slot in span]
    mine = sum(
        (c for k, c in windows.items() if k.slot in span and k.revision == revision), Counts()
    )
    # Labels come later than answers: only slots that have some say how many there will be.
    labelled = [k for k in labels if k.revision == revision and k in windows and k.slot in span]
    told = sum((labels[k] for k in labelled), Labels())
    answered = sum(windows[k].requests for k in labelled)
    latency, rows = sum(mine.latency.values()), sum(mine.predictions.values())
    return Traffic(
        requests=sum(c.requests for c in everything) / max(1, len(span)),
        error_rate=mine.failed / mine.requests if mine.requests else 0.0,
        latency={int(k): n / latency for k, n in mine.latency.items()} if latency else {},
        predictions={k: n / rows for k, n in mine.predictions.items()} if rows else {},
        labels=told.labelled / answered if answered else 0.0,
        wrong_rate=told.wrong / told.labelled if told.labelled else 0.0,
    )


def measurable(metric: Metric, traffic: Traffic) -> str:
    """What a metric lacks in this traffic; empty if it lacks nothing."""
    match metric.source:
        case "ErrorRate":
            return ""
        case "LatencyQuantile":
            return "" if traffic.latency else "no latencies are known"
        case "PredictionShift":
            return "" if traffic.predictions else "no predictions are known"
        case "LabelledAccuracy":
            return "" if traffic.labels else "no labels come back"
        case "PairedDisagreement":
            return "only copies of requests can tell how often revisions disagree"
        case "Prometheus":
            return "how its values scatter is known to Prometheus alone"


def time_to_pass(
    analysis: Analysis, traffic: Traffic, share: float, *, seed: int = 1
) -> dict[str, Forecast]:
    """For each metric that can be measured: how long a candidate as good as stable takes."""
    return {
        m.name: _forecast(
            analysis,
            m,
            traffic.requests * share,
            _routed(m, traffic, traffic, share, seed),
            rollback=False,
        )
        for m in metrics_of(analysis)
        if not measurable(m, traffic)
    }


def soonest_pass(analysis: Analysis, metric: Metric) -> float:
    """The slots within which no candidate can pass by a metric of Prometheus, however good it is.

    The evidence of a window is limited by the tolerance's part of the range: what is simulated is
    a metric that never changes, at its best level. Infinity where a day is too short.
    """
    tracker, question = tracker_of(metric, analysis.max_requests_per_session), question_of(metric)
    if not isinstance(tracker, ValueTracker) or question is None:
        return 0.0
    best = tracker.test.high
    for window in range(1, MOST_SLOTS // question.slots + 1):
        tracker.fold(Compared(best, best, analysis.min_samples, analysis.min_samples))
        if passes(tracker, analysis):
            return float(window * question.slots)
    return math.inf


def time_to_detect(
    analysis: Analysis,
    metric: Metric,
    traffic: Traffic,
    share: float,
    size: float,
    *,
    seed: int = 1,
) -> Forecast:
    """How long it takes to find a candidate that is worse by `size` tolerances of the metric."""
    fold = _routed(metric, traffic, harmed(metric, traffic, size), share, seed)
    return _forecast(analysis, metric, traffic.requests * share, fold, rollback=True)


def time_of_copies(
    analysis: Analysis, metric: Metric, copies: float, size: float, *, seed: int = 1
) -> Forecast:
    """How long a shadow step takes, with so many copies a slot, until PairedDisagreement decides.

    The candidate answers `size` times as many of them differently as is tolerated: until its Pass
    if that is below 1, until the rollback otherwise.
    """
    rng, rate = np.random.default_rng(seed), min(1.0, size * float(metric.max_rate or 0))

    def fold(tracker: AnyTracker, slots: int) -> None:
        if isinstance(tracker, CountTracker):
            pairs = int(rng.poisson(copies * slots))
            differed = int(rng.binomial(pairs, rate))
            counted: dict[str, int] = {Pair.AGREED: pairs - differed, Pair.DIFFERED: differed}
            tracker.fold(Counts(pairs=counted), Counts())

    return _forecast(analysis, metric, copies, fold, rollback=size > 1)


def harmed(metric: Metric, traffic: Traffic, size: float) -> Traffic:
    """The traffic of a candidate that differs in one metric by `size` times its tolerance."""
    match metric.source:
        case "ErrorRate" if metric.max_absolute_increase is not None:
            more = size * float(metric.max_absolute_increase)
            return replace(traffic, error_rate=min(1.0, traffic.error_rate + more))
        case "ErrorRate":
            ratio = 1 + size * float(metric.max_relative_increase or 0)
            return replace(traffic, error_rate=min(1.0, traffic.error_rate * ratio))
        case "LatencyQuantile":
            ratio = 1 + size * float(metric.max_relative_increase or 0)
            return replace(traffic, latency=_slower(traffic.latency, ratio))
        case "PredictionShift":
            distance = size * float(metric.max_distance or 0)
            return replace(traffic, predictions=_shifted(traffic.predictions, distance))
        case "LabelledAccuracy":
            more = size * float(metric.max_absolute_drop or 0)
            return replace(traffic, wrong_rate=min(1.0, traffic.wrong_rate + more))
        case "PairedDisagreement" | "Prometheus":
            return traffic  # no traffic tells of it


def _forecast(
    analysis: Analysis, metric: Metric, requests: float, fold: Fold, *, rollback: bool
) -> Forecast:
    """Runs of one metric, until the rollback or the Pass; the others show neither harm nor good.

    The other metrics' e-values count as 1 in the mean that rolls back: all is well with them.
    `requests` of the candidate, or copies, come in a slot.
    """
    runs = (_run(analysis, metric, requests, fold, rollback=rollback) for _ in range(RUNS))
    return Forecast(tuple(runs))


def _run(
    analysis: Analysis, metric: Metric, requests: float, fold: Fold, *, rollback: bool
) -> float:
    """The slots until the rollback or the Pass."""
    trackers = {
        m.name: tracker_of(m, analysis.max_requests_per_session) for m in metrics_of(analysis)
    }
    slot, fewest = 0, math.ceil(FEWEST / max(requests, FEWEST / MOST_SLOTS))
    while slot < MOST_SLOTS:
        together = max(fewest, 1 + slot // COARSE)
        slot += together
        fold(trackers[metric.name], together)
        if _ended(analysis, metric, trackers, rollback=rollback):
            return float(slot)
    return math.inf


def _routed(metric: Metric, stable: Traffic, candidate: Traffic, share: float, seed: int) -> Fold:
    """Requests of both arms, of which the candidate gets a share."""
    rng = np.random.default_rng(seed)

    def fold(tracker: AnyTracker, slots: int) -> None:
        mean = stable.requests * slots
        n1, n0 = int(rng.poisson(mean * share)), int(rng.poisson(mean * (1 - share)))
        if isinstance(tracker, LabelTracker):
            tracker.fold(_labels(candidate, n1, rng), _labels(stable, n0, rng))
        elif isinstance(tracker, CountTracker):
            tracker.fold(_counts(metric, candidate, n1, rng), _counts(metric, stable, n0, rng))

    return fold


def _ended(
    analysis: Analysis,
    metric: Metric,
    trackers: Mapping[str, AnyTracker],
    *,
    rollback: bool,
) -> bool:
    if not rollback:
        return passes(trackers[metric.name], analysis)
    if metric.on_breach == "Rollback":
        return breach(metrics_of(analysis), trackers, analysis) is not None
    # A metric to hold on has no part in the mean: it fails by itself.
    return trackers[metric.name].test.log_e_worse() >= -math.log(float(analysis.alpha))


def _counts(metric: Metric, traffic: Traffic, requests: int, rng: np.random.Generator) -> Counts:
    """A block; only what the metric reads is drawn."""
    match metric.source:
        case "ErrorRate":
            failed = int(rng.binomial(requests, traffic.error_rate))
            return Counts(requests=requests, errors={"5xx": failed} if failed else {})
        case "LatencyQuantile":
            drawn = _drawn({str(b): p for b, p in traffic.latency.items()}, requests, rng)
            return Counts(requests=requests, latency=drawn)
        case _:
            drawn = _drawn(traffic.predictions, requests, rng)
            return Counts(requests=requests, rows=requests, predictions=drawn)


def _labels(traffic: Traffic, requests: int, rng: np.random.Generator) -> Labels:
    labelled = int(rng.binomial(requests, min(1.0, traffic.labels)))
    return Labels(labelled, int(rng.binomial(labelled, traffic.wrong_rate)))


def _drawn(shares: Mapping[str, float], n: int, rng: np.random.Generator) -> dict[str, int]:
    keys = sorted(shares)
    counts = rng.multinomial(n, [shares[k] for k in keys])
    return {k: int(c) for k, c in zip(keys, counts, strict=True) if c}


def _slower(latency: Mapping[int, float], ratio: float) -> dict[int, float]:
    """Every latency times a ratio; what falls between two bins is divided among them."""
    moved = BINS_PER_DOUBLING * math.log2(ratio)
    whole, part = math.floor(moved), moved - math.floor(moved)
    slower = np.zeros(BINS)
    for index, share in latency.items():
        slower[min(index + whole, BINS - 1)] += share * (1 - part)
        slower[min(index + whole + 1, BINS - 1)] += share * part
    return {int(b): float(slower[b] / slower.sum()) for b in np.flatnonzero(slower)}


def _shifted(predictions: Mapping[str, float], distance: float) -> dict[str, float]:
    """Predictions at a Jensen-Shannon distance: mass moves to the rarest of them, or to new ones.

    As far as that goes: where even all mass is nearer, all of it moves.
    """
    keys = [*sorted(predictions, key=lambda k: (-predictions[k], k)), "other"]
    old = np.array([predictions.get(k, 0.0) for k in keys])
    goal = np.zeros(len(keys))
    goal[-2 if len(keys) > 2 else -1] = 1.0
    low, high = 0.0, 1.0
    for _ in range(40):  # bisection: 2^-40 of the way is near enough
        middle = (low + high) / 2
        near = float(jensen_shannon(_mixed(old, goal, middle), old)) < distance
        low, high = (middle, high) if near else (low, middle)
    return {k: float(p) for k, p in zip(keys, _mixed(old, goal, high), strict=True) if p > 0}


def _mixed(old: Floats, goal: Floats, part: float) -> Floats:
    return (1 - part) * old + part * goal
