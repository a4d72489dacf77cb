"""The analysis of a rollout: windows in, a verdict for each metric out.

What has been used of the evidence, and what came of it, is one opaque text (`cursor`) that is kept
in the Model's status. Folding is deterministic: the same text and the same windows give the same
verdicts, whoever folds and however often, so that a crash neither loses evidence nor counts it
twice. Slots are folded in their order and the result is looked at after each; at the first breach
the analysis stops for good.
"""

import base64
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from tidegate.api.v1alpha1.model import Analysis, Metric, MetricStatus
from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.rollout.trackers import (
    AnyCountTracker,
    LabelTracker,
    capped,
    tolerance_in_words,
    tracker_of,
)
from tidegate.rollout.verdict import PROXIES, Verdict
from tidegate.statistics.combine import combine

DEFAULT_METRICS = (
    Metric(name="errors", source="ErrorRate", max_absolute_increase="0.005", on_breach="Rollback"),
    Metric(
        name="latency",
        source="LatencyQuantile",
        quantile="0.99",
        max_relative_increase="0.25",
        on_breach="Rollback",
    ),
)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Arms:
    """The two revisions that are compared."""

    stable: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the sidecars have counted, merged over the pods."""

    windows: Mapping[BlockKey, Counts]
    labels: Mapping[BlockKey, Labels]
    closed_through: int | None
    """The newest slot that no pod will change any more; None while nobody has answered."""
    labels_closed_through: int | None


@dataclass(frozen=True, slots=True)
class Weighed:
    """The analysis after a look."""

    cursor: str
    slot: int
    """The newest slot that was folded."""
    results: tuple[MetricStatus, ...]


class _Memory:
    """The trackers, and how far the windows and the labels have been folded."""

    def __init__(self, metrics: Sequence[Metric], from_slot: int) -> None:
        self.slot = self.labels_slot = from_slot
        self.breached: str | None = None
        self.trackers: dict[str, AnyCountTracker | LabelTracker] = {
            m.name: tracker_of(m) for m in metrics
        }

    @classmethod
    def restored(cls, metrics: Sequence[Metric], cursor: str) -> "_Memory":
        data: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(cursor)))
        memory = cls(metrics, int(data["slot"]))
        memory.labels_slot, memory.breached = int(data["labels"]), data["breached"]
        for metric in metrics:
            # A metric that was added or edited in mid-rollout begins with what is folded from now
            # on: a test can't change its question half-way.
            kept = data["metrics"].get(metric.name)
            if kept is not None and kept["of"] == _question(metric):
                memory.trackers[metric.name].restore(kept)
        return memory

    def cursor(self, metrics: Sequence[Metric]) -> str:
        data = {
            "slot": self.slot,
            "labels": self.labels_slot,
            "breached": self.breached,
            "metrics": {
                m.name: {"of": _question(m), **self.trackers[m.name].state()} for m in metrics
            },
        }
        packed = zlib.compress(json.dumps(data, sort_keys=True).encode(), level=9)
        return base64.b64encode(packed).decode()


def _question(metric: Metric) -> str:
    """What a metric asks: everything of it but what its answer leads to."""
    return metric.model_dump_json(exclude={"on_breach"}, exclude_none=True)


def start(analysis: Analysis, from_slot: int) -> str:
    """The cursor of an analysis that has seen nothing and will look at slots after `from_slot`."""
    metrics = metrics_of(analysis)
    return _Memory(metrics, from_slot).cursor(metrics)


def metrics_of(analysis: Analysis) -> tuple[Metric, ...]:
    """The metrics that are compared: the user's, or the default ones."""
    return DEFAULT_METRICS if analysis.metrics is None else analysis.metrics


