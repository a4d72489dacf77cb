"""The analysis of a rollout: windows in, a verdict for each metric out.

What has been used of the evidence, and what came of it, is one opaque text (`cursor`) that is kept
in the Model's status. Folding is deterministic: the same text and the same windows give the same
verdicts, whoever folds and however often, so that a crash neither loses evidence nor counts it
twice. Slots are folded in their order and the result is looked at after each; at the first breach
the analysis stops for good.
"""

import base64
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import orjson

from tidegate.api.names import short_hash
from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.api.v1alpha1.model_status import EditedMetric, EvidenceStatus, MetricStatus
from tidegate.evidence.values import Compared, Question, Traffic, Values, question_of
from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.rollout.results import breach, result
from tidegate.rollout.skew import Layout, Skew
from tidegate.rollout.trackers import (
    AnyTracker,
    CountTracker,
    LabelTracker,
    PairTracker,
    ValueTracker,
    tracker_of,
)

DEFAULT_METRICS = (
    Metric(name="errors", source="ErrorRate", max_absolute_increase="0.005", on_breach="Rollback"),
    Metric(
        name="latency",
        source="LatencyQuantile",
        quantile="0.95",
        max_relative_increase="0.25",
        on_breach="Rollback",
    ),
)


T = TypeVar("T")
TESTS = 5  # rises when a test keeps its state in another form: what an older one knew is forgotten


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
    layout: Layout | None = None
    """How the inputs of both arms compare, once both reference profiles are known."""
    values: Values = field(default_factory=dict)
    """What Prometheus has said."""
    values_closed_through: int | None = None
    """Windows that have ended by this slot are not asked for again."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The analysis after a look."""

    cursor: str
    slot: int
    """The newest slot that was folded."""
    results: tuple[MetricStatus, ...]
    evidence: EvidenceStatus | None
    """What the results rest on; None if an older version has begun the analysis."""
    skewed: str = ""
    """Features of which both arms get different values; they belong to no verdict."""


class _Slots(NamedTuple):
    """How far each kind of evidence has been folded: they come at their own paces."""

    windows: int
    labels: int
    values: int


