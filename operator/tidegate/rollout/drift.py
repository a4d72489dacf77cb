"""Drift: a Model's newest windows against the reference profile of its stable revision.

Distances are shown, and count as drift only together with evidence: an e-detector whose alarms
keep the policy's budget of false alarms over all signals and features. Too few rows say nothing:
the level is Unknown, never Ok and never an alarm. A signal looks at complete windows of wall-clock
time, so that everybody who looks sees the same ones.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Generic, Literal, TypeVar, assert_never

import numpy as np

from tidegate.api.meta import duration
from tidegate.api.v1alpha1.drift_policy import (
    DriftPolicySpec,
    FeatureValue,
    Signal,
    SignalStatus,
)
from tidegate.evidence.profile import SPECIAL_BINS, Number, Profile
from tidegate.evidence.windows import SLOT_SECONDS, BlockKey, Counts, Labels
from tidegate.rollout.lost import lost_values
from tidegate.statistics.distance import (
    dispersion,
    jensen_shannon,
    jensen_shannon_noise,
    js_tolerance_to_eps,
    psi,
    psi_noise,
    psi_tolerance_to_eps,
    shares,
)
from tidegate.statistics.drift import DriftDetector, RateDetector, alarm_threshold
from tidegate.statistics.floats import Floats

WINDOWS_WEIGHED = 12  # older windows no longer matter to an alarm, and cost time
TOP_FEATURES = 5
PREDICTION_BINS = 30  # rarer classes are one: what a detector weighs grows with the square of these
MIN_LABELLED = 100
LARGEST_DISTANCE = 0.83  # two distributions without anything in common are 0.8326 apart
Z95 = 1.96

T = TypeVar("T", Counts, Labels)
Level = Literal["Ok", "Warn", "Breach", "Unknown"]
SEVERITY: Mapping[str, int] = {"Unknown": -1, "Ok": 0, "Warn": 1, "Breach": 2}


@dataclass(frozen=True, slots=True)
class Current:
    """What the pods of a Model's stable revision have counted lately."""

    revision: str
    profile: Profile
    windows: Mapping[BlockKey, Counts]
    labels: Mapping[BlockKey, Labels]
    closed_through: int


@dataclass(frozen=True, slots=True)
class Assessment:
    """One evaluation of all signals."""

    through: int
    """The last slot of the newest complete window, whatever the windows' size is."""
    signals: tuple[SignalStatus, ...]


def window_slots(spec: DriftPolicySpec) -> int:
    """The size of the policy's window, in slots."""
    return max(1, round(duration(spec.window.size).total_seconds() / SLOT_SECONDS))


def newest_window(spec: DriftPolicySpec, closed_through: int) -> int:
    """The number of the newest window whose every slot is closed."""
    return (closed_through + 1) // window_slots(spec) - 1


def complete_through(spec: DriftPolicySpec, closed_through: int) -> int:
    """The last slot of that window."""
    return (newest_window(spec, closed_through) + 1) * window_slots(spec) - 1


def assess(spec: DriftPolicySpec, current: Current) -> Assessment:
    """Evaluate every signal on the newest complete windows."""
    newest = newest_window(spec, current.closed_through)
    counts = _Series(current.windows, current.revision, window_slots(spec), newest, Counts())
    labels = _Series(current.labels, current.revision, window_slots(spec), newest, Labels())
    streams = sum(_streams(s, current.profile) for s in spec.signals)
    threshold = alarm_threshold(max(streams, 1), _windows_per_false_alarm(spec))
    slots = _slots_of(current, window_slots(spec), newest)

    def one(signal: Signal) -> SignalStatus:
        nonsense = _out_of_bounds(signal)
        if nonsense:
            return _unknown(signal, 0, nonsense)
        match signal.type:
            case "DataDrift":
                return _data_drift(signal, spec, current.profile, counts, slots, threshold)
            case "PredictionDrift":
                return _prediction_drift(signal, spec, current.profile, counts, threshold)
            case "Performance":
                return _performance(signal, current.profile, labels.all, threshold)
            case _:
                assert_never(signal.type)

    through = complete_through(spec, current.closed_through)
    return Assessment(through, tuple(one(s) for s in spec.signals))