def weigh(analysis: Analysis, cursor: str, arms: Arms, evidence: Evidence) -> Weighed:
    """Fold what is new of the evidence."""
    metrics = metrics_of(analysis)
    memory = _Memory.restored(metrics, cursor)
    for pairs in _paired(evidence.windows, arms, memory.slot, evidence.closed_through):
        if memory.breached is None:
            for tracker in memory.trackers.values():
                if not isinstance(tracker, LabelTracker):
                    for candidate, stable in pairs:
                        tracker.fold(candidate, stable)
            memory.breached = _breach(metrics, memory.trackers, analysis)
    memory.slot = max(memory.slot, evidence.closed_through or 0)
    for labels in _paired(
        evidence.labels, arms, memory.labels_slot, evidence.labels_closed_through
    ):
        if memory.breached is None:
            for tracker in memory.trackers.values():
                if isinstance(tracker, LabelTracker):
                    for of_candidate, of_stable in labels:
                        tracker.fold(of_candidate, of_stable)
            memory.breached = _breach(metrics, memory.trackers, analysis)
    memory.labels_slot = max(memory.labels_slot, evidence.labels_closed_through or 0)
    results = tuple(
        _result(m, memory.trackers[m.name], analysis, breached=memory.breached == m.name)
        for m in metrics
    )
    return Weighed(memory.cursor(metrics), memory.slot, results)


def _paired(
    blocks: Mapping[BlockKey, T], arms: Arms, after: int, through: int | None
) -> Iterator[list[tuple[T, T]]]:
    """For each slot in its order: the blocks in which both arms have counts, as pairs."""
    if through is None:
        return
    wanted = {k for k in blocks if k.revision == arms.candidate and after < k.slot <= through}
    for _, keys in groupby(sorted(wanted), key=lambda k: k.slot):
        pairs = [(blocks[k], blocks.get(k._replace(revision=arms.stable))) for k in keys]
        yield [(candidate, stable) for candidate, stable in pairs if stable is not None]


def _breach(
    metrics: Sequence[Metric],
    trackers: Mapping[str, AnyCountTracker | LabelTracker],
    analysis: Analysis,
) -> str | None:
    """The metric to roll back on, once the mean e-value of all such metrics reaches 1/alpha.

    Proxies that labels have overruled are left out: they would not roll back.
    """
    overruled = any(
        m.source == "LabelledAccuracy" and _passes(trackers[m.name], analysis) for m in metrics
    )
    evidence = {
        m.name: trackers[m.name].test.log_e_worse()
        for m in metrics
        if m.on_breach == "Rollback" and not (overruled and m.source in PROXIES)
    }
    if not evidence:
        return None
    together = combine(list(evidence.values()), [1.0] * len(evidence))
    if together < -math.log(float(analysis.alpha)):
        return None
    return max(evidence, key=lambda name: evidence[name])


def _passes(tracker: AnyCountTracker | LabelTracker, analysis: Analysis) -> bool:
    enough = tracker.samples >= analysis.min_samples
    return enough and tracker.test.log_e_good() >= -math.log(float(analysis.beta))


def _result(
    metric: Metric,
    tracker: AnyCountTracker | LabelTracker,
    analysis: Analysis,
    *,
    breached: bool,
) -> MetricStatus:
    alpha = float(analysis.alpha)
    holds = metric.on_breach == "Hold" and tracker.test.log_e_worse() >= -math.log(alpha)
    if breached or holds:
        verdict = Verdict.FAIL
    elif _passes(tracker, analysis):
        verdict = Verdict.PASS
    else:
        verdict = Verdict.INCONCLUSIVE
    shown = tracker.estimate(alpha)
    return MetricStatus(
        name=metric.name,
        verdict=verdict.value,
        estimate=_text(shown.value),
        lower=_text(shown.lower),
        upper=_text(shown.upper),
        tolerance=tolerance_in_words(metric),
        samples=tracker.samples,
        stable_samples=tracker.stable_samples,
        evidence=capped(tracker.test.log_e_worse()),
    )


def _text(value: float | None) -> str | None:
    return None if value is None or not math.isfinite(value) else f"{value:.4g}"