class _Memory:
    """The trackers, and how far the windows, the labels and the values have been folded."""

    def __init__(self, analysis: Analysis, from_slot: int) -> None:
        self.at = _Slots(from_slot, from_slot, from_slot)
        self.after: int | None = from_slot
        self.breached: str | None = None
        self.unseen = True
        """Whether a tracker knows more than at the last look."""
        self.stopped: _Slots | None = None
        """The slots that were the last before the breach."""
        self.digests = ["", ""]  # of the windows and of the labels that were folded
        self.valued: dict[str, str] = {}
        """Digests of the values that were folded, by metric: each begins with its question."""
        self.edited: dict[str, _Slots] = {}
        self.skew: Skew | None = None
        self.asked = {m.name: q for m in metrics_of(analysis) if (q := question_of(m)) is not None}
        self.questions = {m.name: _question(m, analysis) for m in metrics_of(analysis)}
        self.trackers: dict[str, AnyTracker] = {
            m.name: tracker_of(m, analysis.max_requests_per_session) for m in metrics_of(analysis)
        }

    @classmethod
    def restored(cls, analysis: Analysis, cursor: str) -> "_Memory":
        data: dict[str, Any] = orjson.loads(zlib.decompress(base64.b64decode(cursor)))
        memory = cls(analysis, int(data["slot"]))
        # Cursors of older versions know nothing of values: they begin with what comes now.
        memory.at = _slots(data["slot"], data["labels"], data.get("values"))
        memory.breached, memory.after = data["breached"], data.get("after")
        memory.digests = data.get("digests", ["", ""])
        memory.stopped = _slots(*data["stopped"]) if data.get("stopped") else None
        memory.skew = Skew.from_state(data["skew"]) if data.get("skew") else None
        edited = data.get("edited", {})
        for metric in metrics_of(analysis):
            # A metric that was added or edited in mid-rollout begins with what is folded from now
            # on: a test can't change its question half-way.
            kept = data["metrics"].get(metric.name)
            if kept is not None and kept["of"] == memory.questions[metric.name]:
                memory.trackers[metric.name].restore(kept)
                if metric.name in data.get("valued", {}):
                    memory.valued[metric.name] = data["valued"][metric.name]
                if metric.name in edited:
                    memory.edited[metric.name] = _slots(*edited[metric.name])
            else:
                memory.edited[metric.name] = memory.at
        return memory

    def cursor(self) -> str:
        """Everything that `restored` needs."""
        data = {
            "slot": self.at.windows,
            "labels": self.at.labels,
            "values": self.at.values,
            "breached": self.breached,
            "after": self.after,
            "digests": self.digests,
            "stopped": self.stopped and list(self.stopped),
            "edited": {name: list(at) for name, at in self.edited.items()},
            "skew": self.skew and self.skew.to_state(),
            "metrics": {
                name: {"of": question, **self.trackers[name].state()}
                for name, question in self.questions.items()
            },
            "valued": self.valued,
        }
        packed = zlib.compress(orjson.dumps(data, option=orjson.OPT_SORT_KEYS), level=1)
        return base64.b64encode(packed).decode()

    def fold_windows(self, slot: int, pairs: Sequence[tuple[Counts, Counts]]) -> None:
        """Take in what both arms have counted in a slot."""
        self.at = self.at._replace(windows=slot)
        served = [(c, s) for c, s in pairs if c.requests]
        for name, tracker in self.trackers.items():
            if isinstance(tracker, CountTracker) and slot > self._begin(name).windows:
                # Where only copies went to the candidate there is nothing but pairs to compare.
                for candidate, stable in pairs if isinstance(tracker, PairTracker) else served:
                    tracker.fold(candidate, stable)
                    self.unseen = True
        if self.skew is not None:
            for candidate, stable in served:
                self.skew.fold(candidate, stable)
        counted = [(c.to_json(), s.to_json()) for c, s in pairs]
        self.digests[0] = _digest(self.digests[0], slot, counted)

    def fold_labels(self, slot: int, pairs: Sequence[tuple[Labels, Labels]]) -> None:
        """Take in what became known of both arms' answers in a slot."""
        self.at = self.at._replace(labels=slot)
        for name, tracker in self.trackers.items():
            if isinstance(tracker, LabelTracker) and slot > self._begin(name).labels:
                for candidate, stable in pairs:
                    tracker.fold(candidate, stable)
                    self.unseen = True
        told = [(c.labelled, c.wrong, s.labelled, s.wrong) for c, s in pairs]
        self.digests[1] = _digest(self.digests[1], slot, told)

    def fold_values(self, slot: int, windows: Mapping[str, Compared]) -> None:
        """Take in the windows that ended in a slot, by metric."""
        self.at = self.at._replace(values=slot)
        for name, window in windows.items():
            tracker, first = self.trackers[name], slot - self.asked[name].slots + 1
            began = max(self._begin(name).values, self.after or -1)
            if isinstance(tracker, ValueTracker) and first > began:
                tracker.fold(window)
                self.unseen = True
                self.valued[name] = _digest(self.valued.get(name, ""), slot, window.to_json())

    def look(self, analysis: Analysis) -> None:
        """Stop for good if the evidence of harm is enough."""
        if not self.unseen:  # labels that no metric is about, say
            return
        self.unseen = False
        self.breached = breach(metrics_of(analysis), self.trackers, analysis)
        if self.breached is not None:
            self.stopped = self.at

    def weighed(self, analysis: Analysis, arms: Arms) -> Weighed:
        """What has come of it so far."""
        results = tuple(
            result(m, self.trackers[m.name], analysis, breached=self.breached == m.name)
            for m in metrics_of(analysis)
        )
        skewed = self.skew.in_words() if self.skew else ""
        used = self._used(analysis, arms)
        return Weighed(self.cursor(), self.at.windows, results, used, skewed)

    def _begin(self, name: str) -> _Slots:
        return self.edited.get(name, _Slots(-1, -1, -1))

    def _used(self, analysis: Analysis, arms: Arms) -> EvidenceStatus | None:
        if self.after is None:
            return None
        through = self.stopped or self.at
        # Without values it is the digest that older versions have written.
        parts = [*self.digests, *(f"{n} {d}" for n, d in sorted(self.valued.items()))]
        whole = hashlib.sha256(" ".join(parts).encode()).hexdigest()
        return EvidenceStatus(
            stable=arms.stable,
            after=self.after,
            through=through.windows,
            labels_through=through.labels,
            values_through=through.values if self.asked else None,
            edited=tuple(
                EditedMetric(
                    name=name,
                    after=at.windows,
                    labels_after=at.labels,
                    values_after=at.values if name in self.asked else None,
                )
                for name, at in sorted(self.edited.items())
            ),
            digest=f"sha256:{whole}",
            analysis=digest_of(analysis),
        )


