"""What was counted in each hour of the day or of the week, packed into short text.

A reference profile holds it where the training rows say when they were seen; the operator keeps it
of a Model's traffic where they do not. Hours are those of UTC, and a week begins on Monday.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tidegate.evidence.encode import Bins
from tidegate.evidence.windows import SLOT_SECONDS

Cycle = Literal[24, 168]
"""The hours of a day, or of a week."""
DAY: Cycle = 24
WEEK: Cycle = 168
HOUR_SLOTS = 3600 // SLOT_SECONDS
# Some 800 KB at the very worst: a ConfigMap holds 1 MiB, and so much of a profile is enough.
CELL_LIMIT = 200_000
_EPOCH = 72  # hours from a Monday's begin to 1970-01-01, which was a Thursday


def hour_of(slot: int, cycle: Cycle) -> int:
    """The hour of its cycle that a slot lies in.

    >>> hour_of(0, WEEK), hour_of(0, DAY), hour_of(4 * 24 * HOUR_SLOTS, WEEK)
    (72, 0, 0)
    """
    return (slot // HOUR_SLOTS + _EPOCH) % cycle


@dataclass(frozen=True, slots=True)
class HourTable:
    """Rows in each hour of the cycle, by bin and by prediction."""

    features: Bins
    """Hours x bins; the bins of all features of the profile in its order."""
    predictions: Bins
    """Hours x keys."""
    keys: tuple[str, ...]
    """The predictions that were counted: labels, or bins (index as text)."""

    @property
    def cycle(self) -> Cycle:
        return DAY if len(self.features) == DAY else WEEK

    @property
    def known(self) -> int:
        """In how many hours anything was counted."""
        return int((self.features.any(axis=1) | self.predictions.any(axis=1)).sum())

    def plus(self, hour: int, features: Bins | int, predictions: Mapping[str, int]) -> "HourTable":
        """The table with more rows in one of its hours."""
        keys = (*self.keys, *sorted(predictions.keys() - set(self.keys)))
        counts, answers = self.features.copy(), np.zeros((len(self.features), len(keys)), np.int64)
        answers[:, : len(self.keys)] = self.predictions
        counts[hour] += features
        answers[hour] += [predictions.get(key, 0) for key in keys]
        return HourTable(counts, answers, keys)

    def folded(self, cycle: Cycle) -> "HourTable":
        """The hours of a week as hours of the day; as it is where they are that already."""
        days = len(self.features) // cycle
        return HourTable(_folded(self.features, days), _folded(self.predictions, days), self.keys)


def _folded(counts: Bins, days: int) -> Bins:
    return np.asarray(counts.reshape(days, len(counts) // days, counts.shape[1]).sum(axis=0))


def empty_table(cycle: Cycle, bins: int) -> HourTable:
    """A table in which nothing was counted yet."""
    return HourTable(np.zeros((cycle, bins), np.int64), np.zeros((cycle, 0), np.int64), ())


@dataclass(frozen=True, slots=True)
class Hours:
    """An `HourTable` as it is kept: some kilobytes, where its numbers would be a hundred."""

    cycle: Cycle
    bins: int
    keys: tuple[str, ...]
    packed: str

    @classmethod
    def of(cls, table: HourTable) -> "Hours":
        """Pack a table; ValueError if it is too large to be kept."""
        cells = np.hstack([table.features, table.predictions])
        if cells.size > CELL_LIMIT or cells.max(initial=0) >= 1 << 32:
            raise ValueError(f"{cells.size} counts of up to {cells.max(initial=0)} are too many")
        packed = b64encode(zlib.compress(cells.astype("<u4").tobytes(), 9)).decode("ascii")
        return cls(table.cycle, table.features.shape[1], table.keys, packed)

    def table(self) -> HourTable:
        """The table that was packed; ValueError if it is damaged."""
        columns = self.bins + len(self.keys)
        size = 4 * self.cycle * columns
        try:
            unpacking = zlib.decompressobj()
            content = unpacking.decompress(b64decode(self.packed, validate=True), size + 1)
        except zlib.error as error:
            raise ValueError(f"damaged counts by hour: {error}") from error
        if len(content) != size:
            raise ValueError(f"counts by hour: want {size} bytes, got {len(content)} or more")
        cells = np.frombuffer(content, "<u4").astype(np.int64).reshape(self.cycle, columns)
        return HourTable(cells[:, : self.bins], cells[:, self.bins :], self.keys)

    def to_json(self) -> dict[str, Any]:
        return {
            "cycle": self.cycle,
            "bins": self.bins,
            "keys": list(self.keys),
            "packed": self.packed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Hours":
        """Raise KeyError, TypeError or ValueError where `data` is no such table.

        What is packed is looked at when it is needed: by `table`.
        """
        cycle, bins, keys = data["cycle"], int(data["bins"]), data["keys"]
        if cycle not in (DAY, WEEK) or not 0 <= cycle * (bins + len(keys)) <= CELL_LIMIT:
            raise ValueError(f"{cycle} hours of {bins} bins and {len(keys)} predictions")
        return cls(cycle, bins, tuple(str(key) for key in keys), str(data["packed"]))


def fits(cycle: Cycle, columns: int) -> bool:
    """Whether a table of so many bins and predictions can be kept."""
    return cycle * columns <= CELL_LIMIT


def count_features(
    encode: Callable[[Mapping[str, NDArray[Any]]], list[Bins]],
    columns: Mapping[str, NDArray[Any]],
    hours: NDArray[np.int64],
) -> Bins:
    """Rows by hour of the week and bin; `hours` has each row's, -1 where it is not known."""
    order = np.argsort(hours, kind="stable")
    ends = np.searchsorted(hours[order], np.arange(WEEK + 1))
    chosen = (order[ends[hour] : ends[hour + 1]] for hour in range(WEEK))
    return np.array(
        [np.concatenate(encode({n: c[rows] for n, c in columns.items()})) for rows in chosen]
    )


def count_predictions(keys: Sequence[str], hours: NDArray[np.int64]) -> tuple[Bins, list[str]]:
    """Rows by hour of the week and prediction, and the predictions in their order."""
    names, places = np.unique(np.asarray(keys, dtype=np.str_), return_inverse=True)
    counts = np.zeros((WEEK, len(names)), np.int64)
    known = hours >= 0
    np.add.at(counts, (hours[known], places[known]), 1)
    return counts, names.tolist()
