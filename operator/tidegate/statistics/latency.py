"""Latency quantiles as events: requests slower than stable's own quantile of the past.

Histograms have the log-spaced bins of `tidegate.evidence.latency`, eight to a doubling. The
threshold comes from stable's decayed past, which is known before the slot; so the tables can be
given to `RatioTest(tol=0, margin=0)` with its full guarantee. The tolerance is a shift of the
candidate's threshold: "at most s bins slower at this quantile".
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tidegate.evidence.latency import BINS_PER_DOUBLING, GROWTH
from tidegate.statistics.floats import Floats

PAST_MEMORY = 0.8  # share of the past that each slot keeps: a threshold follows stable in 5 slots
ROUNDING = 1e-9  # a tolerance written as "0.0905" for one bin must not become zero bins


class Table(NamedTuple):
    """Events and rows of candidate and stable in one slot, in the order of `RatioTest.update`."""

    k1: int
    n1: int
    k0: int
    n0: int


def decayed(past: ArrayLike, slot: ArrayLike) -> Floats:
    """Stable's past after one more slot: the `ref` of the *next* slot, never of this one.

    >>> decayed([10, 0], [0, 5]).tolist()
    [8.0, 5.0]
    """
    return np.asarray(PAST_MEMORY * np.asarray(past, dtype=np.float64) + np.asarray(slot))


def bins_of_increase(increase: float) -> int:
    """The whole bins that a tolerated relative increase covers: `floor(log(1 + r) / log(2^(1/8)))`.

    One bin is 9.05 %. Less than one bin is refused: a pod on a slightly slower node would then roll
    back a good model.

    >>> bins_of_increase(0.2), bins_of_increase(1.0)
    (2, 8)
    """
    bins = math.floor(math.log1p(increase) * BINS_PER_DOUBLING / math.log(2) + ROUNDING)
    if bins < 1:
        raise ValueError(
            f"a tolerated latency increase of {increase:g} is less than one histogram bin; "
            f"set at least {GROWTH - 1:.4f}"
        )
    return bins


def increase_of_bins(bins: float) -> float:
    """The relative increase that a shift by `bins` stands for; the inverse of `bins_of_increase`.

    >>> round(increase_of_bins(2), 3), bins_of_increase(increase_of_bins(7))
    (0.189, 7)
    """
    return math.expm1(bins * math.log(2) / BINS_PER_DOUBLING)


def quantile_bin(histogram: ArrayLike, quantile: float) -> int:
    """The first bin up to which at least `quantile` of the mass lies.

    >>> quantile_bin([5, 4, 1], 0.9), quantile_bin([5, 4, 1], 0.91)
    (1, 2)
    """
    mass = np.cumsum(np.asarray(histogram, dtype=np.float64))
    # The relative slack absorbs the rounding of decayed sums: 0.9 of 10 rows is 9 rows.
    return int(np.searchsorted(mass, quantile * mass[-1] * (1 - ROUNDING)))


def latency_tables(
    h1: ArrayLike,
    h0: ArrayLike,
    ref: ArrayLike,
    quantiles: tuple[float, ...] = (0.5, 0.9, 0.99),
    tol_bins: int = 1,
) -> list[Table]:
    """For each quantile: requests beyond stable's past quantile, the candidate shifted by bins.

    Formula: `k0 = #{stable: bin > b_q}`, `k1 = #{candidate: bin > b_q + tol_bins}`, b_q the
    quantile's bin of `ref`. No past, no rows: there is no threshold yet that the slot itself has
    not chosen. No events where the shifted threshold leaves the histogram: what the candidate does
    there is not known, and silence must not look like health.
    Source: S. Howard, A. Ramdas, arXiv 1906.09712 (quantiles by exceedances). Unit: requests.

    >>> latency_tables([0, 0, 1, 2], [6, 3, 1, 0], ref=[6, 3, 1, 0], quantiles=(0.5,), tol_bins=1)
    [Table(k1=3, n1=3, k0=4, n0=10)]
    """
    candidate, stable, past = (np.asarray(h, dtype=np.float64) for h in (h1, h0, ref))
    if not candidate.shape == stable.shape == past.shape:
        raise ValueError(f"histograms differ: {candidate.shape}, {stable.shape}, {past.shape}")
    if past.sum() == 0:
        return [Table(0, 0, 0, 0) for _ in quantiles]
    tables = []
    for quantile in quantiles:
        beyond = quantile_bin(past, quantile) + 1
        known = beyond + tol_bins < past.size
        k1, k0 = candidate[beyond + tol_bins :].sum(), stable[beyond:].sum() if known else 0
        tables.append(Table(int(k1), int(candidate.sum()), int(k0), int(stable.sum())))
    return tables
