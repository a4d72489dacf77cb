"""A stream in its newest windows: what is compared, and whether it has left its reference.

A distance beyond its bound is drift only together with evidence: an e-detector over the windows,
whose alarms keep a budget.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Generic, Literal, TypeVar

import numpy as np

from tidegate.api.v1alpha1.drift_policy import Signal, SignalStatus
from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.statistics.distance import shares
from tidegate.statistics.drift import DriftDetector
from tidegate.statistics.floats import Floats

WINDOWS_WEIGHED = 12  # older windows no longer matter to an alarm, and cost time

T = TypeVar("T", Counts, Labels)
Level = Literal["Ok", "Warn", "Breach", "Unknown"]
SEVERITY: Mapping[str, int] = {"Unknown": -1, "Ok": 0, "Warn": 1, "Breach": 2}


class Series(Generic[T]):
    """A revision's counts in each of the newest complete windows, oldest first.

    Only the newest window is looked at always: the others are added up when a distance is beyond
    its bound, and the evidence for it is weighed.
    """

    def __init__(
        self, blocks: Mapping[BlockKey, T], revision: str, size: int, newest: int, empty: T
    ) -> None:
        self._empty: T = empty
        self._windows: list[list[T]] = [[] for _ in range(WINDOWS_WEIGHED)]
        self._keys: list[list[BlockKey]] = [[] for _ in range(WINDOWS_WEIGHED)]
        for key, counts in blocks.items():
            index = key.slot // size - newest + WINDOWS_WEIGHED - 1
            if key.revision == revision and 0 <= index < WINDOWS_WEIGHED:
                self._windows[index].append(counts)
                self._keys[index].append(key)

    @property
    def blocks(self) -> Iterator[T]:
        return chain.from_iterable(self._windows)

    @cached_property
    def newest(self) -> T:
        return self._sum(self._windows[-1])

    @cached_property
    def all(self) -> list[T]:
        found: list[T] = [self._sum(window) for window in self._windows[:-1]]
        found.append(self.newest)
        return found

    @property
    def slots(self) -> list[list[T]]:
        """The blocks of each window, for how much they scatter among each other."""
        return self._windows

    @property
    def in_order(self) -> list[list[T]]:
        """The same, each window's blocks in the order of their slots."""
        both = zip(self._keys, self._windows, strict=True)
        return [[block for _, block in sorted(zip(*w, strict=True), key=_when)] for w in both]

    @property
    def keys(self) -> list[list[BlockKey]]:
        """When the blocks of each window were, in the same order."""
        return self._keys

    def _sum(self, window: Sequence[T]) -> T:
        return sum(window, self._empty)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a signal is judged by, besides its bounds."""

    min_samples: int
    """Fewer rows than this in the newest window say nothing."""
    threshold: float
    """The evidence, in nats, at which all signals together keep the budget of false alarms."""

    @property
    def chance(self) -> float:
        """The budget for one window of one stream."""
        return math.exp(-self.threshold)


def _when(block: tuple[BlockKey, object]) -> BlockKey:
    return block[0]


def level(signal: Signal, distance: float, alarms: Callable[[float], bool]) -> Level:
    """The highest level whose bound is passed, with evidence: `alarms` weighs it."""
    bounds: tuple[tuple[Level, str | None], ...] = (
        ("Breach", signal.breach),
        ("Warn", signal.warn),
    )
    for name, bound in bounds:
        if bound is not None and distance >= float(bound) and alarms(float(bound)):
            return name
    return "Ok"


def alarms(
    detector: DriftDetector,
    series: Sequence[Floats],
    references: Sequence[Floats],
    threshold: float,
) -> bool:
    """Whether the detector alarms at the end of the windows, each beside its own reference."""
    for window, reference in zip(series, references, strict=True):
        detector.update(window, shares(reference))
    return float(detector.log_m()) >= threshold


def clustering(windows: Sequence[Sequence[Floats]]) -> float:
    """How clustered rows are, from the scatter of the slots of each window around its own mean.

    Around their mean, not the reference: a drift that lasts is not taken for clustering.
    """
    scatter = freedom = 0.0
    for window in windows:
        slots = np.array([s for s in window if s.sum() > 0])
        if len(slots) < 2:
            continue
        usable = slots[:, slots.sum(0) >= len(slots)]  # bins with a row in a slot, on average
        expected = slots.sum(-1, keepdims=True) * (usable.sum(0) / slots.sum())
        variance = expected * (1 - expected / slots.sum(-1, keepdims=True))
        varied = variance > 0
        deviation = (usable - expected) ** 2
        scatter += float((deviation[varied] / variance[varied]).sum())
        freedom += varied.sum() * (1 - 1 / len(slots))
    return max(1.0, scatter / freedom) if freedom else 1.0


def unknown(signal: Signal, samples: int, message: str) -> SignalStatus:
    """A signal that can't be told, and why."""
    return SignalStatus(name=signal.name, level="Unknown", samples=samples, message=message)


def too_few(signal: Signal, rows: int, budget: Budget) -> SignalStatus:
    """A signal that has too little to go by."""
    return unknown(signal, rows, f"{rows} of {budget.min_samples} rows in the window.")