def broken(spec: DriftPolicySpec, current: Current) -> str:
    """Which features have lost their values; empty if none has. Don't train on such data."""
    size, newest = window_slots(spec), newest_window(spec, current.closed_through)
    window = (
        counts
        for key, counts in current.windows.items()
        if key.revision == current.revision and key.slot // size == newest
    )
    return lost_values(current.profile, window, spec.window.min_samples)


def _windows_per_false_alarm(spec: DriftPolicySpec) -> float:
    budget = duration(spec.false_alarms.in_) / spec.false_alarms.per_model
    return max(2.0, budget.total_seconds() / (window_slots(spec) * SLOT_SECONDS))


def _out_of_bounds(signal: Signal) -> str:
    """Which bound makes no sense: objects stored under an older schema may have one."""
    largest = LARGEST_DISTANCE if signal.type == "PredictionDrift" else math.inf
    bounds = {
        "warn": (signal.warn, largest),
        "breach": (signal.breach, largest),
        "share": (signal.share, 1.0),
        "min": (signal.min, 1.0),
    }
    for name, (value, most) in bounds.items():
        if value is not None and not 0 < float(value) <= most:
            return f"{name} must be larger than 0 and at most {most:g}, and is {value}."
    drop = signal.max_relative_drop
    if drop is not None and not 0 <= float(drop) < 1:
        return f"maxRelativeDrop must be at least 0 and smaller than 1, and is {drop}."
    return ""


def _streams(signal: Signal, profile: Profile) -> int:
    return len(_chosen(signal, profile)) if signal.type == "DataDrift" else 1


class _Series(Generic[T]):
    """The revision's counts in each of the newest complete windows, oldest first.

    Only the newest window is looked at always: the others are added up when a distance is beyond
    its bound, and the evidence for it is weighed.
    """

    def __init__(
        self, blocks: Mapping[BlockKey, T], revision: str, size: int, newest: int, empty: T
    ) -> None:
        self._empty: T = empty
        self._windows: list[list[T]] = [[] for _ in range(WINDOWS_WEIGHED)]
        for key, counts in blocks.items():
            index = key.slot // size - newest + WINDOWS_WEIGHED - 1
            if key.revision == revision and 0 <= index < WINDOWS_WEIGHED:
                self._windows[index].append(counts)

    @property
    def blocks(self) -> Iterator[T]:
        return chain.from_iterable(self._windows)

    @cached_property
    def newest(self) -> T:
        return sum(self._windows[-1], self._empty)

    @cached_property
    def all(self) -> list[T]:
        found: list[T] = [sum(blocks, self._empty) for blocks in self._windows[:-1]]
        found.append(self.newest)
        return found


def _slots_of(current: Current, size: int, newest: int) -> list[Counts]:
    """The slots of the newest window, for how much they scatter among each other."""
    by_slot: dict[int, Counts] = {}
    for key, counts in sorted(current.windows.items()):
        if key.revision == current.revision and key.slot // size == newest:
            by_slot[key.slot] = by_slot.get(key.slot, Counts()) + counts
    return list(by_slot.values())


def _chosen(signal: Signal, profile: Profile) -> list[int]:
    """The indices of the features that a signal looks at."""
    wanted = signal.features
    return [
        i
        for i, f in enumerate(profile.features)
        if wanted is None
        or ((not wanted.include or f.name in wanted.include) and f.name not in wanted.exclude)
    ]


def _data_drift(
    signal: Signal,
    spec: DriftPolicySpec,
    profile: Profile,
    counts: _Series[Counts],
    slots: Sequence[Counts],
    threshold: float,
) -> SignalStatus:
    rows = counts.newest.rows
    if rows < spec.window.min_samples:
        return _unknown(signal, rows, f"{rows} of {spec.window.min_samples} rows in the window.")
    chosen = [i for i in _chosen(signal, profile) if any(profile.features[i].counts)]
    if not chosen:
        message = "The signal looks at no feature that has rows in the reference profile."
        return _unknown(signal, rows, message)
    if not _fits(counts.newest, profile):
        message = "What the pods count does not fit the features of the reference profile."
        return _unknown(signal, rows, message)
    found = {i: _feature(signal, profile, i, counts, slots, threshold) for i in chosen}
    needed = max(1, math.ceil(float(signal.share or 0) * len(chosen)))
    levels = sorted((SEVERITY[level] for _, level in found.values()), reverse=True)
    level = _level_of(levels[needed - 1])
    top = sorted(found, key=lambda i: -found[i][0])[:TOP_FEATURES]
    worst = profile.features[top[0]].name
    drifted = sum(s == SEVERITY["Breach"] for s in levels)
    message = (
        f"{drifted} of {len(chosen)} features left the reference (PSI beyond {signal.breach}); "
        f"{worst} moved most, PSI {found[top[0]][0]:.2f}, on {rows} rows."
    )
    return SignalStatus(
        name=signal.name,
        level=level,
        value=f"{found[top[0]][0]:.3f}",
        samples=rows,
        message=message,
        top=tuple(
            FeatureValue(feature=profile.features[i].name, value=f"{found[i][0]:.3f}") for i in top
        ),
    )


