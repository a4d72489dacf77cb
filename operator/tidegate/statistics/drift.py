"""Has a stream left the tolerance around its reference? Alarms with a promised mean spacing.

An e-detector promises that the mean number of windows before a false alarm (the ARL) is at least
the value asked for, over all streams together and however long it runs. Source of the principle:
J. Shin, A. Ramdas, A. Rinaldo, New England Journal of Statistics in Data Science 2 (2024).
"""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, rel_entr

from tidegate.statistics.floats import Floats, pack, unpack

MEMORY = 0.8  # the adaptive alternative follows the last five windows
PRIOR_ROWS = 50.0  # rows of the reference mixed into the adaptive alternative
TILTS = (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0)  # in standard deviations
SURGE, FADE = 0.1, 0.2  # a bin gains ten points of share, or keeps a fifth of it
SMALLEST_SHARE = 1e-4  # a bin that the reference never filled is rare, not impossible
ETAS = np.exp2(np.arange(-2.0, 7.0))  # any eta gives a valid bound; nine come close to the best
SHRINKAGES = (1.0, 0.7, 0.5, 0.3, 0.15)
ODDS = np.geomspace(1.1, 30.0, 10)  # alternatives of a rate, as multiples of its odds
LARGEST_RATE = 1 - 1e-6  # its odds can still be multiplied


def alarm_threshold(streams: int, arl: float) -> float:
    """The evidence, in nats, at which `log_m` alarms: `ln(streams * arl)`.

    `arl` is the mean number of windows between false alarms of all `streams` together.

    >>> round(alarm_threshold(30, 10_000), 2)
    12.61
    """
    return math.log(streams * arl)


def alternatives(r: Floats, special: int, *, ordered: bool) -> Floats:
    """The fixed dictionary of drifted shares, shape `(*lead, A, K)`: shifts, spreads, single bins.

    Ordered bins are tilted by `exp(s z)` and `exp(s (z^2 - 1) / 2)`, z the normal score of the
    bin's middle; the last `special` bins (missing, out of range, ...) have z = 0.

    >>> alternatives(np.array([0.5, 0.5]), special=0, ordered=False).round(2).tolist()
    [[0.55, 0.45], [0.45, 0.55], [0.17, 0.83], [0.83, 0.17]]
    """
    identity = np.eye(r.shape[-1])
    base = r[..., None, :]
    tilted = [(1 - SURGE) * base + SURGE * identity, base * (1 - (1 - FADE) * identity)]
    if ordered:
        body = r[..., : r.shape[-1] - special]
        middle = (np.cumsum(body, -1) - body / 2) / body.sum(-1, keepdims=True)
        z = np.zeros_like(r)
        z[..., : body.shape[-1]] = ndtri(middle)
        spread = np.zeros_like(r)
        spread[..., : body.shape[-1]] = (z[..., : body.shape[-1]] ** 2 - 1) / 2
        s = np.array(TILTS)[:, None]
        tilted += [base * np.exp(s * z[..., None, :]), base * np.exp(s * spread[..., None, :])]
    q = np.concatenate(tilted, axis=-2)
    return np.asarray(q / q.sum(-1, keepdims=True))


def log_payoff(q: Floats, r: Floats, eps: float) -> Floats:
    """`ln(f / h)` for each bin: what a row in it adds to the evidence for q.

    Formula: `f = (q/r)^lam`, and h an upper bound of
    `sup {E_p f : KL(p||r) <= eps} <= eta eps + eta ln sum_j r_j exp(f_j / eta)` for any eta > 0,
    and of course `<= max f`. So `E_p[f/h] <= 1` for every p in the ball, whatever lam is. The best
    lam for a q near the ball is `1 - sqrt(eps / KL(q||r))`; for a surge of a rare bin it is less,
    so shrunken ones are tried and the one with the largest gain under q is kept.
    Source: Z. Hu, L. J. Hong, Kullback-Leibler divergence constrained distributionally robust
    optimization (2013) (the dual). Unit: nats.

    >>> r = np.array([0.5, 0.5])
    >>> pay = log_payoff(np.array([0.8, 0.2]), r, 0.01)
    >>> bool((r * np.exp(pay)).sum() <= 1)
    True
    """
    divergence = rel_entr(q, r).sum(-1, keepdims=True)
    nearby = 1 - np.sqrt(eps / np.maximum(divergence, eps))  # 0 inside the ball
    best, most = np.zeros(q.shape), np.zeros((*q.shape[:-1], 1))
    for shrinkage in SHRINKAGES:
        payoff = _log_robust(np.log(q / r) * nearby * shrinkage, r, eps)
        gain = (q * payoff).sum(-1, keepdims=True)
        best, most = np.where(gain > most, payoff, best), np.maximum(gain, most)
    return np.asarray(best)


