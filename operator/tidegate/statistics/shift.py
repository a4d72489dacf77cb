"""Do candidate and stable answer differently, by more than a tolerated Jensen-Shannon distance?

Two revisions are expected to differ a little; only a distance beyond the tolerance matters. Both
arms are samples: neither side of the test takes stable's shares as known.
"""

import math
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr

from tidegate.statistics.difference import log_bet
from tidegate.statistics.dispersion import Dispersion, check_arguments
from tidegate.statistics.floats import Floats, pack, unpack
from tidegate.statistics.mixture import Mixture

MEMORY = 0.97  # about thirty slots of past shape the bets
PRIOR_ROWS = 20.0  # rows of the pooled shares mixed into each arm's past
LARGEST_BET = 0.95  # of the bet that a single row could ruin
LOWER = 2.0  # standard errors by which stable's past share of a bin is lowered, for caution
NEWTON_STEPS = 6  # for a share difference down to 1e-9
SMALLEST_SHARE = 1e-12  # keeps the slope finite, and above zero


def js_terms(x: ArrayLike, y: ArrayLike) -> Floats:
    """What each bin adds to the squared Jensen-Shannon distance of shares x and y, in nats.

    >>> js_terms([1.0, 0.0], [0.0, 1.0]).sum().round(4) == np.log(2).round(4)
    np.True_
    """
    m = (np.asarray(x) + np.asarray(y)) / 2
    return np.asarray((rel_entr(x, m) + rel_entr(y, m)) / 2)


def breaking_difference(share: ArrayLike, budget: float) -> tuple[Floats, Floats]:
    """How far a bin must rise, or fall, from `share` to add `budget` to the squared distance.

    Found by Newton's steps: `js_terms` is convex in the difference, and they begin above it, at
    `sqrt(8 share budget) + 2 budget / ln 2`. Where even losing everything is not enough, a fall is
    impossible until stable's share is `2 budget / ln 2`; that is returned.

    >>> up, down = breaking_difference([0.1], 0.001)
    >>> [float(d.round(4)[0]) for d in (up, down)]
    [0.0303, 0.0263]
    """
    y, least = np.asarray(share, dtype=np.float64), 2 * budget / math.log(2)
    fallen = np.maximum(y, least)

    start, sign = np.stack([y, fallen]), np.array([1.0, -1.0]).reshape(2, *[1] * y.ndim)
    most = np.stack([1.0 - y, fallen])
    difference = np.minimum(np.sqrt(8 * start * budget) + least, most)
    for _ in range(NEWTON_STEPS):
        x = np.maximum(start + sign * difference, SMALLEST_SHARE)
        slope = np.maximum(sign * np.log(2 * x / (x + start)) / 2, SMALLEST_SHARE)
        difference = np.minimum(difference - (js_terms(x, start) - budget) / slope, most)
    return difference[0], difference[1]


def _spare(histograms: Floats) -> int:
    """Bins in use, less one: the degrees of freedom of their distance."""
    return max(int((histograms.sum(0) > 0).sum()) - 1, 1)