def _fits(counts: Counts, profile: Profile) -> bool:
    sizes = [len(f.counts) for f in profile.features]
    return len(sizes) == len(counts.features) and all(
        len(row) <= size for row, size in zip(counts.features, sizes, strict=True)
    )


def _feature(
    signal: Signal,
    profile: Profile,
    index: int,
    counts: _Series[Counts],
    slots: Sequence[Counts],
    threshold: float,
) -> tuple[float, Level]:
    """The PSI of a feature without its noise, and its level."""
    feature = profile.features[index]
    reference = np.asarray(feature.counts, dtype=np.float64)
    bins = reference.size
    now = _of_feature(counts.newest, index, bins)
    noise = psi_noise(max(now.sum(), 1.0), max(reference.sum(), 1.0), bins)
    distance = max(0.0, float(psi(now, reference)) - noise)
    # A constant feature has no shape, yet its values can go missing or become others.
    special = SPECIAL_BINS if bins - SPECIAL_BINS >= 2 else 0

    def alarms(bound: float) -> bool:
        series = [_of_feature(c, index, bins) for c in counts.all]
        detector = DriftDetector(
            bins,
            psi_tolerance_to_eps(bound),
            _dispersion([_of_feature(s, index, bins) for s in slots]),
            ordered=isinstance(feature, Number) and special > 0,
            special=special,
            n_ref=int(reference.sum()),
        )
        return _alarms(detector, series, shares(reference), threshold)

    return distance, _level(signal, distance, alarms)


def _level(signal: Signal, distance: float, alarms: Callable[[float], bool]) -> Level:
    """The highest level whose bound is passed, with evidence: `alarms` weighs it."""
    bounds: tuple[tuple[Level, str | None], ...] = (
        ("Breach", signal.breach),
        ("Warn", signal.warn),
    )
    for level, bound in bounds:
        if bound is not None and distance >= float(bound) and alarms(float(bound)):
            return level
    return "Ok"


def _alarms(
    detector: DriftDetector, series: Sequence[Floats], reference: Floats, threshold: float
) -> bool:
    for window in series:
        detector.update(window, reference)
    return float(detector.log_m()) >= threshold


def _of_feature(counts: Counts, index: int, bins: int) -> Floats:
    dense = np.zeros(bins)
    if index < len(counts.features):
        row = counts.features[index][:bins]
        dense[: len(row)] = row
    return dense


def _dispersion(slots: Sequence[Floats]) -> float:
    """How clustered rows are, from the scatter of a window's slots around their own mean.

    Around their mean, not the reference: a drift that lasts is not taken for clustering.
    """
    filled = [s for s in slots if s.sum() > 0]
    if len(filled) < 2:
        return 1.0
    scatter = dispersion(filled, shares(np.sum(filled, axis=0)))
    return max(1.0, scatter * len(filled) / (len(filled) - 1))