def _log_robust(log_f: Floats, r: Floats, eps: float) -> Floats:
    """`ln(f / h)` for given f."""
    f = np.exp(log_f)
    mean = (r * f).sum(-1, keepdims=True)
    deviation = np.sqrt((r * (f - mean) ** 2).sum(-1, keepdims=True))
    # 1e-12 keeps eta positive where the payoff is flat; there the bound max f = 1 applies.
    eta = ETAS * (deviation + 1e-12) / math.sqrt(2 * eps)
    highest = f.max(-1, keepdims=True)
    tilted = np.exp((f - highest)[..., None, :] / eta[..., :, None])
    dual = eta * (eps + np.log((tilted * r[..., None, :]).sum(-1))) + highest
    h = np.minimum(highest, dual.min(-1, keepdims=True))
    return np.asarray(log_f - np.log(h))


class DriftDetector:
    """Do the shares p of K bins lie outside `KL(p||r) <= eps`? Vectorised over leading axes.

    Formula, for a window with counts c: `ln e = sum_j c_j ln(f_j/h) / D` for each alternative, then
    `ln M <- max(ln M, 0) + ln e`; the result is half the adaptive alternative, half the mean of the
    dictionary. `D` is how many rows share their fate (`dispersion`), >= 1, one or per stream.

    Null: in every window so far p was inside the ball. eps also has to cover the sampling error of
    the reference, `(K - 1) / (2 rows)`; it is raised to that when `n_ref` is given.
    Source: Shin, Ramdas, Rinaldo (2024); see `log_payoff`. Unit: nats.

    >>> detector = DriftDetector(4, eps=0.01, special=0)
    >>> for _ in range(5):
    ...     detector.update([100, 200, 300, 400], [0.25, 0.25, 0.25, 0.25])
    >>> bool(detector.log_m() > alarm_threshold(1, 10_000))
    True
    """

    def __init__(
        self,
        bins: int,
        eps: float = 0.01,
        D: float | ArrayLike = 1.0,  # noqa: N803  # the literature's name
        *,
        ordered: bool = True,
        special: int = 3,
        lead: tuple[int, ...] = (),
        n_ref: int | None = None,
    ) -> None:
        if eps <= 0 or bins - special < 2:
            raise ValueError(
                f"want eps > 0, two bins that are not special: {eps}, {bins}, {special}"
            )
        self.bins, self.special, self.ordered, self.lead = bins, special, ordered, lead
        self.eps = eps if n_ref is None else max(eps, (bins - 1) / (2 * n_ref))
        self.D = np.broadcast_to(np.asarray(D, dtype=np.float64), lead)
        if (self.D < 1).any():
            raise ValueError("D must be at least 1")
        count = 2 * bins + (2 * len(TILTS) if ordered else 0)
        self._log_m = np.zeros((*lead, count + 1))  # the adaptive alternative comes last
        self._seen = np.zeros((*lead, bins))
        self._expected = np.zeros((*lead, bins))

    def update(self, counts: ArrayLike, r: ArrayLike) -> None:
        """Take in a window: counts and reference shares of that hour, shape `(*lead, bins)`."""
        c, ref = np.asarray(counts, dtype=np.float64), np.asarray(r, dtype=np.float64)
        if c.shape != self._seen.shape:
            raise ValueError(f"want counts of shape {self._seen.shape}, got {c.shape}")
        ref = np.maximum(np.broadcast_to(ref, c.shape), SMALLEST_SHARE)
        ref = ref / ref.sum(-1, keepdims=True)
        adaptive = ref * (self._seen + PRIOR_ROWS * ref) / (self._expected + PRIOR_ROWS * ref)
        adaptive = adaptive / adaptive.sum(-1, keepdims=True)
        q = alternatives(ref, self.special, ordered=self.ordered)
        q = np.concatenate([q, adaptive[..., None, :]], axis=-2)
        pay = log_payoff(q, np.broadcast_to(ref[..., None, :], q.shape), self.eps)
        step = (c[..., None, :] * pay).sum(-1) / self.D[..., None]
        seen_rows = c.sum(-1) > 0  # an empty window neither adds evidence nor forgets any
        self._log_m = np.where(
            seen_rows[..., None], np.maximum(self._log_m, 0.0) + step, self._log_m
        )
        rows = c.sum(-1, keepdims=True)
        keep = np.where(rows > 0, MEMORY, 1.0)
        self._seen = keep * self._seen + c
        self._expected = keep * self._expected + rows * ref

    def log_m(self) -> Floats:
        """Evidence of drift, in nats, one for each stream; compare with `alarm_threshold`."""
        fixed = np.logaddexp.reduce(self._log_m[..., :-1], axis=-1) - math.log(
            self._log_m.shape[-1] - 1
        )
        return np.asarray(np.logaddexp(fixed, self._log_m[..., -1]) - math.log(2))

    def reset(self, where: ArrayLike = True) -> None:  # noqa: FBT002  # a numpy mask, as in `where=`
        """Start over after an alarm, for the streams of the mask `where`."""
        mask = np.broadcast_to(np.asarray(where, dtype=bool), self.lead)[..., None]
        self._log_m = np.where(mask, 0.0, self._log_m)
        self._seen = np.where(mask, 0.0, self._seen)
        self._expected = np.where(mask, 0.0, self._expected)

    def to_state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON."""
        return {
            "bins": self.bins,
            "eps": self.eps,
            "D": pack(self.D),
            "ordered": self.ordered,
            "special": self.special,
            "lead": list(self.lead),
            "logM": pack(self._log_m),
            "seen": pack(self._seen),
            "expected": pack(self._expected),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The detector as it was when `to_state` was called, bit for bit."""
        lead = tuple(int(n) for n in state["lead"])
        detector = cls(
            int(state["bins"]),
            state["eps"],
            unpack(state["D"]).reshape(lead),
            ordered=state["ordered"],
            special=int(state["special"]),
            lead=lead,
        )
        detector._log_m = unpack(state["logM"]).reshape(detector._log_m.shape)
        detector._seen = unpack(state["seen"]).reshape(detector._seen.shape)
        detector._expected = unpack(state["expected"]).reshape(detector._seen.shape)
        return detector


