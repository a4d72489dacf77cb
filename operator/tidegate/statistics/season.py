"""What an hour of the day or week is expected to look like, and how well that is known.

An hour has few rows of its own: it borrows from the whole, the more the less the hours differ by
more than chance. Where they do not, its reference is the whole one.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtri

from tidegate.statistics.floats import Floats


def concentration(hours: ArrayLike) -> float:
    """How many rows of the whole are worth an hour's own; infinite if hours differ by chance only.

    Formula: with `n_h` rows in hour h, `r` the shares of all and
    `X2 = sum_hj (c_hj - n_h r_j)^2 / (n_h r_j)`, the correlation of two rows of an hour is
    `rho = (X2/(K-1) - (H-1)) / (N - sum n_h^2/N - (H-1))`, and the result `1/rho - 1`.
    Source: J. Mosimann, Biometrika 49 (1962) (the compound multinomial; here by its moments).
    Unit: rows.

    >>> concentration([[50, 50], [50, 50]])
    inf
    >>> round(concentration([[60, 40], [40, 60]]), 1)  # X2 = 8: rho = (8 - 1) / (200 - 100 - 1)
    13.1
    """
    counts = np.asarray(hours, dtype=np.float64)
    counts = counts[counts.sum(-1) > 0][:, counts.sum(0) > 0]
    if min(counts.shape) < 2:
        return math.inf
    rows, total = counts.sum(-1, keepdims=True), counts.sum()
    expected = rows * counts.sum(0) / total
    groups, bins = counts.shape
    excess = ((counts - expected) ** 2 / expected).sum() / (bins - 1) - (groups - 1)
    room = total - (rows**2).sum() / total - (groups - 1)
    if excess <= 0 or room <= 0:
        return math.inf
    return max(1.0, float(room / excess) - 1)


def hourly(whole: ArrayLike, hours: ArrayLike, hour: int, weight: float) -> Floats:
    """What is expected in an hour, as counts: their sum is how many rows that is known from.

    Formula: the hour's shares, with `weight` rows of all hours (`concentration`) mixed in, over
    those of all hours, times the reference's, `s_hj / s_j r_j`. So only the shape of the day is
    taken from the hours: over all of them together the reference stays what it is, and a drift
    that lasts is not taken for a season. It is known from `1 / (1/n_ref + 1/(n_h + weight))` rows.

    >>> hourly([500, 500], [[60, 40], [40, 60]], 0, 100).round(1).tolist()  # s = 0.55; 167 rows
    [91.7, 75.0]
    """
    reference, counts = np.asarray(whole, np.float64), np.asarray(hours, np.float64)
    if math.isinf(weight):
        return reference
    mean = counts.sum(0) / counts.sum()
    known = counts[hour].sum() + weight
    own = (counts[hour] + weight * mean) / known
    shares = reference * np.divide(own, mean, out=np.ones_like(mean), where=mean > 0)
    rows = 1 / (1 / reference.sum() + 1 / known)
    return np.asarray(shares / shares.sum() * rows)


def sampling_radius(bins: int, rows: float, chance: float) -> float:
    """How far a sample's shares may lie from what they are a sample of, but for `chance`.

    Formula: `2 n KL(p||r)` is about chi-square with K - 1 degrees of freedom; its upper quantile.
    Source: S. Wilks, Annals of Mathematical Statistics 9 (1938). Unit: nats.

    >>> round(sampling_radius(10, 1000, 0.001), 4)
    0.0139
    """
    return float(chdtri(bins - 1, chance)) / (2 * rows)
