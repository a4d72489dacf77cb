"""Tidegate's tests, for many runs at once: thousands of rollouts take minutes, not hours.

The operator weighs one rollout at a time, and its tests hold the state of one. What follows is
their evidence with a leading axis of runs; that the numbers are the product's own is
what `tests/unit/benchmarks/decisions/test_batch.py` is for.
"""

import math

import numpy as np
from benchmarks.decisions.worlds import Errors, Flags, Floats, Histograms

from tidegate.api.v1alpha1.analysis import Metric
from tidegate.rollout.trackers import PREDICTION_BINS, tracker_of
from tidegate.statistics import difference, ratio, shift
from tidegate.statistics.difference import DifferenceTest, log_bet
from tidegate.statistics.dispersion import (
    BEFORE_HARM,
    BEFORE_SAFETY,
    MOST_OF_A_PAIR,
    PRIOR_EVENTS,
    SHRINKAGE,
    SPLIT_PRIOR,
)
from tidegate.statistics.latency import PAST_MEMORY, ROUNDING, bins_of_increase
from tidegate.statistics.ratio import RatioTest
from tidegate.statistics.shift import ShiftTest

Test = RatioTest | DifferenceTest | ShiftTest


def evidence(metric: Metric, data: Errors | Histograms, session: int | None = None) -> Floats:
    """The log e-value for a Fail after each slot; runs by slots."""
    test = tracker_of(metric, session).test
    match test, data:
        case RatioTest(), Errors():
            return _ratio(test, data)
        case DifferenceTest(), Errors():
            return _difference(test, data)
        case RatioTest(), Histograms():
            return _ratio(test, _exceedances(metric, data))
        case ShiftTest(), Histograms():
            return _shift(test, data)
        case _:
            raise TypeError(f"{metric.source} is not weighed on {type(data).__name__}")


def safety(metric: Metric, errors: Errors, session: int | None = None) -> Floats:
    """The log e-value for a Pass after each slot; runs by slots."""
    test = tracker_of(metric, session).test
    match test:
        case RatioTest():
            return _ratio(test, errors, safe=True)
        case DifferenceTest():
            return _difference(test, errors, safe=True)
        case _:
            raise TypeError(f"of {metric.source} only Fails are weighed")


class _Mixture:
    """What the tests have in common: alternatives that count from the start, or from later on."""

    def __init__(self, test: Test, runs: int, log_prior: Floats, *, safe: bool = False) -> None:
        self._log_prior, self._horizon = log_prior, test.horizon
        self._restart = 0.0 if safe else test.restart
        self._early = np.zeros((runs, log_prior.size))
        self._late = np.full((runs, log_prior.size), -np.inf)
        self._slots = np.zeros(runs)

    def add(self, step: Floats, tells: Flags) -> None:
        """A slot's evidence for each run and alternative, of the runs that it tells something."""
        begins = (tells & (self._slots < self._horizon))[:, None]
        begun = np.logaddexp(self._late, 0.0)
        step = np.where(tells[:, None], step, 0.0)
        self._late = np.where(begins, begun, self._late) + step
        self._early = self._early + step
        self._slots = self._slots + tells

    def log_e(self, phi: Floats) -> Floats:
        """Divided by each run's own divisor."""
        return np.minimum(self._divided(np.ones(phi.size)), self._divided(phi))

    def _divided(self, phi: Floats) -> Floats:
        parts = [self._early / phi[:, None] + math.log1p(-self._restart)]
        if self._restart > 0:
            parts += [self._late / phi[:, None] + math.log(self._restart / self._horizon)]
        stakes = np.concatenate([self._log_prior + part for part in parts], axis=1)
        waiting = self._restart * np.maximum(0.0, 1 - self._slots / self._horizon)
        most = np.maximum(stakes.max(axis=1), 0.0)
        started = np.exp(stakes - most[:, None]).sum(axis=1)  # five times as fast as logaddexp
        return np.asarray(most + np.log(started + waiting * np.exp(-most)))