class ShiftTest:
    """Is the Jensen-Shannon distance of the two arms above `tol`, or below it?

    Harm. The squared distance is the best mean score of a classifier of the arms, so for any scores
    `u_j = ln(2 D_j)/2`, `v_j = ln(2 (1 - D_j))/2` the null `JS <= tol` implies
    `E1 u + E0 v <= tol^2`. D comes from earlier slots, and the slot's e-value is

        prod_rows1 (1 + b/n1 (u - c1)) * prod_rows0 (1 + b/n0 (v - c0)),   c1 + c0 = tol^2, b >= 0

    with expectation <= exp(b (E1 u + E0 v - tol^2)) <= 1. Null of E_worse: in no slot is the
    distance above `tol`; shares may drift together as they like.

    Safety. `JS >= tol` implies that some one of K bins adds at least `tol^2 / K`, hence that the
    arms' shares of it differ by `breaking_difference` or more, up or down. Each of the 2 K
    statements is refuted by `log_bet`; E_good is the least of them. This takes about K times the
    rows of a test that knew the direction, and never passes on silence. Bins that nobody has used
    so far are tested as one. Assumed: the bin that breaks the tolerance is the same in all slots,
    and stable's share of it does not fall more than two standard errors below its past (a smaller
    share would be broken by a smaller difference).

    Source: S. Shekhar, A. Ramdas, arXiv 2112.09162 (two samples by betting); J. Lin, IEEE Trans.
    Information Theory 37 (1991); see also `log_bet`. Unit: nats; `tol` is a distance, base e.

    >>> test = ShiftTest(2, tol=0.1)
    >>> for _ in range(20):
    ...     test.update([50, 50], [100, 400])
    >>> test.log_e_worse() > math.log(1 / 0.01), test.log_e_good() < 0
    (True, True)
    """

    def __init__(
        self,
        bins: int,
        tol: float = 0.1,
        restart: float = 0.2,
        horizon: int = 240,
        dispersion: float | Literal["auto"] = "auto",
    ) -> None:
        if bins < 2 or not 0 < tol < math.sqrt(math.log(2)):
            raise ValueError(f"want two bins and a distance in (0, 0.8326), got {bins}, {tol}")
        check_arguments(restart, horizon, dispersion)
        self.bins, self.tol = bins, tol
        self.restart, self.horizon = restart, horizon
        self.dispersion: float | Literal["auto"] = dispersion
        self._past = np.zeros((2, bins))  # decayed counts: candidate, stable
        self._mean = np.zeros((2, bins))  # shares weighted by slot, for the estimate
        self._weight = 0.0
        self._worse = Mixture(np.zeros(1), restart, horizon)
        self._good = np.zeros((2, bins))  # evidence against a rise, against a fall
        self._clusters = Dispersion(bins)

    def update(self, k1: ArrayLike, k0: ArrayLike) -> None:
        """Take in the counts of one closed slot, one for each bin."""
        counts = np.stack([np.asarray(k1, np.float64), np.asarray(k0, np.float64)])
        if counts.shape != self._past.shape:
            raise ValueError(f"want {self.bins} bins in both arms, got {counts.shape}")
        n1, n0 = (float(n) for n in counts.sum(-1))
        self._clusters.observe(*counts)
        if n1 == 0 or n0 == 0:
            return
        if self._weight > 0:
            self._bet(counts, n1, n0)
        weight = n1 * n0 / (n1 + n0)
        self._weight += weight
        self._mean = self._mean + weight * counts / np.array([[n1], [n0]])
        self._past = MEMORY * self._past + counts

    @property
    def slots(self) -> int:
        """Slots with rows in both arms after the first; the others hold no evidence."""
        return self._worse.slots

    def phi(self) -> tuple[float, float]:
        """The divisors of the evidence, for Fail and Pass."""
        return self._clusters.divisors(self.dispersion)

    def _bet(self, counts: Floats, n1: float, n0: float) -> None:
        """Multiply the slot's e-values in; all that is bet on comes from earlier slots."""
        self._worse.add(self._log_e_harm(counts, n1, n0))
        self._good = self._good + self._log_e_safe(counts, n1, n0)

    def _log_e_harm(self, counts: Floats, n1: float, n0: float) -> float:
        pooled = self._past.sum(0) + 1 / self.bins
        pooled = pooled / pooled.sum()
        past = self._past + PRIOR_ROWS * pooled
        q = past / past.sum(-1, keepdims=True)
        rows = past.sum(-1)
        noise = _spare(self._past) / 8 * float((1 / rows).sum())
        gap = float(js_terms(q[0], q[1]).sum()) - noise - self.tol**2
        if gap <= 0:
            return 0.0
        scores = np.log(2 * q / q.sum(0)) / 2
        mean = (q * scores).sum(-1)
        spread = (q * scores**2).sum(-1) - mean**2 + 1e-12
        n = np.array([n1, n0])
        share = spread / n / (spread / n).sum()
        centre = mean - (mean.sum() - self.tol**2) * share
        second = (q * (scores - centre[:, None]) ** 2).sum(-1)
        ruin = n / (centre - scores.min(-1))
        b = min(gap / float((second / n).sum()), LARGEST_BET * float(ruin.min()))
        return float((counts * np.log1p(b / n[:, None] * (scores - centre[:, None]))).sum())

    def _log_e_safe(self, counts: Floats, n1: float, n0: float) -> Floats:
        used = self._past.sum(0) > 0
        column = np.where(used, np.cumsum(used) - 1, used.sum())  # the unused share the last one
        merge = np.eye(min(int(used.sum()) + 1, self.bins))[column].T
        stable, (k1, k0) = merge @ self._past[1], counts @ merge.T
        rows = float(stable.sum())
        level = (stable + 0.1) / (rows + 0.1 * stable.size)
        lowered = np.maximum(stable / rows - LOWER * np.sqrt(level * (1 - level) / rows), 0.0)
        up, down = breaking_difference(lowered, self.tol**2 / stable.size)
        return log_bet(k1, n1, k0, n0, level, level, np.stack([up, -down]))[:, column]

    def log_e_worse(self) -> float:
        """Evidence that the distance exceeds the tolerance, in nats; act at `ln(1/alpha)`."""
        return self._worse.log_e(self.phi()[0])

    def log_e_good(self) -> float:
        """Evidence that the distance is below the tolerance, in nats; pass at `ln(1/beta)`."""
        least = float(self._good.min())
        return min(least, least / self.phi()[1])

    def estimate(self) -> float | None:
        """The distance of the slot-weighted mean shares, its noise floor subtracted.

        Formula: `sqrt(max(0, JS^2 - (K - 1) / (8 sum w)))`, `w = n1 n0 / (n1 + n0)`, K the bins in
        use; None before any slot had rows in both arms.
        """
        if self._weight == 0:
            return None
        squared = float(js_terms(*(self._mean / self._weight)).sum())
        return math.sqrt(max(0.0, squared - _spare(self._mean) / (8 * self._weight)))

    def to_state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON."""
        return {
            "bins": self.bins,
            "tol": self.tol,
            "restart": self.restart,
            "horizon": self.horizon,
            "dispersion": self.dispersion,
            "weight": self._weight,
            "worse": self._worse.to_state(),
            "past": pack(self._past),
            "mean": pack(self._mean),
            "good": pack(self._good),
            "clusters": self._clusters.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The test as it was when `to_state` was called, bit for bit."""
        test = cls(
            **{name: state[name] for name in ("bins", "tol", "restart", "horizon")},
            dispersion=state["dispersion"],
        )
        test._weight = float(state["weight"])
        test._worse.restored(state["worse"])
        shape = (2, test.bins)
        test._past, test._mean = (unpack(state[n]).reshape(shape) for n in ("past", "mean"))
        test._good = unpack(state["good"]).reshape(shape)
        test._clusters = Dispersion.from_state(state["clusters"], test.bins)
        return test
