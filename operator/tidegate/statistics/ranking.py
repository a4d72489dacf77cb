"""Does a model still rank positives above negatives as well as it should? By counts of its scores.

The measure is the area under the ROC curve (AUC): the chance that of two labelled rows, one of each
label, the positive one has the higher score; ties count half.
"""

import math
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from tidegate.statistics.floats import Floats

STAKES = 6
LEAST_STAKE = 0.1  # in units of 1/AUC: good for a fall by a thousandth, where rows scatter little
LARGEST_STAKE = 0.95  # of the one that a single row could ruin
SMALLEST = 1e-9  # a row that is above all others has no scatter
Z95 = 1.96


class Ranks(NamedTuple):
    """For each bin, how well a row in it is placed among the rows of the other label."""

    auc: float
    negatives: Floats
    """The share of the positives that a negative in the bin is below."""
    positives: Floats
    """The share of the negatives that a positive in the bin is above."""

    @classmethod
    def of(cls, negatives: ArrayLike, positives: ArrayLike) -> Self:
        """By counts of both labels, neither of which may be without rows.

        Source: E. DeLong et al., Biometrics 44 (1988).

        >>> ranks = Ranks.of([1, 1, 0], [0, 1, 2])
        >>> round(ranks.auc, 4), ranks.positives.tolist()
        (0.9167, [0.25, 0.75, 1.0])
        """
        n, p = np.asarray(negatives, np.float64), np.asarray(positives, np.float64)
        if min(n.sum(), p.sum()) <= 0:
            raise ValueError("a ranking needs rows of both labels")
        above = (np.cumsum(n) - n / 2) / n.sum()
        below = 1 - (np.cumsum(p) - p / 2) / p.sum()
        return cls(float((p * above).sum() / p.sum()), below, above)


def clustering(negatives: ArrayLike, positives: ArrayLike) -> float:
    """How many rows count as one, because those of a group are alike; at least 1.

    `negatives` and `positives` have a row of counts for each group, here of the same ten seconds.
    Formula, V a row's share in `Ranks`, N and P the rows of either label, G groups with rows:

        D = G/(G - 1) sum_g (sum_{i in g} w_i)^2 / sum_i w_i^2,  w = (V - AUC)/N or (V - AUC)/P

    the variance of the AUC of grouped rows over that of independent ones.
    Source: N. Obuchowski, Biometrics 53 (1997).

    >>> clustering([[1, 0], [1, 0], [1, 0]], [[0, 1], [0, 1], [1, 0]]) < 1.6
    True
    """
    n, p = np.asarray(negatives, np.float64), np.asarray(positives, np.float64)
    ranks = Ranks.of(n.sum(0), p.sum(0))
    of_n, of_p = (ranks.negatives - ranks.auc) / n.sum(), (ranks.positives - ranks.auc) / p.sum()
    groups = int(((n + p).sum(-1) > 0).sum())
    alone = float((n @ of_n**2 + p @ of_p**2).sum())
    if alone <= 0 or groups < 2:
        return 1.0
    return max(1.0, groups / (groups - 1) * float(((n @ of_n + p @ of_p) ** 2).sum()) / alone)


def interval(negatives: ArrayLike, positives: ArrayLike, alike: float) -> tuple[float, float]:
    """The 95 % interval of the AUC, `alike` rows of which count as one.

    Formula: `AUC +- 1.96 sqrt(alike (var V_p / P + var V_n / N))`. Source: DeLong et al. (1988).

    >>> [round(x, 3) for x in interval([30, 20, 10], [10, 20, 30], 1.0)]
    [0.637, 0.808]
    """
    n, p = np.asarray(negatives, np.float64), np.asarray(positives, np.float64)
    ranks = Ranks.of(n, p)
    variance = sum(
        float((rows * (shares - ranks.auc) ** 2).sum()) / float(rows.sum()) ** 2
        for rows, shares in ((n, ranks.negatives), (p, ranks.positives))
    )
    half = Z95 * math.sqrt(alike * variance)
    return max(0.0, ranks.auc - half), min(1.0, ranks.auc + half)


class RankingDetector:
    """Has the AUC fallen below `bound`?

    Formula, for a window with k rows of the rarer label and L of the other, m = floor(L / k): each
    of the k is given m of the others by lot, and X_i is the share of these that it is on the right
    side of. The X_i are independent, between 0 and 1, and their mean is the AUC. V_i is the mean
    of X_i over all lots (`Ranks`), v_i its variance. For a bet s and the bound b,

        ln e = sum_i [ln a_i - v_i psi(s / a_i, 1 - V_i)],    a_i = 1 + s (b - V_i),
        psi(t, c) = (-ln(1 - t c) - t c) / c^2

    for bets from 0.1 to 0.95 / (1 - b), `ln M <- max(ln M, 0) + ln e`; the result is their mean.
    No lots are drawn: as ln(1 + t x) >= t x - psi(t, c) x^2 for x >= -c, the sum is at most the
    mean over all lots of ln prod_i (1 + s (b - X_i)), and as the logarithm is concave, at most the
    logarithm of the mean of these products, whose expectation is at most 1.

    Null: in every window the AUC was at least b, the rows of either label being alike.
    Source: I. Waudby-Smith, A. Ramdas, JRSS B 86 (2024) (bets on bounded means); W. Hoeffding, JASA
    58 (1963), section 5 (means over all ways to pair rows); X. Fan, I. Grama, Q. Liu, Electronic
    Journal of Probability 20 (2015) (psi); Shin, Ramdas, Rinaldo (2024). Unit: nats.

    >>> detector = RankingDetector(bound=0.8)
    >>> for _ in range(3):
    ...     detector.update([300, 200, 100], [30, 20, 40])
    >>> bool(detector.log_m() > 5)
    True
    """

    def __init__(self, bound: float) -> None:
        if not 0 < bound < 1:
            raise ValueError(f"want a bound between 0 and 1, got {bound}")
        self.bound = bound
        self._stakes = np.geomspace(LEAST_STAKE, LARGEST_STAKE / (1 - bound), STAKES)
        self._log_m = np.zeros(STAKES)

    def update(self, negatives: ArrayLike, positives: ArrayLike) -> None:
        """Take in a window, by bin; without rows of both labels it says nothing."""
        n, p = np.asarray(negatives, np.float64), np.asarray(positives, np.float64)
        if min(n.sum(), p.sum()) == 0:
            return
        ranks = Ranks.of(n, p)
        if p.sum() <= n.sum():
            fewer, others, right = p, n, ranks.positives
        else:
            fewer, others, right = n, p, ranks.negatives
        k, most = float(fewer.sum()), float(others.sum())
        lot = most // k
        # Of single pairs with a row in the bin: 1, 0, or 1/2 in the same bin.
        variance = np.maximum(right - others / (4 * most) - right**2, 0.0)
        scatter = variance / lot * (most - lot) / max(most - 1, 1)
        bets = self._stakes[:, None]
        won = 1 + bets * (self.bound - right)
        below = np.maximum(1 - right, SMALLEST)
        lost = -np.log1p(-bets / won * below) - bets / won * below
        step = (fewer * (np.log(won) - scatter / below**2 * lost)).sum(-1)
        self._log_m = np.maximum(self._log_m, 0.0) + step

    def log_m(self, alike: float = 1.0) -> float:
        """Evidence of a fallen AUC, in nats; compare with `alarm_threshold`.

        `alike` rows count as one. For independent rows any divisor of at least 1 keeps the null.
        """
        return float(np.logaddexp.reduce(self._log_m / alike)) - math.log(STAKES)
