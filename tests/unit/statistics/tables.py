"""Every table that random routing can produce, with its probability."""

from collections.abc import Iterator
from itertools import product
from math import comb, prod

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom


def two_by_two(n1: int, n0: int, m: int) -> Iterator[tuple[float, int, int]]:
    """(probability, k1, k0) when n1 of n1 + n0 rows, m of them events, go to the candidate."""
    for k1 in range(max(0, m - n0), min(m, n1) + 1):
        yield float(hypergeom.pmf(k1, n1 + n0, m, n1)), k1, m - k1


def histograms(
    totals: tuple[int, ...], n1: int
) -> Iterator[tuple[float, NDArray[np.int64], NDArray[np.int64]]]:
    """(probability, candidate's counts, stable's counts) for fixed totals of the bins."""
    for k in product(*(range(t + 1) for t in totals)):
        if sum(k) == n1:
            ways = prod(comb(t, j) for t, j in zip(totals, k, strict=True))
            yield ways / comb(sum(totals), n1), np.array(k), np.array(totals) - np.array(k)
