"""How much more often an event happens on the candidate than on stable, decided at any time.

Unit of evidence: a closed slot in which the traffic weight was constant, with `k1` events in `n1`
rows of the candidate and `k0` in `n0` of stable. Given that `m = k1 + k0` events happened, only the
arm in which they happened is used: the level of the slot (day and night, incidents, a changing
weight) cancels. Evidence is a log e-value in nats: if the null holds, the probability that it ever
reaches `ln(1/alpha)` is at most alpha, however often one looks (Ville's inequality).
"""

import math
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from tidegate.statistics.dispersion import Dispersion, check_arguments
from tidegate.statistics.floats import Floats, pack, unpack
from tidegate.statistics.mixture import Mixture

STEPS_PER_OCTAVE = 4  # finer grids cost state and gain nothing that a decision can feel
SHOWN_PER_OCTAVE = 32  # a shown interval needs a finer grid than a decision
FARTHEST_STEP = 27  # alternatives reach 2 ** 6.75 = 108 times the tolerated ratio


def ratio_grid(lo: float = 1 / 20, hi: float = 100.0, per_octave: int = STEPS_PER_OCTAVE) -> Floats:
    """Ratios candidate/stable from about `lo` to about `hi`, equal steps in the logarithm.

    The grid is `2 ** (i / per_octave)` for integers i, so that 1 (no difference) is a point of it.

    >>> ratio_grid(0.5, 2, 2).round(3).tolist()
    [0.5, 0.707, 1.0, 1.414, 2.0]
    """
    first = math.floor(per_octave * math.log2(lo) + 0.5)
    last = math.floor(per_octave * math.log2(hi) + 0.5)
    return np.exp2(np.arange(first, last + 1) / per_octave)


STEPS = np.exp2(np.arange(1, FARTHEST_STEP + 1) / STEPS_PER_OCTAVE)
LOG_STEPS = np.log(STEPS)
LOG_PRIOR = -1.5 * LOG_STEPS - math.log((STEPS**-1.5).sum())  # what differs little takes longest
RATIOS = ratio_grid()
LOG_RATIOS = np.log(RATIOS)


def log_normaliser(psi: ArrayLike, n1: ArrayLike, n0: ArrayLike, m: ArrayLike) -> Floats:
    """`Z(psi)`, a bound of `ln E[psi^K]` when the candidate's rows are a random subset.

    Formula: with `f = min(m, n1)`, `g = max(m, n1)`, `N = n1 + n0`,

        f ln(1 + g/N (psi - 1))                          where f + g <= N
        f ln(psi) + (N - g) ln(1 + f/N (1/psi - 1))      elsewhere

    Four binomials are more spread out than `K ~ Hypergeometric(N, m, n1)`: the draws are the
    events, the rows without one, the candidate's rows or stable's. This is the least spread of
    them. Only two would make the bound jump where most rows are events or the candidate's, and
    one more failure could then speak *for* it.
    Source: W. Hoeffding, JASA 58 (1963), Theorem 4 (sampling without replacement is dominated in
    the convex order by sampling with replacement). Unit: nats.

    >>> float(log_normaliser(2.0, 1, 1, 1))  # ln((2 + 1) / 2)
    0.4054651081081644
    """
    psi, m, n1, rows = np.asarray(psi), np.asarray(m), np.asarray(n1), np.add(n1, n0)
    few, many = np.minimum(m, n1), np.maximum(m, n1)
    forth, rare = few * np.log1p(many / rows * (psi - 1.0)), few + many <= rows
    if rare.all():
        return np.asarray(forth)
    back = few * np.log(psi) + (rows - many) * np.log1p(few / rows * (1.0 / psi - 1.0))
    return np.asarray(np.where(rare, forth, back))


