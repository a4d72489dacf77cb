"""How many rows share their fate: what divides the evidence where rows are not independent.

Requests of one session, one batch, one broken upstream fail together. A test that takes them as
independent loses most of the good candidates. Dividing the evidence by the size of such a cluster
mends that exactly, if the size is known; here it is estimated, from slots that have passed.
"""

import math
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from tidegate.statistics.floats import Floats, pack, unpack

PRIOR_EVENTS = 2.0  # the first guess counts like two events, so that it is forgotten in a few slots
BEFORE_HARM = 10.0  # nothing is rolled back on a single burst while clusters are still unknown ...
BEFORE_SAFETY = 1.5  # ... but a service that never fails shows no clusters, and has to pass
MOST_OF_A_PAIR = 3.0  # events; two slots are one comparison, however many rows they have
SPLIT_PRIOR = 20.0  # events that the split of the arms must have brought before it is heard
SHRINKAGE = 5.0  # events of each arm that pull the assumed ratio towards 1


def check_arguments(restart: float, horizon: int, dispersion: float | Literal["auto"]) -> None:
    """Raise ValueError unless these make sense; all tests between the arms share them."""
    if not 0 <= restart < 1 or horizon < 1:
        raise ValueError(f"want 0 <= restart < 1 <= horizon, got {restart}, {horizon}")
    if dispersion != "auto" and dispersion < 1:
        raise ValueError(f"dispersion must be 'auto' or at least 1, got {dispersion}")


class Dispersion:
    """The variance of counts over that of independent rows, at least 1; known before each slot.

    Formula: for two successive slots of an arm, c of n rows by bin, then c' of n', with pooled
    shares `r_j` and `N = (n + n') / 2`,

        S = sum_pairs w n n'/(n + n') sum_j (c_j/n - c'_j/n')^2 N / 2
        V = sum_pairs w sum_j r_j (1 - r_j) N / 2,    phi = (2 p + S) / (2 + V)

    over both arms; w limits what a pair adds to V to three events for each degree of freedom.
    Independent rows make S and V equal in expectation, clusters of D rows make S D times V. The
    sums come before the quotient: a mean of quotients explodes where a slot expects a quarter of an
    event. p is what is assumed at first.

    A level that moves from slot to slot looks like clusters. It does not change in which arm the
    events happen; so how they split, `s = sum_j (k1_j - m_j q_j)^2 / 2` beside its variance v, is
    a second estimate, and the smaller one counts: `min(phi, (20 phi + s) / (20 + v))`.

    No cluster inside a slot is larger than the rows of an arm in it: the divisor is at most those
    of the smaller arm. Without that, a canary of one request in a slot, all of which fail, would be
    taken for a single cluster of ten for minutes: events without exception have no scatter.

    Dividing log e-values by a number that was fixed before the slot, and is at least 1, keeps their
    guarantee for independent rows (Jensen). Dividing by D keeps it for clusters of D rows
    (Hoelder). The estimate sees clusters inside a slot; of one session that lasts for many slots it
    knows nothing: give its length.
    Source: W. Cochran, Biometrics 10 (1954); J. von Neumann, Annals of Mathematical Statistics 12
    (1941) (successive differences). Unit: rows.

    >>> alone, together = Dispersion(), Dispersion()
    >>> for burst in [0, 0, 30, 0, 20, 0, 0, 10] * 3:
    ...     alone.observe([1, 99], [8, 892])  # events and the other rows, of each arm
    ...     together.observe([0, 100], [burst, 900 - burst])
    >>> alone.of_harm() < 1.5, together.of_harm() > 9
    (True, True)
    """

    def __init__(self, bins: int = 2) -> None:
        self.bins = bins
        self._sums = np.zeros(4)  # S, V, s, v
        self._arms = np.zeros((2, bins))  # events of candidate and stable, as Mantel-Haenszel
        self._last = np.zeros((2, bins))  # each arm's newest slot with rows

    def of_harm(self, rows: float = math.inf) -> float:
        """The divisor for a Fail, of the next slot with so many rows in its smaller arm."""
        return self._estimate(BEFORE_HARM, rows)

    def of_safety(self, rows: float = math.inf) -> float:
        """The divisor for a Pass, of the next slot with so many rows in its smaller arm."""
        return self._estimate(BEFORE_SAFETY, rows)

    def _estimate(self, before: float, rows: float) -> float:
        scatter, expected, split, variance = self._sums
        phi = (PRIOR_EVENTS * before + scatter) / (PRIOR_EVENTS + expected)
        by_split = (SPLIT_PRIOR * phi + split) / (SPLIT_PRIOR + variance)
        return max(1.0, float(min(phi, by_split, rows)))

    def observe(self, k1: ArrayLike, k0: ArrayLike) -> None:
        """Learn from a closed slot, after its evidence was divided by what was known before."""
        slot = np.array([k1, k0], dtype=np.float64)
        rows = slot.sum(-1)
        for arm in range(2):
            if rows[arm] > 0:
                self._sums[:2] += _scatter(slot[arm], self._last[arm])
                self._last[arm] = slot[arm]
        if rows.all():
            share = rows[0] / rows.sum()
            self._sums[2:] += _split(slot, share, self._arms)
            self._arms += slot * np.array([[1 - share], [share]])

    def to_state(self) -> str:
        """Everything that `from_state` needs, besides the number of bins."""
        return pack(np.concatenate([self._sums, self._arms.ravel(), self._last.ravel()]))

    @classmethod
    def from_state(cls, state: str, bins: int = 2) -> Self:
        """The estimate as it was when `to_state` was called, bit for bit."""
        known, values = cls(bins), unpack(state)
        known._sums = values[:4]
        known._arms, known._last = values[4:].reshape(2, 2, bins)
        return known


def _scatter(now: Floats, before: Floats) -> Floats:
    """What two slots of an arm add to S and V."""
    n, o = now.sum(), before.sum()
    if o == 0:
        return np.zeros(2)
    share, half_rows = (now + before) / (n + o), (n + o) / 4
    expected = float((share * (1 - share)).sum() * half_rows)
    if expected == 0:
        return np.zeros(2)
    scatter = n * o / (n + o) * ((now / n - before / o) ** 2).sum() * half_rows
    most = MOST_OF_A_PAIR * (now.size - 1)
    return np.array([scatter, expected]) * min(1.0, most / expected)


def _split(slot: Floats, share: float, arms: Floats) -> Floats:
    """What a slot adds to s and v: how its events split between the arms."""
    ratio = (arms[0] + SHRINKAGE) / (arms[1] + SHRINKAGE)
    q = share * ratio / (1 - share + share * ratio)
    m = slot.sum(0)
    variance = m * q * (1 - q) * (1 - m / m.sum())
    return np.array([((slot[0] - m * q) ** 2).sum(), variance.sum()]) / 2
