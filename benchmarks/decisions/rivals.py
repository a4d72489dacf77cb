"""The rules of others, from their published behaviour; the README names the sources.

Each takes the counts of many runs and gives, for each run, the slot after which the candidate is
rolled back, counted from 1; infinity where it never is. Rules that look at minutes get the slots
of a minute added up.
"""

import math

import numpy as np
from benchmarks.decisions.worlds import Counted, Errors, Flags, Floats
from scipy.special import ndtri
from scipy.stats import mannwhitneyu

SLOTS_A_MINUTE = 6
SMALLEST_SHARE = 1e-4  # what PSI takes for an empty bin
FEWEST_MINUTES = 5  # below that, the normal approximation of the rank test is not to be had


def first(failed: Flags, every: int = 1) -> Floats:
    """The slot of the first True in each row, whose columns are `every` slots apart."""
    return np.where(failed.any(axis=1), every * (failed.argmax(axis=1) + 1.0), np.inf)


def by_minute(counts: Counted) -> Counted:
    """Six slots of ten seconds added up; runs by minutes, and whatever follows."""
    runs, slots, *rest = counts.shape
    minutes = counts.reshape(runs, slots // SLOTS_A_MINUTE, SLOTS_A_MINUTE, *rest)
    return np.asarray(minutes.sum(axis=2))


def error_rates(errors: Errors) -> tuple[Floats, Floats]:
    """The share of failed requests in each minute: candidate, stable; nan without requests."""
    with np.errstate(invalid="ignore"):
        return (
            by_minute(errors.k1) / by_minute(errors.n1),
            by_minute(errors.k0) / by_minute(errors.n0),
        )


def flagger(healthy: Flags, threshold: int = 5, steps: float = math.inf) -> Floats:
    """Roll back when `threshold` checks have failed in all; promote after `steps` good ones.

    Failed checks are never forgotten. A minute without a value is a failed check.
    """
    failed, good = (~healthy).cumsum(axis=1), healthy.cumsum(axis=1)
    return first((failed >= threshold) & (good < steps), SLOTS_A_MINUTE)


def argo(success: Flags, failure_limit: int = 0) -> Floats:
    """Roll back when more than `failure_limit` measurements have failed in all."""
    return first((~success).cumsum(axis=1) > failure_limit, SLOTS_A_MINUTE)


def kayenta(candidate: Floats, stable: Floats, every: int = 5) -> Floats:
    """The rank test's 98 % interval of the difference, beyond 25 % of its estimate; no lower.

    Formula: interval and estimate of Hodges and Lehmann from the sorted differences of all pairs
    of minutes; `High` where the lower limit exceeds `0.25 |estimate|`. Judged `every` minutes.
    """
    runs, minutes = candidate.shape
    high = np.zeros((runs, minutes // every), bool)
    for look in range(high.shape[1]):
        n = every * (look + 1)
        pairs = (candidate[:, :n, None] - stable[:, None, :n]).reshape(runs, n * n)
        rank = math.floor(n * n / 2 - 0.5 + ndtri(0.01) * math.sqrt(n * n * (2 * n + 1) / 12))
        if rank < 0:
            continue  # too few minutes for any interval
        ordered = np.sort(pairs, axis=1)
        high[:, look] = ordered[:, rank] > 0.25 * np.abs(np.median(ordered, axis=1))
    return first(high, every * SLOTS_A_MINUTE)


def two_proportions(errors: Errors, alpha: float) -> Floats:
    """The one-sided z-test of all requests so far, after every slot."""
    k1, n1, k0, n0 = (np.cumsum(n, axis=1) for n in (errors.k1, errors.n1, errors.k0, errors.n0))
    pooled = (k1 + k0) / (n1 + n0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (k1 / n1 - k0 / n0) / np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n0))
    return first(z > -ndtri(alpha))


def rank_test(candidate: Floats, stable: Floats, alpha: float) -> Floats:
    """The one-sided Mann-Whitney test of all minutes so far, after every minute."""
    rejected = np.zeros(candidate.shape, bool)
    for n in range(FEWEST_MINUTES, candidate.shape[1] + 1):
        with np.errstate(invalid="ignore", divide="ignore"):  # all minutes tied: no evidence
            p = mannwhitneyu(
                candidate[:, :n],
                stable[:, :n],
                alternative="greater",
                method="asymptotic",
                axis=1,
            ).pvalue
        rejected[:, n - 1] = p < alpha
    return first(rejected, SLOTS_A_MINUTE)


def rank_test_of_rows(h1: Counted, h0: Counted, alpha: float, *, two_sided: bool) -> Floats:
    """The Mann-Whitney test of all rows so far, after every slot; rows of a bin are tied."""
    z = np.empty(h1.shape[:2])
    for run in range(h1.shape[0]):  # a run at a time: the sums of all of them would fill memory
        a, b = h1[run].cumsum(axis=0), h0[run].cumsum(axis=0)
        n1, n0, tied = a.sum(axis=1), b.sum(axis=1), (a + b).astype(np.float64)
        wins = (a * (b.cumsum(axis=1) - b / 2)).sum(axis=1)
        n = n1 + n0
        ties = (tied**3 - tied).sum(axis=1) / (n * (n - 1.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            z[run] = (wins - n1 * n0 / 2) / np.sqrt(n1 * n0 / 12 * (n + 1 - ties))
    return first((np.abs(z) > -ndtri(alpha / 2)) if two_sided else z > -ndtri(alpha))


def psi(current: Counted, reference: Counted | Floats) -> Floats:
    """The population stability index over the last axis.

    Formula: `sum_j (p_j - q_j) ln(p_j / q_j)`, empty bins taken for a share of 0.0001.
    """
    with np.errstate(invalid="ignore"):
        p, q = (np.asarray(h) / np.sum(h, axis=-1, keepdims=True) for h in (current, reference))
    p, q = np.maximum(p, SMALLEST_SHARE), np.maximum(q, SMALLEST_SHARE)
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1))


def psi_threshold(current: Counted, reference: Counted | Floats, in_a_row: int = 1) -> Floats:
    """Roll back when PSI has been above 0.2 in some minutes in a row."""
    drifted = psi(by_minute(current), reference) > 0.2
    for _ in range(in_a_row - 1):
        drifted[:, 1:] &= drifted[:, :-1].copy()
        drifted[:, 0] = False
    return first(drifted, SLOTS_A_MINUTE)


def quantiles(histograms: Counted, quantile: float, upper: Floats) -> Floats:
    """The quantile of each minute, as the upper bound of its bin."""
    mass = by_minute(histograms).cumsum(axis=-1)
    return np.asarray(upper[(mass < quantile * mass[..., -1:]).sum(axis=-1)])
