"""From values to bins: the one code path that training and serving count with.

A feature's counts have its bins first and then the three special ones. Whoever writes a reference
profile and whoever compares with it call the functions of this file, so that a difference between
two histograms is a difference between the data.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from math import isfinite, isnan
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = Sequence[Any] | NDArray[Any]
"""The values of one feature, one for each row."""
Bins = NDArray[np.int64]

MISSING, OUTSIDE, INVALID = 0, 1, 2
"""The special bins, as offsets behind a feature's own bins."""
SPECIAL_BINS = 3
NO_NUMBER = "invalid"
"""The bin of a numeric prediction that is no finite number."""


def label_text(value: object) -> str | None:
    """A label as text: what a model answers and what feedback says compare equal as text.

    None is a missing label. Raise TypeError for what can be no label (lists, objects).

    >>> [label_text(v) for v in (True, 1.0, 2, "a", 0.5, None)]
    ['true', '1', '2', 'a', '0.5', None]
    """
    if value is None or isinstance(value, str):
        return value
    if type(value) is int:  # before those that are asked what they are, which takes longer
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        number = float(value)
        if isnan(number):
            return None
        return str(int(number)) if isfinite(number) and number.is_integer() else repr(number)
    raise TypeError(f"{type(value).__name__} is not a label")


def numbers(values: Column) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The values as floats, NaN where one is missing; and which ones are no numbers at all."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    if found.ndim == 1 and len(found) == len(values):
        return found, np.zeros(len(found), dtype=np.bool_)
    return _numbers_one_by_one(values)


def _numbers_one_by_one(values: Column) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    found = np.full(len(values), np.nan)
    invalid = np.zeros(len(values), dtype=np.bool_)
    for row, value in enumerate(values):
        try:
            found[row] = np.nan if value is None else float(value)
        except (TypeError, ValueError, OverflowError):
            invalid[row] = True
    return found, invalid


def bin_of(edges: Sequence[float], values: NDArray[np.float64]) -> Bins:
    """The bin of each value: as many as there are edges at or below it.

    >>> bin_of([0.0, 1.0], np.array([-1.0, 0.0, 0.5, 1.0])).tolist()
    [0, 1, 1, 2]
    """
    return np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right")


def count_numbers(edges: Sequence[float], low: float, high: float, values: Column) -> Bins:
    """Rows by bin of a numeric feature, special bins last."""
    found, invalid = numbers(values)
    first_special = len(edges) + 1
    bins = bin_of(edges, found)
    bins[(found < low) | (found > high)] = first_special + OUTSIDE
    bins[np.isnan(found)] = first_special + MISSING
    bins[invalid] = first_special + INVALID
    return np.bincount(bins, minlength=first_special + SPECIAL_BINS)


def count_labels(values: Column) -> tuple[Counter[str], int, int]:
    """How often each label stands in the values; how many are missing; how many are no labels."""
    found: Counter[str] = Counter()
    missing = invalid = 0
    for value, times in _distinct(values):
        try:
            text = label_text(value)
        except TypeError:
            invalid += times
            continue
        if text is None:
            missing += times
        else:
            found[text] += times
    return found, missing, invalid


def _distinct(values: Column) -> Iterable[tuple[Any, int]]:
    if isinstance(values, np.ndarray) and values.dtype != np.object_:
        distinct, times = np.unique(values, return_counts=True)
        return zip(distinct, times.tolist(), strict=True)
    return ((value, 1) for value in values)


def count_categories(levels: Sequence[str], rare: Collection[str], values: Column) -> Bins:
    """Rows by level of a categorical feature, then other known levels, then the special bins."""
    found, missing, invalid = count_labels(values)
    counts = [found.pop(level, 0) for level in levels]
    known = sum(found.pop(level, 0) for level in rare)
    unseen = sum(found.values())
    return np.array([*counts, known, missing, unseen, invalid], dtype=np.int64)


def prediction_keys(values: Column, edges: Sequence[float] | None) -> list[str]:
    """For each predicted row the key it is counted under: a label, or a bin's index as text.

    `edges` are those of a numeric prediction; None counts by label.
    """
    if edges is None:
        return [_label_key(value) for value in values]
    found, _ = numbers(values)
    finite = np.isfinite(found)
    bins = bin_of(edges, found).tolist()
    return [
        str(index) if good else NO_NUMBER for index, good in zip(bins, finite.tolist(), strict=True)
    ]


def _label_key(value: object) -> str:
    try:
        return label_text(value) or NO_NUMBER
    except TypeError:
        return NO_NUMBER
