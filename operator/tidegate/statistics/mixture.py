"""Several bets at once, some of which begin later: what all tests of a rollout keep their stake in.

The evidence is kept as if all rows were independent, and divided when it is looked at: by then
more is known of how many rows share their fate than when it came in.
"""

import math
from typing import Any, Self

import numpy as np

from tidegate.statistics.floats import Floats, pack, unpack


class Mixture:
    """The log e-value of a mean of bets, each a product over slots.

    Formula, for the bets g with prior `w_g`, of which slot t multiplies the stake by `exp(l_tg)`:

        E(phi) = (1 - r) sum_g w_g exp(sum_t l_tg)^(1/phi)
                 + r/H sum_g w_g (sum_{s <= H} exp(sum_{t >= s} l_tg))^(1/phi) + r (slots left)/H

    A share `restart` = r of the stake is spread over the first `horizon` = H slots as later
    starting points; what has not started yet counts as 1. `log_e(phi)` is `ln min(E(1), E(phi))`.

    If each `exp(l_tg)` has an expectation of at most 1, E(1) is a test supermartingale, and what is
    returned never exceeds it: phi may be any number, chosen when all is seen. (By Jensen even
    E(phi) alone reaches a bar above 1 only where E(1) does, if phi >= 1; the minimum keeps it
    fit for a mean of metrics.) Where rows share their fate in clusters of D, E(phi) is an e-value
    for every phi >= D (Hoelder; the power of a sum is at most the sum of the powers). Unit: nats.

    >>> stakes = Mixture(np.log([0.5, 0.5]))
    >>> stakes.add(np.log([3.0, 1.0]))
    >>> round(math.exp(stakes.log_e()), 3), round(math.exp(stakes.log_e(2.0)), 3)
    (2.0, 1.366)
    """

    def __init__(self, log_prior: Floats, restart: float = 0.0, horizon: int = 1) -> None:
        self._log_prior = log_prior
        self._restart, self._horizon = restart, horizon
        self.slots = 0
        self._early = np.zeros(log_prior.size)
        self._late = np.full(log_prior.size, -np.inf)

    def add(self, evidence: Floats | float) -> None:
        """Take in what a slot says for each of the bets."""
        if self._restart > 0 and self.slots < self._horizon:
            self._late = np.logaddexp(self._late, 0.0)
        self._early = self._early + evidence
        self._late = self._late + evidence
        self.slots += 1

    def log_e(self, phi: float = 1.0) -> float:
        """The evidence of rows of which `phi` count as one; act at `ln(1/alpha)`."""
        alone = self._divided(1.0)
        return alone if phi == 1.0 else min(alone, self._divided(phi))

    def _divided(self, phi: float) -> float:
        stakes = self._log_prior + self._early / phi + math.log1p(-self._restart)
        if self._restart > 0:
            each = math.log(self._restart / self._horizon)
            stakes = np.concatenate([stakes, self._log_prior + self._late / phi + each])
        started = float(np.logaddexp.reduce(stakes))
        waiting = self._restart * max(0.0, 1 - self.slots / self._horizon)
        return float(np.logaddexp(started, math.log(waiting))) if waiting > 0 else started

    def to_state(self) -> dict[str, Any]:
        """Everything that `restored` needs, besides the arguments of the constructor."""
        late = {"late": pack(self._late)} if self._restart > 0 else {}
        return {"slots": self.slots, "early": pack(self._early), **late}

    def restored(self, state: dict[str, Any]) -> Self:
        """This one, as it was when `to_state` was called, bit for bit."""
        self.slots, self._early = int(state["slots"]), unpack(state["early"])
        if self._restart > 0:
            self._late = unpack(state["late"])
        return self
