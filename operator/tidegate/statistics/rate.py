"""Is the rate of an event above or below a tolerated one, decided at any time? One sample only."""

import math
from typing import Any, Literal, Self

import numpy as np
from scipy.special import betaln, xlog1py, xlogy

from tidegate.statistics.dispersion import Dispersion, check_arguments
from tidegate.statistics.floats import Floats
from tidegate.statistics.mixture import Mixture

ABOVE = np.array([1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0])  # alternatives, in odds of the tolerance
BELOW = np.array([0.8, 0.6, 0.4, 0.2, 0.1, 0.03])
HALVINGS = 50  # bisection of a rate down to less than 1e-12


def log_likelihood(k: float, n: float, rate: float | Floats) -> Floats:
    """`k ln(rate) + (n - k) ln(1 - rate)`, also at the rates 0 and 1.

    >>> float(log_likelihood(0, 3, 0.0)), float(log_likelihood(1, 2, 0.5).round(4))
    (0.0, -1.3863)
    """
    return np.asarray(xlogy(k, rate) + xlog1py(n - k, -np.asarray(rate)))


def odds_times(rate: float, factor: Floats) -> Floats:
    """The rates whose odds are `factor` times those of `rate`.

    >>> odds_times(0.5, np.array([1.0, 3.0])).tolist()
    [0.5, 0.75]
    """
    return np.asarray(factor * rate / (1 - rate + factor * rate))


class RateTest:
    """Does an event happen in more than a share `tol` of the rows?

    Formula, for a slot with k events in n rows:

        E_worse = sum_g w_g prod_slots (q_g/tol)^k ((1-q_g)/(1-tol))^(n-k),  q_g > tol
        E_good  = the same over q_g < tol

    with equal weights. A share `restart` of the prior mass of E_worse begins in one of the first
    `horizon` slots, and `dispersion` divides the evidence (`Mixture`): the number of rows that
    share their fate, or "auto" to estimate it (`Dispersion`).

    Null of E_worse: whatever has happened before, the next row has the event with a probability of
    at most `tol`; null of E_good: of at least `tol`. The factors' expectation is monotone in that
    probability and 1 at `tol`.
    Source: A. Wald, Annals of Mathematical Statistics 16 (1945); J. Ville (1939). Unit: nats.

    >>> test = RateTest(tol=0.1)
    >>> for _ in range(6):
    ...     test.update(k=1, n=50)
    >>> test.log_e_good() > math.log(1 / 0.05), test.log_e_worse() < 0
    (True, True)
    """

    def __init__(
        self,
        tol: float,
        restart: float = 0.2,
        horizon: int = 240,
        dispersion: float | Literal["auto"] = "auto",
    ) -> None:
        if not 0 < tol < 1:
            raise ValueError(f"tol is a rate, between 0 and 1, got {tol}")
        check_arguments(restart, horizon, dispersion)
        self.tol, self.restart, self.horizon = tol, restart, horizon
        self.dispersion: float | Literal["auto"] = dispersion
        self.events = self.rows = 0
        self._clusters = Dispersion()
        self._above, self._below = odds_times(tol, ABOVE), odds_times(tol, BELOW)
        self._worse = Mixture(np.full(ABOVE.size, -math.log(ABOVE.size)), restart, horizon)
        self._good = Mixture(np.full(BELOW.size, -math.log(BELOW.size)))

    def update(self, k: int, n: int) -> None:
        """Take in one closed slot."""
        if not 0 <= k <= n:
            raise ValueError(f"events exceed rows: {k} of {n}")
        if n == 0:
            return
        at_tolerance = log_likelihood(k, n, self.tol)
        self._worse.add(log_likelihood(k, n, self._above) - at_tolerance)
        self._good.add(log_likelihood(k, n, self._below) - at_tolerance)
        self._clusters.observe((k, n - k))
        self.events, self.rows = self.events + k, self.rows + n

    def phi(self) -> tuple[float, float]:
        """The divisors of the evidence, for Fail and Pass."""
        return self._clusters.divisors(self.dispersion)

    def log_e_worse(self) -> float:
        """Evidence that the rate exceeds the tolerance, in nats; act at `ln(1/alpha)`."""
        return self._worse.log_e(self.phi()[0])

    def log_e_good(self) -> float:
        """Evidence that the rate is below the tolerance, in nats; pass at `ln(1/beta)`."""
        return self._good.log_e(self.phi()[1])

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """The constant rates that are not refuted at level alpha; valid at any time.

        Formula: `{p : ln B(k' + 1/2, n' - k' + 1/2)/B(1/2, 1/2) - ln p^k' (1-p)^(n'-k') <
        ln(1/alpha)}`, k' = sum k / phi, n' = sum n / phi: the mixture over
        Beta(1/2, 1/2) against each rate.
        Source: H. Robbins, Annals of Mathematical Statistics 41 (1970).
        """
        _, phi = self.phi()
        k, n = self.events / phi, self.rows / phi
        mixture = float(betaln(k + 0.5, n - k + 0.5) - betaln(0.5, 0.5))

        def refuted(rate: float) -> bool:
            return mixture - float(log_likelihood(k, n, rate)) >= -math.log(alpha)

        def edge(inside: float, outside: float) -> float:
            if not refuted(outside):
                return outside
            for _ in range(HALVINGS):
                middle = (inside + outside) / 2
                inside, outside = (inside, middle) if refuted(middle) else (middle, outside)
            return outside

        best = k / n if n else 0.5
        return edge(best, 0.0), edge(best, 1.0)

    def estimate(self) -> float | None:
        """The share of rows with the event; None before the first row."""
        return self.events / self.rows if self.rows else None

    def to_state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON."""
        return {
            "tol": self.tol,
            "restart": self.restart,
            "horizon": self.horizon,
            "dispersion": self.dispersion,
            "events": self.events,
            "rows": self.rows,
            "worse": self._worse.to_state(),
            "good": self._good.to_state(),
            "clusters": self._clusters.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The test as it was when `to_state` was called, bit for bit."""
        test = cls(**{name: state[name] for name in ("tol", "restart", "horizon", "dispersion")})
        test.events, test.rows = int(state["events"]), int(state["rows"])
        test._worse.restored(state["worse"])
        test._good.restored(state["good"])
        test._clusters = Dispersion.from_state(state["clusters"])
        return test
