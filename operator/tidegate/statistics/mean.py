"""How much higher or lower the mean of a bounded metric is on the candidate, decided at any time.

Unit of evidence: a pair of values, one of each arm, taken over the same window of time. Nothing is
assumed about them but that they lie in a known range: no variance, no shape, no sample size. Pairs
are compared inside themselves, so that what moves both arms cancels.
"""

import math
from typing import Any, NamedTuple, Self

import numpy as np

from tidegate.statistics.dispersion import check_arguments
from tidegate.statistics.floats import Floats, pack, unpack
from tidegate.statistics.mixture import Mixture

LARGEST_BET = 0.95  # of the bet that a single pair could ruin
STAKES = LARGEST_BET * np.exp2(-np.arange(0.0, 7.0))  # large for quiet metrics, small for noisy
LOG_PRIOR = np.log(STAKES**0.5 / (STAKES**0.5).sum())
SHOWN = np.geomspace(1e-4, 0.9, 40)
DIFFERENCES = np.concatenate([-SHOWN[::-1], [0.0], SHOWN])  # in widths of the range
RATIOS = np.exp(
    np.concatenate([-np.geomspace(1e-3, 2.5, 40)[::-1], [0], np.geomspace(1e-3, 2.5, 40)])
)


class Edges(NamedTuple):
    """Hypotheses `mean1 = ratio * mean0 + offset`, in the unit range."""

    ratio: Floats
    offset: Floats

    def payoff(self, u1: float, u0: float) -> Floats:
        """How far a pair is above the edge; its expectation is 0 where the edge is true."""
        return np.asarray(u1 - self.ratio * u0 - self.offset)

    @property
    def above(self) -> Floats:
        """The largest payoff that a pair can have."""
        return np.asarray(1 - self.offset)

    @property
    def below(self) -> Floats:
        """The smallest one, without its sign."""
        return np.asarray(self.ratio + self.offset)


