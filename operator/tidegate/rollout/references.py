"""What the newest windows are compared with: the whole reference, or that of their hours."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tidegate.evidence.hours import HourTable, hour_of
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import Counts
from tidegate.rollout.series import Series
from tidegate.statistics.distance import shares
from tidegate.statistics.floats import Floats
from tidegate.statistics.season import concentration, hourly, sampling_radius

Mix = Mapping[int, int]
"""The rows of a window by hour."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The expected counts of one stream; their sum is how many rows they are known from."""

    whole: Floats
    hours: NDArray[np.float64] | None = None
    """The counts of each hour; None where hours are not told apart."""
    weight: float = math.inf
    """How many rows of the whole are worth an hour's own."""
    mixes: Sequence[Mix] = ()
    """Of each window, oldest first."""

    @property
    def newest(self) -> Floats:
        """What the newest window is compared with."""
        return self.whole if self.hours is None else self._of(self.mixes[-1])

    def each(self, windows: int) -> list[Floats]:
        """What each window is compared with."""
        if self.hours is None:
            return [self.whole] * windows
        return [self._of(mix) for mix in self.mixes]

    def radius(self, windows: Sequence[Floats], chance: float) -> float:
        """How far an hour's reference may be from the truth, but for `chance`; 0 for the whole.

        The detector itself covers the whole one's error, which is small: an hour has few rows.
        """
        if self.hours is None:
            return 0.0
        return sampling_radius(self.whole.size, min(float(w.sum()) for w in windows), chance)

    def _of(self, mix: Mix) -> Floats:
        """The window's hours, each by its share of the window's rows."""
        total = sum(mix.values())
        if self.hours is None or not total:
            return self.whole
        parts = [hourly(self.whole, self.hours, hour, self.weight) for hour in mix]
        mixed = sum(
            (rows / total * shares(p) for rows, p in zip(mix.values(), parts, strict=True)),
            np.zeros_like(self.whole),
        )
        return np.asarray(mixed * min(float(p.sum()) for p in parts))


class References:
    """The references of a profile's streams in the newest windows."""

    def __init__(self, profile: Profile, table: HourTable | None, counts: Series[Counts]) -> None:
        """`table`: what was counted in each hour; None to compare with the whole reference."""
        self._profile = profile
        self._table = table
        self._mixes = [] if table is None else _mixes(counts, table)
        ends = np.cumsum([0, *(len(f.counts) for f in profile.features)])
        self._places = [slice(a, b) for a, b in pairwise(ends)]

    def feature(self, index: int) -> Reference:
        """The rows by bin of a feature."""
        whole = np.asarray(self._profile.features[index].counts, dtype=np.float64)
        if self._table is None:
            return Reference(whole)
        return self._reference(whole, self._table.features[:, self._places[index]])

    def predictions(self, binned: Callable[[Mapping[str, int]], Floats]) -> Reference:
        """The rows by prediction, as `binned` puts them together."""
        whole = binned(self._profile.predictions.counts)
        if self._table is None:
            return Reference(whole)
        keys = self._table.keys
        rows = [dict(zip(keys, row.tolist(), strict=True)) for row in self._table.predictions]
        return self._reference(whole, np.array([binned(row) for row in rows]))

    def _reference(self, whole: Floats, hours: NDArray[np.generic]) -> Reference:
        counts = np.asarray(hours, dtype=np.float64)
        weight = concentration(counts)
        if math.isinf(weight):
            return Reference(whole)
        return Reference(whole, counts, weight, self._mixes)


def _mixes(counts: Series[Counts], table: HourTable) -> list[Mix]:
    cycle = table.cycle
    found: list[Mix] = []
    for keys, blocks in zip(counts.keys, counts.slots, strict=True):
        mix: Counter[int] = Counter()
        for key, block in zip(keys, blocks, strict=True):
            if block.rows:
                mix[hour_of(key.slot, cycle)] += block.rows
        found.append(dict(sorted(mix.items())))
    return found
