"""By how much the candidate is slower at a quantile: an estimate, and an interval for any time.

`latency_tables` decides about one tolerated shift of the histogram. Here the same is asked of many
shifts at once: those that are refuted neither from above nor from below are the interval.
"""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from tidegate.statistics.floats import pack_single, single, unpack_single
from tidegate.statistics.latency import quantile_bin
from tidegate.statistics.ratio import log_normaliser

SHIFTS = np.arange(-16, 25)  # in bins: from a quarter of stable's latency to eight times as much
RATIOS = np.array([1.25, 2.0, 5.0])  # how much more often the candidate lies beyond a wrong shift
BETS = np.stack([RATIOS, 1 / RATIOS])[:, None]  # by what is refuted: "at most s", "at least s"
LOG_BETS = np.log(BETS)
PRIOR_EVENTS = 0.5  # of each arm: an estimate from nothing is no shift at all


class QuantileShift:
    """A confidence sequence of the shift, in histogram bins, between the arms' quantiles.

    Formula, for a shift s and a slot: `k0` of stable's n0 requests lie beyond its quantile of the
    past, `k1(s)` of the candidate's n1 beyond that bin moved by s; `N = n1 + n0`,
    `l(psi) = k1 ln psi - Z(psi)` with `Z = ratio.log_normaliser` for `k1(s) + k0` events, evidence

        E_more = mean_a (prod_slots exp l(a))^(1/phi)      against "the shift is at most s"
        E_less = mean_a (prod_slots exp l(1/a))^(1/phi)    against "it is at least s"

    The interval at level alpha are the shifts at which both are below 2/alpha. The estimate is the
    shift at which the candidate lies beyond as often as stable, slots compared inside themselves:
    `sum k1(s) n0/N = sum k0 n1/N`, interpolated between bins.
    Source: S. Howard, A. Ramdas, Bernoulli 28 (2022), arXiv 1906.09712 (quantiles by exceedances).
    Unit: bins of 9 %.

    >>> shift, stable = QuantileShift(), np.array([0.0] * 30 + [60, 30, 9, 1] + [0.0] * 30)
    >>> for _ in range(40):
    ...     shift.update(np.roll(stable, 8), 9 * stable, past=stable, quantile=0.9)
    >>> low, high = shift.interval(0.05)
    >>> low <= 8 <= high, round(shift.estimate() or 0, 1)
    (True, 8.0)
    """

    def __init__(self) -> None:
        self._log_e = np.zeros((2, SHIFTS.size, RATIOS.size))
        self._beyond = np.zeros(SHIFTS.size)  # sum of k1(s) n0/N
        self._expected = 0.0  # sum of k0 n1/N

    def update(self, h1: ArrayLike, h0: ArrayLike, past: ArrayLike, quantile: float) -> None:
        """Take in a slot's histograms; `past` is stable's of earlier slots, empty for no past."""
        candidate, stable, known = (np.asarray(h, dtype=np.float64) for h in (h1, h0, past))
        n1, n0 = float(candidate.sum()), float(stable.sum())
        if known.sum() == 0 or n1 == 0 or n0 == 0:
            return
        beyond = quantile_bin(known, quantile) + 1
        tail = np.zeros(candidate.size + 1)  # requests in a bin or above it
        tail[:-1] = np.cumsum(candidate[::-1])[::-1]
        moved = beyond + SHIFTS
        # Outside the histogram nothing is known: what is shifted there has no evidence.
        inside = (moved > 0) & (moved < candidate.size)
        k1 = tail[np.minimum(np.maximum(moved, 0), candidate.size)]
        k0 = float(stable[beyond:].sum())
        bound = log_normaliser(BETS, n1, n0, (k1 + k0)[:, None])
        step = k1[:, None] * LOG_BETS - bound
        self._log_e = single(self._log_e + np.where(inside[:, None], step, 0.0))
        self._beyond = single(self._beyond + np.where(inside, k1 * n0 / (n1 + n0), 0.0))
        self._expected += k0 * n1 / (n1 + n0)

    def interval(self, alpha: float, phi: float = 1.0) -> tuple[float, float]:
        """The shifts, in bins, that are not refuted; valid at any time; infinite if unbounded.

        `phi`: how many requests count as one (`Dispersion`).
        """
        bar = math.log(2 / alpha)
        mean = np.logaddexp.reduce(self._log_e / phi, axis=-1) - math.log(RATIOS.size)
        larger, smaller = (np.flatnonzero(refuted) for refuted in mean >= bar)
        return (
            float(SHIFTS[larger[-1]]) if larger.size else -math.inf,
            float(SHIFTS[smaller[0]]) if smaller.size else math.inf,
        )

    def estimate(self) -> float | None:
        """The shift that explains the slots best, in bins; None before any request was beyond."""
        if self._expected == 0:
            return None
        ratio = np.log(self._beyond + PRIOR_EVENTS) - math.log(self._expected + PRIOR_EVENTS)
        # The counts fall with the shift: the crossing of 0, from the largest shift downwards.
        return float(np.interp(0.0, ratio[::-1], SHIFTS[::-1].astype(np.float64)))

    def to_state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON."""
        return {
            "more": pack_single(self._log_e[0]),
            "less": pack_single(self._log_e[1]),
            "beyond": pack_single(self._beyond),
            "expected": self._expected,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The sequence as it was when `to_state` was called, bit for bit."""
        known = cls()
        each = [unpack_single(state[name]) for name in ("more", "less")]
        known._log_e = np.stack(each).reshape(known._log_e.shape)
        known._beyond, known._expected = unpack_single(state["beyond"]), float(state["expected"])
        return known