class _Clusters:
    """`Dispersion.of_harm`, or `of_safety`; all counts are arms by runs by bins."""

    def __init__(self, test: Test, runs: int, bins: int = 2, *, safe: bool = False) -> None:
        self._given = None if test.dispersion == "auto" else test.dispersion
        self._safe = safe
        self._sums, self._rows = np.zeros((4, runs)), np.zeros((2, runs))
        self._arms = np.zeros((2, runs, bins))
        self._last = np.zeros((2, runs, bins))

    def after(self, slot: Floats) -> Floats:
        """The divisor of each run's evidence, after one more slot."""
        if self._given is not None:
            return np.full(slot.shape[1], self._given)
        smaller = slot.sum(-1).min(axis=0)
        self._rows += np.array([smaller, smaller**2])
        with np.errstate(divide="ignore", invalid="ignore"):
            self._observe(slot)
            whole_slots = np.where(self._rows[0] > 0, self._rows[1] / self._rows[0], np.inf)
        scatter, expected, split, variance = self._sums
        known = (PRIOR_EVENTS * BEFORE_HARM + scatter) / (PRIOR_EVENTS + expected)
        prior = SPLIT_PRIOR * (np.minimum(known, BEFORE_HARM) if self._safe else 1.0)
        known = np.minimum(known, (prior * known + split) / (prior + variance))
        phi = known * (1 + np.sqrt(np.maximum(known - 1, 0.0) / (PRIOR_EVENTS + expected)))
        if self._safe:
            seen = (expected > 0) | ((self._last.sum(axis=0) > 0).sum(-1) > 1)
            phi = np.where(seen, phi, BEFORE_SAFETY)
        return np.asarray(np.maximum(1.0, np.minimum(phi, whole_slots)))

    def _observe(self, slot: Floats) -> None:
        n, o = slot.sum(-1), self._last.sum(-1)
        share, half_rows = (slot + self._last) / (n + o)[..., None], (n + o) / 4
        expected = (share * (1 - share)).sum(-1) * half_rows
        apart = slot / n[..., None] - self._last / o[..., None]
        scatter = n * o / (n + o) * (apart**2).sum(-1) * half_rows
        most = np.minimum(1.0, MOST_OF_A_PAIR * (slot.shape[-1] - 1) / expected)
        tells = (n > 0) & (o > 0) & (expected > 0)
        self._sums[:2] += np.where(tells, np.array([scatter, expected]) * most, 0.0).sum(axis=1)
        self._last = np.where(n[..., None] > 0, slot, self._last)
        self._split(slot, n)

    def _split(self, slot: Floats, n: Floats) -> None:
        both = np.all(n > 0, axis=0)
        share = (n[0] / n.sum(axis=0))[:, None]
        seen = (self._arms[0] + SHRINKAGE) / (self._arms[1] + SHRINKAGE)
        q = share * seen / (1 - share + share * seen)
        m = slot.sum(axis=0)
        variance = m * q * (1 - q) * (1 - m / m.sum(-1, keepdims=True))
        found = np.array([((slot[0] - m * q) ** 2).sum(-1), variance.sum(-1)]) / 2
        self._sums[2:] += np.where(both, found, 0.0)
        self._arms += np.where(both[:, None], slot * np.array([1 - share, share]), 0.0)


def _ratio(test: RatioTest, errors: Errors, *, safe: bool = False) -> Floats:
    runs, slots = errors.n1.shape
    mixture = _Mixture(test, runs, ratio.LOG_PRIOR, safe=safe)
    clusters, found = _Clusters(test, runs, safe=safe), np.empty((runs, slots))
    edge, steps = (1.0 + test.margin, 1 / ratio.STEPS) if safe else (1.0 + test.tol, ratio.STEPS)
    normaliser = ratio.log_normaliser if edge == 1 else ratio.log_normaliser_of_rates
    for slot in range(slots):
        k1, n1, k0, n0 = _column(errors, slot)
        phi = clusters.after(np.array([[k1, n1 - k1], [k0, n0 - k0]]).transpose(0, 2, 1))
        m = k1 + k0
        informative = (n1 > 0) & (n0 > 0) & (m > 0)
        rows = np.where(informative, [n1, n0, m], 1)[..., None]  # others would divide by nothing
        better, base = (normaliser(psi, *rows) for psi in (edge * steps, edge))
        mixture.add(k1[:, None] * np.log(steps) - (better - base), informative)
        found[:, slot] = mixture.log_e(phi)
    return found


def _difference(test: DifferenceTest, errors: Errors, *, safe: bool = False) -> Floats:
    runs, slots = errors.n1.shape
    prior, above = difference.LOG_PRIOR_WORSE, test.tol * (1 + difference.EXCESS)
    if safe:
        prior, above = difference.LOG_PRIOR_GOOD, test.tol * (1 - difference.SHORTFALL)
    mixture = _Mixture(test, runs, prior, safe=safe)
    clusters, found = _Clusters(test, runs, safe=safe), np.empty((runs, slots))
    level, known = np.zeros((2, runs)), np.zeros(runs, bool)
    for slot in range(slots):
        k1, n1, k0, n0 = _column(errors, slot)
        phi = clusters.after(np.array([[k1, n1 - k1], [k0, n0 - k0]]).transpose(0, 2, 1))
        rate = ((level[0] + 0.1) / (level[1] + 0.2))[:, None]
        smallest = difference.SMALLEST_RATE
        q1 = (rate + above).clip(smallest, 1 - smallest)
        rows1, rows0 = np.maximum(n1, 1)[:, None], np.maximum(n0, 1)[:, None]
        step = log_bet(k1[:, None], rows1, k0[:, None], rows0, q1, rate, test.tol)
        step = np.where(safe | (q1 - rate > test.tol), step, 0.0)
        both = (n1 > 0) & (n0 > 0)
        mixture.add(step, both & known)
        keep = np.maximum(difference.LEVEL_MEMORY, 1 - n0 / difference.LEVEL_ROWS)
        level = np.where(both, keep * level + np.array([k0, n0]), level)
        known |= both
        found[:, slot] = mixture.log_e(phi)
    return found