def log_normaliser_of_rates(psi: ArrayLike, n1: ArrayLike, n0: ArrayLike, m: ArrayLike) -> Floats:
    """`Z(psi)` where rows are independent and the candidate's fail `psi` times as often.

    Formula: `m ln(1 + n1/N (psi - 1))`. For any rate r of stable, `E[exp(k1 ln(a/c) - Z(a) + Z(c))]
    <= exp(r (n1 c (a/c)/D + n0/D - n1 c - n0)) = 1`, `ln D = (Z(a) - Z(c))/m`, if the candidate's
    is c r. The bounds of `log_normaliser` speak of odds: where half of the rows are events, the
    tolerated ratio of rates has larger odds, and a test of them would refute it. Unit: nats.

    >>> float(log_normaliser_of_rates(2.0, 1, 1, 1))
    0.4054651081081644
    """
    return np.asarray(m * np.log1p(np.divide(n1, np.add(n1, n0)) * (np.asarray(psi) - 1.0)))


def _normaliser_beyond(edge: float, times: Floats, n1: int, n0: int, m: int) -> Floats:
    """`Z(edge * times) - Z(edge)`; at an edge of 1 routing alone says what is to be expected."""
    if edge == 1.0:
        return log_normaliser(times, n1, n0, m)
    at_edge = m * math.log1p(n1 / (n1 + n0) * (edge - 1.0))
    return log_normaliser_of_rates(edge * times, n1, n0, m) - at_edge


