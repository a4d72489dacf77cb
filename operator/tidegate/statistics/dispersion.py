"""How many rows share their fate: what divides the evidence where rows are not independent.

Requests of one session, one batch, one broken upstream fail together. A test that takes them as
independent loses most of the good candidates. Dividing the evidence by the size of such a cluster
mends that exactly, if the size is known; here it is estimated, from all slots so far.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Literal, Self

from tidegate.statistics.floats import pack, unpack

PRIOR_EVENTS = 0.75  # the first guess counts like so many, and is forgotten in a few slots
BEFORE_HARM = 10.0  # nothing is decided on a single burst while clusters are still unknown ...
BEFORE_SAFETY = 2.0  # ... but a service that never fails shows no clusters, and has to pass
MOST_OF_A_PAIR = 1.5  # events; two slots are one comparison, however many rows they have
SPLIT_PRIOR = 20.0  # events that the split of the arms must have brought before it is heard
SHRINKAGE = 5.0  # events of each arm that pull the assumed ratio towards 1


def check_arguments(restart: float, horizon: int, dispersion: float | Literal["auto"]) -> None:
    """Raise ValueError unless these make sense; all tests between the arms share them."""
    if not 0 <= restart < 1 or horizon < 1:
        raise ValueError(f"want 0 <= restart < 1 <= horizon, got {restart}, {horizon}")
    if dispersion != "auto" and dispersion < 1:
        raise ValueError(f"dispersion must be 'auto' or at least 1, got {dispersion}")


class Dispersion:
    """The variance of counts over that of independent rows, at least 1, from the slots so far.

    Formula: for two successive slots of an arm, c of n rows by bin, then c' of n', with pooled
    shares `r_j` and `N = (n + n') / 2`,

        S = sum_pairs w n n'/(n + n') sum_j (c_j/n - c'_j/n')^2 N / 2
        V = sum_pairs w sum_j r_j (1 - r_j) N / 2

        known = (0.75 * 10 + S) / (0.75 + V),    phi = known (1 + sqrt((known - 1) / (0.75 + V)))

    over both arms; w limits what a pair adds to V to 1.5 events for each degree of freedom.
    Independent rows make S and V equal in expectation, clusters of D rows make S D times V. The
    sums come before the quotient: a mean of quotients explodes where a slot expects a quarter of an
    event. Ten is what is assumed at first.

    phi is an upper limit, by one standard error: V events in clusters of D are only V / D pieces of
    evidence, and what is divided by too little is decided wrongly. Where rows are independent, any
    divisor of at least 1 is safe, so there is nothing to add to 1.

    A level that moves from slot to slot looks like clusters. It does not change in which arm the
    events happen; so how they split, `s = sum_j (k1_j - m_j q_j)^2 / 2` beside its variance v, is
    a second estimate: `known` is at most `(20 known + s) / (20 + v)`. Towards a Pass the split must
    have brought 20 clusters, `20 min(known, 10)` in place of 20: few failures of the candidate are
    what speaks for it, and they make the split small at the same time.

    While nobody has seen an event there is nothing to tell clusters by, and nothing but silence to
    pass on: phi is 2 towards a Pass then.

    No cluster inside a slot is larger than the rows of an arm in it: the divisor is at most that of
    whole slots, `sum_t n_t^2 / sum_t n_t`, n the rows of the smaller arm. Without that, a canary of
    one request in a slot, all of which fail, would be taken for a single cluster of ten for
    minutes: events without exception have no scatter.

    `Mixture` divides all evidence by the newest estimate: for independent rows any divisor of at
    least 1 keeps the guarantee, also one that has seen the same slots. The estimate sees clusters
    inside a slot; of one session that lasts for many slots it knows nothing: give its length.
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
        self._scattered = self._expected = 0.0  # S, V
        self._split = self._varied = 0.0  # s, v
        self._arms = [[0.0] * bins, [0.0] * bins]  # of candidate and stable, as Mantel-Haenszel
        self._last = [[0.0] * bins, [0.0] * bins]  # each arm's newest slot with rows
        self._rows = [0.0, 0.0]  # of the smaller arm in each slot: their sum, and of their squares

    def of_harm(self) -> float:
        """The divisor for a Fail."""
        known = self._by_scatter()
        return self._upper(self._with_split(known, SPLIT_PRIOR))

    def of_safety(self) -> float:
        """The divisor for a Pass."""
        if not self._seen():
            return self._limited(BEFORE_SAFETY)
        known = self._by_scatter()
        return self._upper(self._with_split(known, SPLIT_PRIOR * min(known, BEFORE_HARM)))

    def divisors(self, dispersion: float | Literal["auto"]) -> tuple[float, float]:
        """For Fail and Pass: those that are given, or the estimates."""
        if dispersion != "auto":
            return dispersion, dispersion
        return self.of_harm(), self.of_safety()

    def _seen(self) -> bool:
        """Whether rows have come in more than one bin."""
        return self._expected > 0 or sum(map(any, zip(*self._last, strict=True))) > 1

    def _by_scatter(self) -> float:
        before = PRIOR_EVENTS * BEFORE_HARM
        return (before + self._scattered) / (PRIOR_EVENTS + self._expected)

    def _with_split(self, known: float, prior: float) -> float:
        return min(known, (prior * known + self._split) / (prior + self._varied))

    def _upper(self, known: float) -> float:
        error = math.sqrt(max(known - 1, 0.0) / (PRIOR_EVENTS + self._expected))
        return self._limited(known * (1 + error))

    def _limited(self, phi: float) -> float:
        rows, squares = self._rows
        return max(1.0, min(phi, squares / rows if rows else math.inf))

    def observe(self, k1: Sequence[float], k0: Sequence[float] | None = None) -> None:
        """Learn from a closed slot, by bin; without `k0` there is but one arm."""
        # Few bins: plain floats take a tenth of the time of arrays.
        slot = [float(k) for k in k1], [0.0] * len(k1) if k0 is None else [float(k) for k in k0]
        n1, n0 = sum(slot[0]), sum(slot[1])
        rows = n1 if k0 is None else min(n1, n0)
        self._rows = [self._rows[0] + rows, self._rows[1] + rows * rows]
        for arm, rows in ((0, n1), (1, n0)):
            if rows > 0:
                scattered, expected = _scatter(slot[arm], self._last[arm])
                self._scattered += scattered
                self._expected += expected
                self._last[arm] = slot[arm]
        if n1 > 0 and n0 > 0:
            share = n1 / (n1 + n0)
            split, varied = _split(slot, share, self._arms)
            self._split += split
            self._varied += varied
            for arm, weight in ((0, 1 - share), (1, share)):
                known = self._arms[arm]
                self._arms[arm] = [a + k * weight for a, k in zip(known, slot[arm], strict=True)]

    def to_state(self) -> str:
        """Everything that `from_state` needs, besides the number of bins."""
        sums = [self._scattered, self._expected, self._split, self._varied]
        return pack([*sums, *self._rows, *chain(*self._arms, *self._last)])

    @classmethod
    def from_state(cls, state: str, bins: int = 2) -> Self:
        """The estimate as it was when `to_state` was called, bit for bit."""
        known, values = cls(bins), unpack(state).tolist()
        known._scattered, known._expected, known._split, known._varied = values[:4]
        known._rows = values[4:6]
        arms = [values[6 + i * bins : 6 + (i + 1) * bins] for i in range(4)]
        known._arms, known._last = arms[:2], arms[2:]
        return known