class RateDetector:
    """Has a rate risen above `p0 + tol`? One-sided: wrong labels, missing values, unseen levels.

    Formula: `b = p0 + max(tol, 2 sqrt(p0 (1 - p0) / n_ref))`; for odds q/(1-q) of 1.1 to 30 times
    those of b, `ln e = [k ln(q/b) + (n - k) ln((1-q)/(1-b))] / D`,
    `ln M <- max(ln M, 0) + ln e`; the result is their mean.

    Null: in every window the rate was at most b (the likelihood ratio is monotone in the rate).
    Source: Shin, Ramdas, Rinaldo (2024). Unit: nats; rates are events per row.

    >>> detector = RateDetector(p0=0.02, tol=0.01)
    >>> for _ in range(4):
    ...     detector.update(60, 500)
    >>> bool(detector.log_m() > alarm_threshold(1, 10_000))
    True
    """

    def __init__(
        self,
        p0: float | ArrayLike,
        tol: float = 0.01,
        n_ref: int | None = None,
        D: float = 1.0,  # noqa: N803  # the literature's name
        lead: tuple[int, ...] = (),
    ) -> None:
        rate = np.broadcast_to(np.asarray(p0, dtype=np.float64), lead)
        error = 2 * np.sqrt(rate * (1 - rate) / n_ref) if n_ref else np.zeros(lead)
        # Few rows may leave it open whether it is every row: then nothing is above that.
        self.bound = rate + np.maximum(tol, np.minimum(error, LARGEST_RATE - rate))
        if (rate < 0).any() or (self.bound <= 0).any() or (self.bound >= 1).any() or D < 1:
            raise ValueError(f"want 0 <= p0, 0 < p0 + tol < 1 <= D, got {p0!r}, {tol}, {D}")
        self.D, self.lead = D, lead
        self._log_m = np.zeros((*lead, ODDS.size))

    def update(self, k: ArrayLike, n: ArrayLike) -> None:
        """Take in a window with k events in n rows, shape `lead`; no rows, no change."""
        events, rows = np.asarray(k, np.float64)[..., None], np.asarray(n, np.float64)[..., None]
        if (events < 0).any() or (events > rows).any():
            raise ValueError("want 0 <= events <= rows")
        b = self.bound[..., None]
        q = ODDS * b / (1 - b + ODDS * b)
        step = (events * np.log(q / b) + (rows - events) * (np.log1p(-q) - np.log1p(-b))) / self.D
        self._log_m = np.where(rows > 0, np.maximum(self._log_m, 0.0) + step, self._log_m)

    def log_m(self) -> Floats:
        """Evidence of a risen rate, in nats; compare with `alarm_threshold`."""
        return np.asarray(np.logaddexp.reduce(self._log_m, axis=-1) - math.log(ODDS.size))

    def reset(self, where: ArrayLike | NDArray[np.bool_] = True) -> None:  # noqa: FBT002  # a mask
        """Start over after an alarm, for the streams of the mask `where`."""
        mask = np.broadcast_to(np.asarray(where, dtype=bool), self.lead)[..., None]
        self._log_m = np.where(mask, 0.0, self._log_m)

    def to_state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON."""
        return {
            "bound": pack(self.bound),
            "D": self.D,
            "lead": list(self.lead),
            "logM": pack(self._log_m),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The detector as it was when `to_state` was called, bit for bit."""
        lead = tuple(int(n) for n in state["lead"])
        detector = cls(unpack(state["bound"]).reshape(lead), tol=0.0, D=state["D"], lead=lead)
        detector._log_m = unpack(state["logM"]).reshape(detector._log_m.shape)
        return detector
