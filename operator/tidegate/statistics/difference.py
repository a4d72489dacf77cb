"""How many more events in a hundred rows on the candidate than on stable, decided at any time.

The test for tolerances in absolute terms ("at most 0.5 points more errors"). Unlike a ratio it is
at ease with a stable arm that never fails: rows without an event are evidence too.
"""

import math
from typing import Any, Literal, Self

import numpy as np
from scipy.special import xlog1py

from tidegate.statistics.dispersion import Dispersion, check_arguments
from tidegate.statistics.floats import Floats, pack, unpack
from tidegate.statistics.mixture import Mixture

LEVEL_MEMORY = 0.9  # the level of stable is followed over about ten slots ...
LEVEL_ROWS = 2000  # ... or about this many rows, where slots are small
LARGEST_BET = 0.95  # of the bet that a single row could ruin
PROJECTIONS = 8  # fixed-point steps to the edge's nearest point; more do not change the bet
SMALLEST_RATE = 1e-6  # keeps logarithms finite; far below what any slot can show
EXCESS = np.exp2(np.arange(-1.0, 10.0))  # alternatives above the tolerance, in tolerances
SHORTFALL = np.array([0.25, 0.5, 0.75, 1.0])  # alternatives below it; 1 = no difference at all
SHOWN = np.geomspace(1e-4, 0.9, 40)
GRID = np.concatenate([-SHOWN[::-1], [0.0], SHOWN])  # at which the interval is tested, fine near 0
LOG_PRIOR_WORSE = np.log(EXCESS**-0.5 / (EXCESS**-0.5).sum())
LOG_PRIOR_GOOD = np.log(SHORTFALL / SHORTFALL.sum())


def log_bet(  # the counts of a slot, the point bet on, the null's edge
    k1: float | Floats,
    n1: float | Floats,
    k0: float | Floats,
    n0: float | Floats,
    q1: float | Floats,
    q0: float | Floats,
    edge: float | Floats,
) -> Floats:
    """The log e-value of one slot for rates (q1, q0) against `rate1 - rate0 <= edge` (or `>=`).

    Formula: `sum_rows1 ln(1 + b/n1 (x - p1)) + sum_rows0 ln(1 - b/n0 (x - p0))`, x = 0 or 1,
    with `p1 - p0 = edge` and `b = n1 (q1 - p1)/(p1 (1 - p1)) = n0 (p0 - q0)/(p0 (1 - p0))`, limited
    so that each factor stays positive. Its expectation is at most `exp(b (rate1 - rate0 - edge))`,
    hence <= 1 under the null, whatever the level and however the rates vary inside the slot.
    b > 0 tests the null `<= edge`, b < 0 the null `>= edge`. (p1, p0) is the point of the edge that
    is hardest to tell from (q1, q0), which makes the bet nearly the most powerful one; any other
    point is as valid.
    Source: R. Turner, P. Gruenwald, arXiv 2302.11401 (convex nulls of 2x2 tables);
    I. Waudby-Smith, A. Ramdas, JRSS B 86 (2024) (betting on bounded means). Unit: nats.

    >>> float(log_bet(6, 100, 10, 1000, 0.06, 0.01, 0.02).round(3))  # 6 % against 1 %, edge 2 pp
    1.153
    """
    gap = q1 - q0 - edge
    least = np.maximum(0.0, -edge) + SMALLEST_RATE
    most = np.minimum(1.0, 1.0 - edge) - SMALLEST_RATE
    heavier = n0 / n1
    spread1, spread0 = heavier * q1 * (1 - q1), q0 * (1 - q0)
    p0 = np.minimum(np.maximum(q0 + gap * spread0 / (spread1 + spread0), least), most)
    for _ in range(PROJECTIONS):
        p1 = p0 + edge
        spread1, spread0 = heavier * (p1 - p1 * p1), p0 - p0 * p0
        nearest = q0 + gap * spread0 / (spread1 + spread0)
        # Half steps: whole ones oscillate where the edge meets the rates' limits.
        p0 = (p0 + np.minimum(np.maximum(nearest, least), most)) / 2
    p1 = p0 + edge
    rest1, rest0 = 1 - p1, 1 - p0
    # Both are equal at the fixed point; where p was clipped, the smaller one is the safe bet.
    sign = np.sign(gap)
    b = np.minimum(sign * (q1 - p1) * n1 / (p1 * rest1), sign * (p0 - q0) * n0 / (p0 * rest0))
    b = sign * np.maximum(b, 0.0)
    up = LARGEST_BET * np.minimum(n1 / p1, n0 / rest0)
    down = LARGEST_BET * np.minimum(n1 / rest1, n0 / p0)
    b = np.minimum(np.maximum(b, -down), up)
    b1, b0 = b / n1, b / n0
    on_candidate = xlog1py(k1, b1 * rest1) + xlog1py(n1 - k1, -b1 * p1)
    on_stable = xlog1py(k0, -b0 * rest0) + xlog1py(n0 - k0, b0 * p0)
    return np.asarray(on_candidate + on_stable)


