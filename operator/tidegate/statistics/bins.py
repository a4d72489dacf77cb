"""Is the candidate's sample of a histogram a random subset of all traffic?

For the inputs this is a check of the comparison itself (routing skew); for predictions it asks
whether the two revisions answer differently at all, without a tolerance.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, xlogy

from tidegate.statistics.floats import Floats, pack, pack_single, single, unpack, unpack_single

MEMORY = 0.97  # about thirty slots: long enough to sharpen the bet, short enough to follow
PSEUDO_COUNTS = 5.0  # each bin starts as if its ratio had been seen to be 1 five times
LEAST_CONCENTRATION = 20.0  # a Dirichlet bet is never wider than twenty rows' worth


class BinsTest:
    """Do K bins share out differently on the candidate? Vectorised over leading axes (features).

    Formula, for a slot with counts k1, k0 and pooled shares `rho = (k1 + k0) / N`:

        ln e = ln DirMult(k1; c * p) - sum_j k1_j ln rho_j
        p_j ~ rho_j (seen_j + 5) / (expected_j + 5),   c = 20 + sum(seen)

    where `seen` and `expected` are decayed sums over earlier slots. A share `restart` of the prior
    mass starts in later slots. Rows that share their arm, phi of them at a time (the rows of one
    request, the requests of one session), are one: k1 is divided by phi.

    Null: given the slot, the candidate's rows are a random subset of all rows. Then
    `E[e] <= 1`: for each fixed p the product of p_j/rho_j over rows drawn without replacement has
    expectation <= 1 (Hoeffding 1963, Theorem 4), its phi-th root has for clusters of phi rows
    (Hoelder), hence also their Dirichlet mixture.
    Source: after R. Turner, A. Ly, P. Gruenwald, JSPI 230 (2024), on 2 x K tables. Unit: nats.

    >>> test = BinsTest(3)
    >>> for _ in range(20):
    ...     test.update([30, 10, 10], [100, 200, 200])  # more of bin 0 on the candidate
    >>> bool(test.log_e() > np.log(1 / 0.01))
    True
    """

    def __init__(
        self, bins: int, lead: tuple[int, ...] = (), restart: float = 0.3, horizon: int = 240
    ) -> None:
        if bins < 2 or not 0 <= restart < 1 or horizon < 1:
            raise ValueError(f"want 2 bins, 0 <= restart < 1 <= horizon: {bins}, {restart}")
        self.bins, self.lead = bins, lead
        self.restart, self.horizon = restart, horizon
        self.slots = 0
        self._seen = np.zeros((*lead, bins))
        self._expected = np.zeros((*lead, bins))
        self._early = np.zeros(lead)
        self._late = np.full(lead, -np.inf)

    def update(self, k1: ArrayLike, k0: ArrayLike, phi: float = 1.0) -> None:
        """Take in the counts of one closed slot, shape `(*lead, bins)`."""
        if phi < 1:
            raise ValueError(f"phi must be at least 1, got {phi}")
        candidate, stable = np.asarray(k1, np.float64), np.asarray(k0, np.float64)
        if candidate.shape != self._seen.shape or stable.shape != self._seen.shape:
            raise ValueError(f"want counts {self._seen.shape}: {candidate.shape}, {stable.shape}")
        rows = candidate.sum(-1, keepdims=True)
        pooled = candidate + stable
        with np.errstate(invalid="ignore"):
            share = pooled / pooled.sum(-1, keepdims=True)
        # An arm without rows says nothing: all its counts become a neutral table.
        known = (rows > 0) & (stable.sum(-1, keepdims=True) > 0)
        if not known.any():
            return
        candidate = np.where(known, candidate / phi, 0.0)
        share = np.where(known, share, 1.0 / self.bins)
        step = self._log_e_slot(candidate, share)
        if self.slots < self.horizon and self.restart > 0:
            self._late = np.logaddexp(self._late, np.log(self.restart / self.horizon))
        self._early = self._early + step
        self._late = self._late + step
        expected = candidate.sum(-1, keepdims=True) * share
        # Fifty features have hundreds of these, and they are kept in a Model's status.
        self._seen = single(MEMORY * self._seen + candidate)
        self._expected = single(MEMORY * self._expected + expected)
        self.slots += 1

    def _log_e_slot(self, candidate: Floats, share: Floats) -> Floats:
        """`ln DirMult(k; a) - sum k ln share`; the multinomial coefficient cancels."""
        tilt = (self._seen + PSEUDO_COUNTS) / (self._expected + PSEUDO_COUNTS)
        p = share * tilt
        p = p / p.sum(-1, keepdims=True)
        concentration = LEAST_CONCENTRATION + self._seen.sum(-1, keepdims=True)
        a = np.where(share > 0, concentration * p, 1.0)  # an empty bin adds ln 1 = 0 below
        bet = gammaln(a + candidate) - gammaln(a)
        total = concentration[..., 0]
        whole = gammaln(total) - gammaln(total + candidate.sum(-1))
        return np.asarray(whole + bet.sum(-1) - xlogy(candidate, share).sum(-1))

    def log_e(self) -> Floats:
        """Evidence that the shares differ, in nats, one for each feature; act at `ln(1/alpha)`."""
        waiting = self.restart * max(0.0, 1 - self.slots / self.horizon)
        started = np.logaddexp(np.log1p(-self.restart) + self._early, self._late)
        return np.asarray(np.logaddexp(started, np.log(waiting)) if waiting > 0 else started)

    def shares(self) -> tuple[Floats, Floats]:
        """Lately: the candidate's shares of the bins, and those of all traffic; NaN before that."""
        with np.errstate(invalid="ignore"):
            total = self._seen.sum(-1, keepdims=True)
            return self._seen / total, self._expected / total

    def to_state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON."""
        return {
            "bins": self.bins,
            "lead": list(self.lead),
            "restart": self.restart,
            "horizon": self.horizon,
            "slots": self.slots,
            "seen": pack_single(self._seen),
            "expected": pack_single(self._expected),
            "early": pack(self._early),
            "late": pack(self._late),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The test as it was when `to_state` was called, bit for bit."""
        lead = tuple(int(n) for n in state["lead"])
        test = cls(int(state["bins"]), lead, state["restart"], int(state["horizon"]))
        test.slots = int(state["slots"])
        test._seen = unpack_single(state["seen"]).reshape(test._seen.shape)
        test._expected = unpack_single(state["expected"]).reshape(test._seen.shape)
        test._early = unpack(state["early"]).reshape(lead)
        test._late = unpack(state["late"]).reshape(lead)
        return test