def _scatter(now: Sequence[float], before: Sequence[float]) -> tuple[float, float]:
    """What two slots of an arm add to S and V."""
    n, o = sum(now), sum(before)
    if o == 0:
        return 0.0, 0.0
    half_rows = (n + o) / 4
    shares = [(c + d) / (n + o) for c, d in zip(now, before, strict=True)]
    expected = half_rows * sum(r * (1 - r) for r in shares)
    if expected == 0:
        return 0.0, 0.0
    apart = sum((c / n - d / o) ** 2 for c, d in zip(now, before, strict=True))
    weight = min(1.0, MOST_OF_A_PAIR * (len(now) - 1) / expected)
    return weight * n * o / (n + o) * apart * half_rows, weight * expected


def _split(
    slot: Sequence[Sequence[float]], share: float, arms: Sequence[Sequence[float]]
) -> tuple[float, float]:
    """What a slot adds to s and v: how its events split between the arms."""
    rows = sum(slot[0]) + sum(slot[1])
    split = varied = 0.0
    for k1, k0, a1, a0 in zip(*slot, *arms, strict=True):
        ratio = (a1 + SHRINKAGE) / (a0 + SHRINKAGE)
        q = share * ratio / (1 - share + share * ratio)
        m = k1 + k0
        split += (k1 - m * q) ** 2
        varied += m * q * (1 - q) * (1 - m / rows)
    return split / 2, varied / 2
