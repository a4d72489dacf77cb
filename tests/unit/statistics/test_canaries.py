"""Whole canaries, simulated: what the guarantees mean in a rollout."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from tidegate.statistics import DifferenceTest, RatioTest, combine

ALPHA = 0.05
WEIGHTS = np.repeat([0.01, 0.05, 0.1, 0.25, 0.5], 6)


def incidents(rng: np.random.Generator, slots: int) -> np.ndarray:
    """A level that both arms share: day and night, and incidents that come and fade (AR(1))."""
    noise, level = rng.normal(0, 0.45, slots), np.zeros(slots)
    for t in range(1, slots):
        level[t] = 0.9 * level[t - 1] + noise[t]
    return np.exp(level + 0.5 * np.sin(np.arange(slots) / 8))


def rolls_back(rng: np.random.Generator, effect: Callable[[int], float]) -> int | None:
    """The slot of the rollback on the combined evidence of errors and slow requests, if any."""
    errors, slow = DifferenceTest(tol=0.002), RatioTest(dispersion=1.0)
    for slot, (weight, level) in enumerate(zip(WEIGHTS, incidents(rng, WEIGHTS.size), strict=True)):
        rows = int(rng.poisson(1000))
        n1 = int(rng.binomial(rows, weight))
        n0 = rows - n1
        for test, base in ((errors, 0.01), (slow, 0.02)):
            rate = min(base * level, 0.3)
            k1 = int(rng.binomial(n1, min(rate * effect(slot), 1.0)))
            test.update(k1, n1, int(rng.binomial(n0, rate)), n0)
        if combine([errors.log_e_worse(), slow.log_e_worse()], [1, 1]) >= math.log(1 / ALPHA):
            return slot
    return None


def test_at_most_alpha_of_equal_candidates_are_rolled_back() -> None:
    """Of 200 candidates that equal stable, watched at every slot while the weight ramps up."""
    rng = np.random.default_rng(2026)
    false = sum(rolls_back(rng, lambda _: 1.0) is not None for _ in range(200))
    assert false <= ALPHA * 200


@pytest.mark.parametrize("begins", [0, 15])
def test_three_times_the_errors_are_rolled_back(begins: int) -> None:
    rng = np.random.default_rng(7)
    found = [rolls_back(rng, lambda slot: 3.0 if slot >= begins else 1.0) for _ in range(10)]
    assert all(slot is not None for slot in found)
    assert np.median([slot for slot in found if slot is not None]) < begins + 12