class RatioTest:
    """Is the event more frequent on the candidate, by more than a tolerated ratio?

    Formula, for a slot and a tolerated ratio `c = 1 + tol`:

        l(psi)  = k1 * ln(psi) - Z(psi),   Z = log_normaliser if c = 1, else of rates
        E_worse = sum_g w_g prod_slots exp(l(c * a_g) - l(c)),   a_g = 2^(g/4), w_g ~ a_g^-1.5
        E_good  = sum_g w_g prod_slots exp(l(d / a_g) - l(d)),   d = 1 + margin

    A share `restart` of the prior mass of E_worse begins in one of the first `horizon` slots, so
    that a regression that begins late is found almost as fast as an early one (`Mixture`).

    The alternatives are multiples of the tolerated ratio, so that any tolerance leaves room above
    and below it. A tolerance in absolute terms belongs to `DifferenceTest`: turned into a ratio by
    stable's past rate it would be wrong whenever the level moves.

    `dispersion` divides the evidence: the number of rows that share their fate (requests of one
    sticky session), or "auto" to estimate it from the slots (`Dispersion`).

    Null of E_worse: the ratio is at most 1 + tol; null of E_good: it is at least 1 + margin. At
    `tol = 0` (`margin = 0`) the validity rests on the random routing alone. Elsewhere rows are
    taken as independent inside a slot, and it is exact for rare events, conservative for others.
    Source: after M. Lindon, A. Malek, NeurIPS 2022 (arXiv 2011.03567); R. Turner, A. Ly,
    P. Gruenwald, JSPI 230 (2024).

    >>> test = RatioTest(dispersion=1.0)
    >>> for _ in range(3):
    ...     test.update(k1=12, n1=300, k0=40, n0=5700)  # 4 % against 0.7 %
    >>> test.log_e_worse() > math.log(1 / 0.01)
    True
    """

    def __init__(
        self,
        tol: float = 0.0,
        margin: float = 0.5,
        restart: float = 0.2,
        horizon: int = 240,
        dispersion: float | Literal["auto"] = "auto",
    ) -> None:
        if tol < 0 or margin < 0:
            raise ValueError(f"tolerances must not be negative, got tol={tol}, margin={margin}")
        check_arguments(restart, horizon, dispersion)
        self.tol, self.margin = tol, margin
        self.restart, self.horizon = restart, horizon
        self.dispersion: float | Literal["auto"] = dispersion
        self._plain = np.zeros(RATIOS.size)
        self._worse, self._good = Mixture(LOG_PRIOR, restart, horizon), Mixture(LOG_PRIOR)
        self._clusters = Dispersion()

    def update(self, k1: int, n1: int, k0: int, n0: int) -> None:
        """Take in one closed slot."""
        if not (0 <= k1 <= n1 and 0 <= k0 <= n0):
            raise ValueError(f"events exceed rows: {k1} of {n1}, {k0} of {n0}")
        tolerated, refused = 1.0 + self.tol, 1.0 + self.margin
        m = k1 + k0
        self._clusters.observe((k1, n1 - k1), (k0, n0 - k0))
        if n1 == 0 or n0 == 0 or m == 0:
            return

        self._worse.add(k1 * LOG_STEPS - _normaliser_beyond(tolerated, STEPS, n1, n0, m))
        self._good.add(k1 * -LOG_STEPS - _normaliser_beyond(refused, 1.0 / STEPS, n1, n0, m))
        self._plain += k1 * LOG_RATIOS - log_normaliser_of_rates(RATIOS, n1, n0, m)

    @property
    def slots(self) -> int:
        """Slots with an event in either arm and rows in both; the others hold no evidence."""
        return self._worse.slots

    def phi(self) -> tuple[float, float]:
        """The divisors of the evidence, for Fail and Pass."""
        return self._clusters.divisors(self.dispersion)

    def log_e_worse(self) -> float:
        """Evidence that the ratio exceeds the tolerance, in nats; act at `ln(1/alpha)`."""
        return self._worse.log_e(self.phi()[0])

    def log_e_good(self) -> float:
        """Evidence that the ratio is below the margin, in nats; pass at `ln(1/beta)`."""
        return self._good.log_e(self.phi()[1])

    def _curve(self) -> tuple[Floats, Floats]:
        """Ratios and evidence at display resolution: Catmull-Rom cubics through the grid."""
        y = self._plain
        slope = np.gradient(y, edge_order=2)
        t = np.arange(SHOWN_PER_OCTAVE // STEPS_PER_OCTAVE) * STEPS_PER_OCTAVE / SHOWN_PER_OCTAVE
        t = t[:, None]
        h00, h10 = (1 + 2 * t) * (1 - t) ** 2, t * (1 - t) ** 2
        h01, h11 = t**2 * (3 - 2 * t), t**2 * (t - 1)
        inner = h00 * y[:-1] + h10 * slope[:-1] + h01 * y[1:] + h11 * slope[1:]
        low = RATIOS[0]
        octaves = np.arange(inner.size + 1) / SHOWN_PER_OCTAVE
        return low * np.exp2(octaves), np.append(inner.T.ravel(), y[-1])

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """The ratios not yet refuted at level alpha; valid at any time. 0 and inf mean unbounded.

        Formula: `{psi : ln mean_g exp L(psi_g) - L(psi) < ln(1/alpha)}`, L the sum of l over slots,
        divided, Z that of rates.
        Source: S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, Annals of Statistics 49 (2021).
        """
        ratios, evidence = self._curve()
        _, phi = self.phi()
        mixture = float(np.logaddexp.reduce(self._plain / phi)) - math.log(self._plain.size)
        kept = np.flatnonzero(mixture - evidence / phi < -math.log(alpha))
        low, high = int(kept[0]), int(kept[-1])
        return (
            0.0 if low == 0 else float(ratios[low - 1]),
            math.inf if high == ratios.size - 1 else float(ratios[high + 1]),
        )

    def estimate(self) -> float | None:
        """The ratio that explains the slots best; None before the first event."""
        if self.slots == 0:
            return None
        ratios, evidence = self._curve()
        return float(ratios[np.argmax(evidence)])

    def to_state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON of less than 2 kB."""
        return {
            "tol": self.tol,
            "margin": self.margin,
            "restart": self.restart,
            "horizon": self.horizon,
            "dispersion": self.dispersion,
            "clusters": self._clusters.to_state(),
            "plain": pack(self._plain),
            "worse": self._worse.to_state(),
            "good": self._good.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The test as it was when `to_state` was called, bit for bit."""
        names = ("tol", "margin", "restart", "horizon", "dispersion")
        test = cls(**{name: state[name] for name in names})
        test._clusters = Dispersion.from_state(state["clusters"])
        test._plain = unpack(state["plain"])
        test._worse.restored(state["worse"])
        test._good.restored(state["good"])
        return test
