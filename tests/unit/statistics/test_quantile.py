"""By how much the candidate is slower at a quantile, and how sure that is."""

import json
import math

import numpy as np
import pytest

from tidegate.evidence.latency import BINS, BINS_PER_DOUBLING, FLOOR_SECONDS
from tidegate.statistics.latency import decayed
from tidegate.statistics.quantile import QuantileShift


def histogram(seconds: np.ndarray) -> np.ndarray:
    bins = np.floor(BINS_PER_DOUBLING * np.log2(seconds / FLOOR_SECONDS)).astype(int)
    return np.bincount(bins.clip(0, BINS - 1), minlength=BINS)


def watched(
    slower: float, slots: int, seed: int, quantile: float = 0.9
) -> tuple[QuantileShift, list[tuple[float, float]]]:
    """A canary of a tenth, with a load that rises for both arms, and the intervals on the way."""
    rng, shift, past, seen = np.random.default_rng(seed), QuantileShift(), np.zeros(BINS), []
    for slot in range(slots):
        load = 0.04 * (1 + slot / slots)
        h1 = histogram(slower * load * rng.lognormal(0, 0.5, 50))
        h0 = histogram(load * rng.lognormal(0, 0.5, 450))
        shift.update(h1, h0, past, quantile)
        past = decayed(past, h0)
        seen.append(shift.interval(0.05))
    return shift, seen


@pytest.mark.parametrize("slower", [0.7, 1.0, 1.25, 2.0])
def test_the_estimate_is_close_and_the_interval_around_it_shrinks(slower: float) -> None:
    shift, seen = watched(slower, 120, seed=3)
    truth = BINS_PER_DOUBLING * math.log2(slower)
    assert shift.estimate() == pytest.approx(truth, abs=1.0)
    assert seen[-1][0] <= truth <= seen[-1][1]
    assert seen[-1][1] - seen[-1][0] <= 6
    assert seen[2][1] - seen[2][0] > seen[-1][1] - seen[-1][0]


def test_60_watched_intervals_hold_all_the_time() -> None:
    """At the level of 5 %, three of 60 are allowed to be wrong at some look or other."""
    truth = BINS_PER_DOUBLING * math.log2(1.5)
    wrong = 0
    for seed in range(60):
        _, seen = watched(1.5, 40, seed)
        wrong += any(not low <= truth <= high for low, high in seen)
    assert wrong <= 3


def test_nothing_is_known_without_a_past_or_an_arm() -> None:
    shift, some, none = QuantileShift(), np.ones(BINS), np.zeros(BINS)
    for h1, h0, past in ((some, some, none), (none, some, some), (some, none, some)):
        shift.update(h1, h0, past, 0.9)
    assert shift.interval(0.05) == (-math.inf, math.inf)
    assert shift.estimate() is None


def test_what_is_shifted_out_of_the_histogram_is_not_known() -> None:
    shift, slowest = QuantileShift(), np.zeros(BINS)
    slowest[BINS - 3 :] = 100
    for _ in range(60):
        shift.update(slowest, slowest, slowest, 0.5)
    assert shift.interval(0.05)[1] == math.inf


def test_clusters_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    shift = QuantileShift()
    past = histogram(rng.lognormal(-3, 0.5, 5000))
    for _ in range(60):
        h1, h0 = (histogram(rng.lognormal(-3, 0.5, n)) for n in (60, 540))
        shift.update(h1, h0, past, 0.9)
    assert np.ptp(shift.interval(0.05)) < np.ptp(shift.interval(0.05, phi=4.0))


def test_a_restored_sequence_goes_on_bit_for_bit() -> None:
    shift, _ = watched(1.3, 7, seed=2)
    restored = QuantileShift.from_state(json.loads(json.dumps(shift.to_state())))
    h = histogram(np.random.default_rng(1).lognormal(-3, 0.5, 500))
    for s in (shift, restored):
        s.update(h, h, h, 0.9)
    assert restored.to_state() == shift.to_state()
    assert len(json.dumps(shift.to_state())) < 2048