def _column(errors: Errors, slot: int) -> tuple[Floats, Floats, Floats, Floats]:
    k1, n1, k0, n0 = (
        c[:, slot].astype(np.float64) for c in (errors.k1, errors.n1, errors.k0, errors.n0)
    )
    return k1, n1, k0, n0


def _exceedances(metric: Metric, histograms: Histograms) -> Errors:
    """`latency_tables`: requests beyond stable's past quantile, the candidate's shifted by bins."""
    runs, slots, bins = histograms.h1.shape
    quantile = float(metric.quantile or "0.99")
    shifted = bins_of_increase(float(metric.max_relative_increase or "0"))
    past, tables = np.zeros((runs, bins)), np.zeros((4, runs, slots), int)
    for slot in range(slots):
        h1, h0 = histograms.h1[:, slot], histograms.h0[:, slot]
        mass = past.cumsum(axis=1)
        beyond = 1 + (mass < quantile * mass[:, -1:] * (1 - ROUNDING)).sum(axis=1)
        fits = beyond + shifted < bins
        k1 = np.where(np.arange(bins) >= (beyond + shifted)[:, None], h1, 0).sum(axis=1)
        k0 = np.where(np.arange(bins) >= beyond[:, None], h0, 0).sum(axis=1) * fits
        there = mass[:, -1] > 0
        tables[:, :, slot] = there * np.array([k1, h1.sum(axis=1), k0, h0.sum(axis=1)])
        past = PAST_MEMORY * past + h0
    return Errors(*tables)


def _shift(test: ShiftTest, histograms: Histograms) -> Floats:
    runs, slots, bins = histograms.h1.shape
    unused = np.zeros((2, runs, PREDICTION_BINS - bins))
    mixture = _Mixture(test, runs, np.zeros(1))
    clusters, found = _Clusters(test, runs, PREDICTION_BINS), np.empty((runs, slots))
    past, known = np.zeros((2, runs, PREDICTION_BINS)), np.zeros(runs, bool)
    for slot in range(slots):
        counted = np.array([histograms.h1[:, slot], histograms.h0[:, slot]], np.float64)
        counts = np.concatenate([counted, unused], axis=-1)
        phi = clusters.after(counts)
        both = (counts.sum(-1) > 0).all(axis=0)
        step = np.zeros(runs)
        bets = both & known
        step[bets] = _shift_step(test, past[:, bets], counts[:, bets])
        mixture.add(step[:, None], bets)
        past = np.where(both[:, None], shift.MEMORY * past + counts, past)
        known |= both
        found[:, slot] = mixture.log_e(phi)
    return found


def _shift_step(test: ShiftTest, past: Floats, counts: Floats) -> Floats:
    """`ShiftTest` for a slot of runs that have a past."""
    pooled = past.sum(axis=0) + 1 / past.shape[-1]
    before = past + shift.PRIOR_ROWS * pooled / pooled.sum(-1, keepdims=True)
    rows = before.sum(-1, keepdims=True)
    q, n = before / rows, counts.sum(-1, keepdims=True)
    spare = np.maximum((past.sum(axis=0) > 0).sum(-1) - 1, 1)
    noise = spare / 8 * (1 / rows[..., 0]).sum(axis=0)
    gap = shift.js_terms(q[0], q[1]).sum(-1) - noise - test.tol**2
    scores = np.log(2 * q / q.sum(axis=0)) / 2
    mean = (q * scores).sum(-1, keepdims=True)
    spread = (q * scores**2).sum(-1, keepdims=True) - mean**2 + 1e-12
    share = spread / n / (spread / n).sum(axis=0)
    apart = scores - (mean - (mean.sum(axis=0) - test.tol**2) * share)
    second = (q * apart**2).sum(-1, keepdims=True)
    ruin = (n / -apart.min(-1, keepdims=True)).min(axis=0)[:, 0]
    bet = np.minimum(gap / (second / n).sum(axis=0)[:, 0], shift.LARGEST_BET * ruin)
    step = (counts * np.log1p(np.where(gap > 0, bet, 0.0)[:, None] / n * apart)).sum((0, 2))
    return np.asarray(step)
