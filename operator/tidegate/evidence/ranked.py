"""Labelled rows by the bin of their score: counts that add up, as short as they are rare."""

from collections.abc import Iterable, Sequence

Ranked = tuple[tuple[int, int, int], ...]
"""The bin, negatives, positives; only bins that have any, in order."""


def counted(rows: Iterable[tuple[int, int]]) -> Ranked:
    """Labelled rows, each a bin and a side, by bin.

    >>> counted([(7, 1), (2, 0), (7, 1)])
    ((2, 1, 0), (7, 0, 2))
    """
    return added(tuple((index, 1 - side, side) for index, side in rows))


def added(*parts: Ranked) -> Ranked:
    """Counts of many pods or times as one."""
    total: dict[int, tuple[int, int]] = {}
    for part in parts:
        for index, negatives, positives in part:
            n, p = total.get(index, (0, 0))
            total[index] = n + negatives, p + positives
    return tuple((index, n, p) for index, (n, p) in sorted(total.items()))


def from_json(bins: Sequence[Sequence[int]]) -> Ranked:
    """Raise TypeError or ValueError where these are no counts by bin."""
    found = tuple((int(index), int(n), int(p)) for index, n, p in bins)
    if any(min(row) < 0 for row in found):
        raise ValueError(f"counts by bin are never negative, got {bins!r:.100}")
    return found