def _prediction_drift(
    signal: Signal,
    spec: DriftPolicySpec,
    profile: Profile,
    counts: _Series[Counts],
    threshold: float,
) -> SignalStatus:
    rows = sum(counts.newest.predictions.values())
    if rows < spec.window.min_samples:
        return _unknown(signal, rows, f"{rows} of {spec.window.min_samples} rows in the window.")
    known = profile.predictions.counts
    if not any(known.values()):
        return _unknown(signal, rows, "The reference profile has no predictions.")
    keys = {*known, *(k for c in counts.blocks for k in c.predictions)}
    ranked = sorted(keys, key=lambda k: (-known.get(k, 0), k))
    if len(ranked) < 2:
        return SignalStatus(name=signal.name, level="Ok", value="0", samples=rows)
    reference = _binned(known, ranked)
    now = _binned(counts.newest.predictions, ranked)
    noise = jensen_shannon_noise(rows, reference.sum(), reference.size)
    raw = float(jensen_shannon(now, reference))
    distance = math.sqrt(max(0.0, raw**2 - noise**2))

    def alarms(bound: float) -> bool:
        series = [_binned(c.predictions, ranked) for c in counts.all]
        eps, n_ref = js_tolerance_to_eps(bound), int(reference.sum())
        detector = DriftDetector(reference.size, eps, ordered=False, special=0, n_ref=n_ref)
        return _alarms(detector, series, shares(reference), threshold)

    level = _level(signal, distance, alarms)
    message = (
        f"The predictions are {distance:.3f} (Jensen-Shannon distance) from the reference, "
        f"on {rows} rows."
    )
    return SignalStatus(
        name=signal.name, level=level, value=f"{distance:.3f}", samples=rows, message=message
    )


def _binned(predictions: Mapping[str, int], ranked: Sequence[str]) -> Floats:
    """Rows by class; the rarest classes, by the reference, are one where there are many."""
    named, rest = ranked[:PREDICTION_BINS], ranked[PREDICTION_BINS:]
    bins = [predictions.get(key, 0) for key in named]
    if rest:
        bins.append(sum(predictions.get(key, 0) for key in rest))
    return np.array(bins, dtype=np.float64)


def _performance(
    signal: Signal, profile: Profile, labels: Sequence[Labels], threshold: float
) -> SignalStatus:
    needed = signal.min_labelled or MIN_LABELLED
    # Labels come late: the newest window may have only the first few of its own.
    newest = next((n for n in reversed(labels) if n.labelled >= needed), None)
    if newest is None:
        most = max(n.labelled for n in labels)
        return _unknown(signal, most, f"{most} of {needed} labels in a window so far.")
    bound = _smallest_accuracy(signal, profile)
    if bound is None:
        message = "maxRelativeDrop needs an accuracy in the reference profile, and it has none."
        return _unknown(signal, newest.labelled, message)
    accuracy = 1 - newest.wrong / newest.labelled
    low, high = wilson(newest.labelled - newest.wrong, newest.labelled)
    detector = RateDetector(p0=1 - bound, tol=0.0)
    for window in labels:
        detector.update(window.wrong, window.labelled)
    below = accuracy < bound and float(detector.log_m()) >= threshold
    message = (
        f"Accuracy is {accuracy:.3f} (95 % interval {low:.3f} to {high:.3f}) on "
        f"{newest.labelled} labels; the policy wants at least {bound:.3f}."
    )
    return SignalStatus(
        name=signal.name,
        level="Breach" if below else "Ok",
        value=f"{accuracy:.3f}",
        lower=f"{low:.3f}",
        upper=f"{high:.3f}",
        samples=newest.labelled,
        message=message,
    )


def _smallest_accuracy(signal: Signal, profile: Profile) -> float | None:
    """The accuracy that the policy asks for: the stricter one of `min` and `maxRelativeDrop`."""
    bounds = [float(signal.min)] if signal.min is not None else []
    reference = profile.metrics.get("accuracy")
    if signal.max_relative_drop is not None and reference is not None:
        bounds.append(reference * (1 - float(signal.max_relative_drop)))
    # A rate that the detector can weigh is neither 0 nor 1.
    return min(max(*bounds, 1e-6), 1 - 1e-6) if bounds else None


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a rate. Source: E. B. Wilson, JASA 22 (1927).

    >>> [round(x, 3) for x in wilson(90, 100)]
    [0.826, 0.945]
    """
    rate, z2 = right / total, Z95**2
    middle = (rate + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 * math.sqrt(rate * (1 - rate) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def _unknown(signal: Signal, samples: int, message: str) -> SignalStatus:
    return SignalStatus(name=signal.name, level="Unknown", samples=samples, message=message)


def _level_of(severity: int) -> Level:
    for level in ("Ok", "Warn", "Breach"):
        if SEVERITY[level] == severity:
            return level
    return "Unknown"