class DifferenceTest:
    """Does the candidate's event rate exceed stable's by more than `tol` (a difference of rates)?

    Formula: `E_worse = sum_g w_g prod_slots bet(p + tol * (1 + x_g), p; edge = tol)` and
    `E_good = sum_g v_g prod_slots bet(p + tol * (1 - s_g), p; edge = tol)`, where p is stable's
    rate in earlier slots, `bet` is `exp(log_bet)`, `w_g ~ x_g^(-1/2)`, `v_g ~ s_g`. A share
    `restart` of the prior mass of E_worse starts in later slots (`Mixture`).

    Null of E_worse: in no slot is the difference above `tol`; null of E_good: in no slot is it
    below. The level may wander freely from slot to slot. The first slot only teaches the level.
    `dispersion` divides the evidence as in `RatioTest`.
    Source: see `log_bet`. Unit: nats; rates are events per row.

    >>> test = DifferenceTest(tol=0.005)
    >>> for _ in range(9):
    ...     test.update(k1=0, n1=200, k0=0, n0=1800)  # not one error anywhere
    >>> test.log_e_good() > math.log(1 / 0.05)
    True
    """

    def __init__(
        self,
        tol: float,
        restart: float = 0.2,
        horizon: int = 240,
        dispersion: float | Literal["auto"] = "auto",
    ) -> None:
        if not 0 < tol < 1:
            raise ValueError(f"tol is a difference of rates, between 0 and 1, got {tol}")
        check_arguments(restart, horizon, dispersion)
        self.tol, self.restart, self.horizon = tol, restart, horizon
        self.dispersion: float | Literal["auto"] = dispersion
        self._level = np.zeros(2)  # events and rows of stable, older slots forgotten
        self._pooled = np.zeros(2)  # weighted differences of the slots, and their weights
        self._worse = Mixture(LOG_PRIOR_WORSE, restart, horizon)
        self._good = Mixture(LOG_PRIOR_GOOD)
        self._edges = np.zeros(GRID.size)
        self._clusters = Dispersion()
        # What each bet is on: the rate above stable's (of the last ones it is not fixed), the edge.
        self._above = np.concatenate([tol * (1 + EXCESS), tol * (1 - SHORTFALL)])
        self._bet_edges = np.concatenate([np.full(self._above.size, tol), GRID])

    def update(self, k1: int, n1: int, k0: int, n0: int) -> None:
        """Take in one closed slot."""
        if not (0 <= k1 <= n1 and 0 <= k0 <= n0):
            raise ValueError(f"events exceed rows: {k1} of {n1}, {k0} of {n0}")
        self._clusters.observe((k1, n1 - k1), (k0, n0 - k0))
        if n1 == 0 or n0 == 0:
            return
        if self._pooled[1] > 0:
            self._bet(k1, n1, k0, n0)
        weight = n1 * n0 / (n1 + n0)
        self._pooled = self._pooled + np.array([weight * (k1 / n1 - k0 / n0), weight])
        keep = max(LEVEL_MEMORY, 1 - n0 / LEVEL_ROWS)
        self._level = keep * self._level + np.array([k0, n0])

    @property
    def slots(self) -> int:
        """Slots with rows in both arms after the first; the others hold no evidence."""
        return self._worse.slots

    def phi(self) -> tuple[float, float]:
        """The divisors of the evidence, for Fail and Pass."""
        return self._clusters.divisors(self.dispersion)

    def _bet(self, k1: int, n1: int, k0: int, n0: int) -> None:
        """Multiply the slot's e-values in; all rates bet on come from earlier slots."""
        level = float(self._level[0] + 0.1) / float(self._level[1] + 0.2)
        seen = np.full(GRID.size, level + self._mean_difference())
        q1 = np.concatenate([level + self._above, seen])
        q1 = np.minimum(np.maximum(q1, SMALLEST_RATE), 1 - SMALLEST_RATE)
        steps = log_bet(k1, n1, k0, n0, q1, level, self._bet_edges)
        first, points = EXCESS.size, self._above.size
        worse, good, shown = steps[:first], steps[first:points], steps[points:]
        # Near rate 1 no alternative is above the tolerance, and there is nothing to bet on.
        self._worse.add(np.where(q1[:first] - level > self.tol, worse, 0.0))
        self._good.add(good)
        self._edges = self._edges + shown

    def log_e_worse(self) -> float:
        """Evidence that the difference exceeds the tolerance, in nats; act at `ln(1/alpha)`."""
        return self._worse.log_e(self.phi()[0])

    def log_e_good(self) -> float:
        """Evidence that the difference is below the tolerance, in nats; pass at `ln(1/beta)`."""
        return self._good.log_e(self.phi()[1])

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """The differences not yet refuted at level alpha, valid at any time.

        Formula: edges d of `GRID` at which the product over slots of
        `bet(p + mean past difference, p; edge = d)` is below 1/alpha, widened by one grid step.
        """
        kept = np.flatnonzero(self._edges / self.phi()[1] < -math.log(alpha))
        grid = np.concatenate([[-1.0], GRID, [1.0]])
        if kept.size == 0:  # the difference has moved so far that no constant one explains it
            return -1.0, 1.0
        return float(grid[kept[0]]), float(grid[kept[-1] + 2])

    def estimate(self) -> float | None:
        """The mean difference of rates; None before any slot had rows in both arms.

        Formula: `sum w (k1/n1 - k0/n0) / sum w`, `w = n1 n0 / (n1 + n0)`. Slots are compared inside
        themselves, so that a changing weight does not bias it.
        Source: S. Greenland, J. Robins, Biometrics 41 (1985) (Mantel-Haenszel risk difference).
        """
        return self._mean_difference() if self._pooled[1] > 0 else None

    def _mean_difference(self) -> float:
        return float(self._pooled[0] / self._pooled[1])

    def to_state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON of less than 2 kB."""
        return {
            "tol": self.tol,
            "restart": self.restart,
            "horizon": self.horizon,
            "dispersion": self.dispersion,
            "level": pack(self._level),
            "pooled": pack(self._pooled),
            "worse": self._worse.to_state(),
            "good": self._good.to_state(),
            "edges": pack(self._edges),
            "clusters": self._clusters.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The test as it was when `to_state` was called, bit for bit."""
        test = cls(**{name: state[name] for name in ("tol", "restart", "horizon", "dispersion")})
        test._level, test._pooled = unpack(state["level"]), unpack(state["pooled"])
        test._worse.restored(state["worse"])
        test._good.restored(state["good"])
        test._edges = unpack(state["edges"])
        test._clusters = Dispersion.from_state(state["clusters"])
        return test
