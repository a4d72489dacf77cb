"""Distances between histograms: effect sizes to show, and what a tolerance in them means.

They decide nothing here: a distance has no error rate of its own, because its noise depends on the
number of rows and bins. Arguments are counts or shares with the bins on the last axis.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chndtr, chndtrinc, rel_entr

from tidegate.statistics.floats import Floats

PSI_FLOOR = 1e-4  # the field's convention: an empty bin counts as 0.01 %


def shares(counts: ArrayLike) -> Floats:
    """Counts scaled to sum 1 over the last axis; all-zero rows become NaN.

    >>> shares([1, 3]).tolist()
    [0.25, 0.75]
    """
    values = np.asarray(counts, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(values / values.sum(-1, keepdims=True))


def psi(p: ArrayLike, q: ArrayLike) -> Floats:
    """Population stability index, in nats: `sum (p - q) ln(p / q)`, shares floored at 0.01 %.

    Source: N. Siddiqi, Credit Risk Scorecards (2006); it is Jeffreys' divergence.

    >>> float(psi([0.5, 0.5], [0.6, 0.4]).round(4))
    0.0405
    """
    a, b = np.maximum(shares(p), PSI_FLOOR), np.maximum(shares(q), PSI_FLOOR)
    return np.asarray(((a - b) * np.log(a / b)).sum(-1))


def psi_interval(value: float, n: float, n_ref: float, bins: int) -> tuple[float, float]:
    """A 95 % interval of the PSI behind a measured one, for a single look.

    Formula: with `h = n n_ref / (n + n_ref)`, `h PSI` is about noncentral chi-square with K - 1
    degrees of freedom and noncentrality `h` times the true PSI, which is solved for.
    Source: B. Yurdakul, J. Naranjo, Journal of Risk Model Validation 14 (2020). Unit: nats; `n` are
    independent rows.

    >>> [round(x, 3) for x in psi_interval(0.25, 1000, 10_000, 10)]
    [0.181, 0.31]
    """
    if n <= 0 or n_ref <= 0:
        return 0.0, math.inf
    h = n * n_ref / (n + n_ref)

    def solve(probability: float) -> float:
        if chndtr(h * value, bins - 1, 0.0) <= probability:
            return 0.0  # even no difference at all makes so small a value likely enough
        return float(chndtrinc(h * value, bins - 1, probability)) / h

    return solve(0.975), solve(0.025)


def kolmogorov_smirnov(p: ArrayLike, q: ArrayLike) -> Floats:
    """The largest difference of the cumulative shares of ordered bins.

    >>> float(kolmogorov_smirnov([1, 0, 1], [0, 1, 1]))
    0.5
    """
    return np.asarray(np.abs(np.cumsum(shares(p) - shares(q), axis=-1)).max(-1))


def psi_noise(n: float, n_ref: float, bins: int) -> float:
    """The PSI to expect between two samples of one distribution: `(K - 1)(1/n + 1/n_ref)`.

    Source: B. Yurdakul, J. Naranjo, Journal of Risk Model Validation 14 (2020). Unit: nats.

    >>> psi_noise(1000, 1000, 11)
    0.02
    """
    return (bins - 1) * (1 / n + 1 / n_ref)


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> Floats:
    """Jensen-Shannon distance, `sqrt(KL(p||m)/2 + KL(q||m)/2)`, m = (p + q)/2; at most 0.8326.

    The square root makes it a metric; its base is e, as in `scipy.spatial.distance.jensenshannon`.
    Source: J. Lin, IEEE Trans. Information Theory 37 (1991); D. Endres, J. Schindelin, ibid. 49
    (2003).

    >>> float(jensen_shannon([1, 0], [0, 1]).round(4)), float(jensen_shannon([2, 2], [1, 1]))
    (0.8326, 0.0)
    """
    a, b = shares(p), shares(q)
    m = (a + b) / 2
    return np.asarray(np.sqrt((rel_entr(a, m) + rel_entr(b, m)).sum(-1).clip(0) / 2))


def jensen_shannon_noise(n: float, n_ref: float, bins: int) -> float:
    """The distance to expect between two samples of one distribution.

    Formula: `sqrt((K - 1)(1/n + 1/n_ref) / 8)`, since JS^2 is about PSI/8 for near distributions.

    >>> round(jensen_shannon_noise(1000, 1000, 11), 3)
    0.05
    """
    return math.sqrt(psi_noise(n, n_ref, bins) / 8)


def wasserstein(p: ArrayLike, q: ArrayLike) -> Floats:
    """First Wasserstein distance of ordered bins, in bins: `sum |P - Q|` of cumulative shares.

    >>> float(wasserstein([1, 0, 0], [0, 0, 1]))
    2.0
    """
    return np.asarray(np.abs(np.cumsum(shares(p) - shares(q), axis=-1)).sum(-1))


def psi_tolerance_to_eps(tolerance: float) -> float:
    """The radius in `KL(p||r)` of `DriftDetector` that a PSI of `tolerance` stands for: half of it.

    PSI is `KL(p||r) + KL(r||p)`, and near r both halves are equal. Unit: nats.

    >>> psi_tolerance_to_eps(0.1)
    0.05
    """
    return tolerance / 2


def js_tolerance_to_eps(tolerance: float) -> float:
    """The radius in `KL(p||r)` that a Jensen-Shannon distance of `tolerance` stands for: `4 d^2`.

    Near r, `KL = chi2/2` and `JS^2 = chi2/8`. Unit: nats.

    >>> round(js_tolerance_to_eps(0.1), 12)
    0.04
    """
    if not 0 < tolerance < math.sqrt(math.log(2)):
        raise ValueError(f"a Jensen-Shannon distance lies between 0 and 0.8326, got {tolerance}")
    return 4 * tolerance**2