class MeanTest:
    """Is the candidate's mean more than `change` away from stable's, in the direction of its sign?

    `change` is what is tolerated: -0.02 lets the mean fall by 0.02, or with `relative` by 2 % of
    stable's, +0.02 lets it rise so far. All values are between `low` and `high`; those beyond count
    as the nearest bound.

    Formula, for pairs (u1, u0) scaled to [0, 1] and the edge `u1 = r u0 + d` that `change` draws:
    with `g = s (u1 - r u0 - d)`, s the sign of `change`, and `-a <= g <= b`,

        E_worse = sum_j w_j prod_pairs (1 + c_j g / a)
        E_good  = sum_j w_j prod_pairs (1 - c_j g / b)

    over stakes c_j < 1, `w_j ~ sqrt(c_j)`. A share `restart` of the prior mass of E_worse starts in
    later pairs, and `dispersion` divides the evidence (`Mixture`): in how many pairs the same
    session may have a part.

    Null of E_worse: whatever has happened before, the expectation of the next g is at most 0; null
    of E_good: at least 0. The factors are positive and their expectation is at most 1.
    Source: I. Waudby-Smith, A. Ramdas, JRSS B 86 (2024) (bounded means by betting: a grid of stakes
    for the decision, a bet by the past mean and variance for the interval); J. Ville (1939).
    Unit: nats.

    >>> test = MeanTest(change=-0.1, low=0, high=1)
    >>> for _ in range(60):
    ...     test.update(0.6, 0.6)
    >>> test.log_e_good() > math.log(1 / 0.05), test.log_e_worse() < 0
    (True, True)
    """

    def __init__(
        self,
        change: float,
        low: float,
        high: float,
        *,
        relative: bool = False,
        restart: float = 0.2,
        horizon: int = 240,
        dispersion: float = 1.0,
    ) -> None:
        if not low < high or change == 0:
            raise ValueError(f"want low < high and a change, got {low}, {high}, {change}")
        if relative and (low < 0 or change <= -1):
            raise ValueError("a relative change needs values of at least 0, and is above -100 %")
        check_arguments(restart, horizon, dispersion)
        self.change, self.low, self.high, self.relative = change, low, high, relative
        self.restart, self.horizon, self.dispersion = restart, horizon, dispersion
        self._edge = self._edges(np.array([1 + change if relative else change]))
        self._sign = math.copysign(1.0, change)
        above, below = float(self._edge.above[0]), float(self._edge.below[0])
        self._most_good, self._most_harm = (below, above) if change > 0 else (above, below)
        if above <= 0 or below <= 0:
            raise ValueError(f"a change of {change:g} leaves the range of {low:g} to {high:g}")
        self._shown = _shown(low, high, relative=relative)
        self._grid = self._edges(self._shown)
        self._worse, self._good = Mixture(LOG_PRIOR, restart, horizon), Mixture(LOG_PRIOR)
        self._sums = np.zeros(5)  # u1, u0, u1^2, u1 u0, u0^2
        self._points = np.zeros(self._shown.size)

    def _edges(self, values: Floats) -> Edges:
        """The edges at differences in the metric's unit, or at ratios."""
        width = self.high - self.low
        if self.relative:
            return Edges(values, self.low / width * (values - 1))
        return Edges(np.ones(values.size), values / width)

    def update(self, candidate: float, stable: float) -> None:
        """Take in the values of one window."""
        if not math.isfinite(candidate) or not math.isfinite(stable):
            raise ValueError(f"want two numbers, got {candidate}, {stable}")
        u1, u0 = (self._unit(x) for x in (candidate, stable))
        g = self._sign * float(self._edge.payoff(u1, u0)[0])
        self._points = self._points + self._bet(u1, u0)
        self._worse.add(np.log1p(STAKES * g / self._most_good))
        self._good.add(np.log1p(-STAKES * g / self._most_harm))
        self._sums = self._sums + np.array([u1, u0, u1 * u1, u1 * u0, u0 * u0])

    @property
    def pairs(self) -> int:
        """Windows that both had a value."""
        return self._worse.slots

    def _unit(self, value: float) -> float:
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    def _bet(self, u1: float, u0: float) -> Floats:
        """The log factors against each edge that is shown, by what earlier pairs were like."""
        ratio, offset = self._grid
        s1, s0, s11, s10, s00 = self._sums / max(self.pairs, 1)
        mean = s1 - ratio * s0 - offset if self.pairs else np.zeros(ratio.size)
        scatter = (s11 - s1 * s1) - 2 * ratio * (s10 - s1 * s0) + ratio**2 * (s00 - s0 * s0)
        # The first guess of the variance, the largest there is, counts like one pair.
        variance = (0.25 * (1 + ratio**2) + self.pairs * np.maximum(scatter, 0)) / (1 + self.pairs)
        stake = mean / (variance + mean**2)
        bet = np.clip(stake, -LARGEST_BET / self._grid.above, LARGEST_BET / self._grid.below)
        return np.asarray(np.log1p(bet * self._grid.payoff(u1, u0)))

    def log_e_worse(self) -> float:
        """Evidence that the mean is beyond the tolerance, in nats; act at `ln(1/alpha)`."""
        return self._worse.log_e(self.dispersion)

    def log_e_good(self) -> float:
        """Evidence that the mean is within the tolerance, in nats; pass at `ln(1/beta)`."""
        return self._good.log_e(self.dispersion)

    def means(self) -> tuple[float, float] | None:
        """The means of candidate and stable, each pair counting the same; None before the first."""
        if not self.pairs:
            return None
        width = self.high - self.low
        u1, u0 = self._sums[:2] / self.pairs
        return self.low + width * float(u1), self.low + width * float(u0)

    def estimate(self) -> float | None:
        """How much higher the candidate's mean is: a difference, or with `relative` a share."""
        means = self.means()
        if means is None or (self.relative and means[1] <= 0):
            return None
        return means[0] / means[1] - 1 if self.relative else means[0] - means[1]

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """The changes not yet refuted at level alpha, valid at any time.

        Formula: edges of the grid at which `prod_pairs (1 + c g)` is below 1/alpha, with
        `c = m / (v + m^2)` of the mean m and variance v of earlier g, limited so that the factor
        stays positive; widened by one grid step.
        """
        kept = np.flatnonzero(self._points / self.dispersion < -math.log(alpha))
        low, high = self.low, self.high
        none = 1.0 if self.relative else 0.0  # what no change looks like
        if self.relative:
            least, most = low / high, (high / low if low > 0 else math.inf)
        else:
            least, most = low - high, high - low
        if kept.size == 0:  # the mean has moved so far that no constant one explains it
            return least - none, most - none
        grid = np.concatenate([[least], self._shown, [most]])
        return float(grid[kept[0]] - none), float(grid[kept[-1] + 2] - none)

    def to_state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON of less than 2 kB."""
        return {
            "change": self.change,
            "low": self.low,
            "high": self.high,
            "relative": self.relative,
            "restart": self.restart,
            "horizon": self.horizon,
            "dispersion": self.dispersion,
            "worse": self._worse.to_state(),
            "good": self._good.to_state(),
            "sums": pack(self._sums),
            "points": pack(self._points),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The test as it was when `to_state` was called, bit for bit."""
        asked = ("change", "low", "high", "relative", "restart", "horizon", "dispersion")
        test = cls(**{name: state[name] for name in asked})
        test._worse.restored(state["worse"])
        test._good.restored(state["good"])
        test._sums, test._points = unpack(state["sums"]), unpack(state["points"])
        return test


def _shown(low: float, high: float, *, relative: bool) -> Floats:
    """The differences or ratios that values of the range can have."""
    if not relative:
        return DIFFERENCES * (high - low)
    least, most = low / high, high / low if low > 0 else math.inf
    return np.asarray([r for r in RATIOS.tolist() if least < r < most])