def _digest(before: str, slot: int, counted: object) -> str:
    """The digest of what was folded so far, and of one slot more."""
    text = orjson.dumps([before, slot, counted], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _slots(windows: int, labels: int, values: int | None = None) -> _Slots:
    """Slots as they were stored; older versions have stored none of values."""
    return _Slots(windows, labels, windows if values is None else values)


def _question(metric: Metric, analysis: Analysis) -> str:
    """What a metric asks: everything of it but what its answer leads to."""
    asked = f"{TESTS} {metric.model_dump_json(exclude={'on_breach'}, exclude_none=True)}"
    session = analysis.max_requests_per_session
    return asked if session is None else f"{asked} in sessions of {session}"


def digest_of(analysis: Analysis) -> str:
    """Tells whether two analyses would weigh in the same way."""
    return short_hash(analysis.model_dump_json(exclude_none=True), 16)


def start(analysis: Analysis, from_slot: int) -> str:
    """The cursor of an analysis that has seen nothing and will look at slots after `from_slot`."""
    return _Memory(analysis, from_slot).cursor()


def metrics_of(analysis: Analysis) -> tuple[Metric, ...]:
    """The metrics that are compared: the user's, or the default ones."""
    return DEFAULT_METRICS if analysis.metrics is None else analysis.metrics


def weigh(analysis: Analysis, cursor: str, arms: Arms, evidence: Evidence) -> Weighed:
    """Fold what is new of the evidence."""
    memory = _Memory.restored(analysis, cursor)
    if memory.skew is None and evidence.layout is not None:
        memory.skew = Skew(evidence.layout, analysis.max_requests_per_session)
    for slot, pairs in _paired(evidence.windows, arms, memory.at.windows, evidence.closed_through):
        if memory.breached is None:
            memory.fold_windows(slot, pairs)
            memory.look(analysis)
    for slot, labels in _paired(
        evidence.labels, arms, memory.at.labels, evidence.labels_closed_through
    ):
        if memory.breached is None:
            memory.fold_labels(slot, labels)
            memory.look(analysis)
    # Of a window it must be known which requests were in it; of what nobody asks, all is known.
    values_through = evidence.closed_through or 0
    if memory.asked:
        values_through = min(values_through, evidence.values_closed_through or 0)
    for slot, values in _valued(memory.asked, evidence, arms, memory.at.values, values_through):
        if memory.breached is None:
            memory.fold_values(slot, values)
            memory.look(analysis)
    closed = (evidence.closed_through or 0, evidence.labels_closed_through or 0, values_through)
    memory.at = _Slots(*map(max, memory.at, closed))
    return memory.weighed(analysis, arms)


def weigh_again(
    analysis: Analysis, used: EvidenceStatus, candidate: str, evidence: Evidence
) -> Weighed:
    """Weigh exactly what was `used` before, from nothing.

    Windows, labels and values meet only in the look at all metrics together. Nothing is folded
    beyond the one that ended the analysis, so it does not matter in which order they had come.
    """
    arms = Arms(used.stable, candidate)
    memory = _Memory(analysis, used.after)
    memory.edited = {e.name: _slots(e.after, e.labels_after, e.values_after) for e in used.edited}
    for slot, pairs in _paired(evidence.windows, arms, used.after, used.through):
        memory.fold_windows(slot, pairs)
    for slot, labels in _paired(evidence.labels, arms, used.after, used.labels_through):
        memory.fold_labels(slot, labels)
    values_through = used.after if used.values_through is None else used.values_through
    for slot, values in _valued(memory.asked, evidence, arms, used.after, values_through):
        memory.fold_values(slot, values)
    memory.at = _Slots(used.through, used.labels_through, values_through)
    memory.look(analysis)
    return memory.weighed(analysis, arms)


def _paired(
    blocks: Mapping[BlockKey, T], arms: Arms, after: int, through: int | None
) -> Iterator[tuple[int, list[tuple[T, T]]]]:
    """Each slot in its order, with the blocks in which both arms have counts, as pairs."""
    if through is None:
        return
    # Nearly all of the hour that is known has been used before: the slot decides first.
    wanted = [
        k
        for k in blocks
        if after < k.slot <= through and k.revision == arms.candidate and k.compares
    ]
    for slot, keys in groupby(sorted(wanted), key=lambda k: k.slot):
        pairs = [(blocks[k], blocks.get(k._replace(revision=arms.stable))) for k in keys]
        yield slot, [(candidate, stable) for candidate, stable in pairs if stable is not None]


def _valued(
    asked: Mapping[str, Question], evidence: Evidence, arms: Arms, after: int, through: int
) -> Iterator[tuple[int, dict[str, Compared]]]:
    """Each slot in its order in which windows end, with those that compare the arms, by metric."""
    ends: dict[int, list[str]] = {}
    for name, question in asked.items():
        for end in question.ends(after, through):
            ends.setdefault(end, []).append(name)
    traffic = Traffic(evidence.windows if ends else {}, arms.stable, arms.candidate)
    for end in sorted(ends):
        windows = {n: traffic.compared(asked[n], end, evidence.values) for n in ends[end]}
        if found := {name: window for name, window in windows.items() if window is not None}:
            yield end, found
