"""Bets of which some begin later, divided when they are looked at."""

import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.statistics.mixture import Mixture

PRIOR = np.log([0.7, 0.3])
WIN, LOSE = np.log([[1.5, 3.5], [0.9, 0.5]])  # fair if one of six wins: (1.5 + 5 * 0.9) / 6 = 1
steps = st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), max_size=12)


def after(*slots: object, restart: float = 0.3, horizon: int = 4) -> Mixture:
    stakes = Mixture(PRIOR, restart, horizon)
    for slot in slots:
        stakes.add(np.asarray(slot, dtype=np.float64))
    return stakes


def test_late_starts_by_hand() -> None:
    """One bet, which doubles in each of two slots; half of the stake begins in one of four."""
    stakes = Mixture(np.zeros(1), restart=0.5, horizon=4)
    for _ in range(2):
        stakes.add(np.log([2.0]))
    # Early 4, begun at the first slot 4, at the second 2; two of four parts have not begun.
    assert math.exp(stakes.log_e()) == pytest.approx(0.5 * 4 + 0.125 * (4 + 2) + 0.5 * 2 / 4)
    # Every second row counts: 4 becomes 2, and the sum of the begun ones its square root.
    divided = 0.5 * 2 + 0.125 * math.sqrt(6) + 0.5 * 2 / 4
    assert math.exp(stakes.log_e(2.0)) == pytest.approx(divided)


@given(slots=steps, phi=st.floats(1, 50), more=st.floats(1, 3))
def test_a_larger_divisor_never_crosses_a_bar_that_a_smaller_one_has_not(
    slots: list[tuple[float, float]], phi: float, more: float
) -> None:
    stakes = after(*slots)
    assert stakes.log_e(phi) <= stakes.log_e() + 1e-12
    assert stakes.log_e(phi * more) <= max(0.0, stakes.log_e(phi)) + 1e-12


@pytest.mark.parametrize("restart", [0.0, 0.3])
def test_the_worst_divisor_in_hindsight_keeps_the_expectation(restart: float) -> None:
    """All outcomes of six fair slots, each read with the divisor that makes the most of it."""
    expected = 0.0
    for wins in product([True, False], repeat=6):
        stakes = after(*(WIN if won else LOSE for won in wins), restart=restart)
        chance = math.prod(1 / 6 if won else 5 / 6 for won in wins)
        expected += chance * math.exp(max(stakes.log_e(phi) for phi in (1.0, 1.3, 2.0, 10.0)))
    assert expected <= 1 + 1e-9


def test_clusters_keep_the_expectation_if_the_divisor_is_their_size() -> None:
    """Slots that always come three times: taken as independent they would be worth 4 and more."""
    alone = clustered = 0.0
    for wins in product([True, False], repeat=2):
        slots = [WIN if won else LOSE for won in wins for _ in range(3)]
        chance = math.prod(1 / 6 if won else 5 / 6 for won in wins)
        stakes = after(*slots)
        alone += chance * math.exp(stakes.log_e())
        clustered += chance * math.exp(stakes.log_e(3.0))
    assert clustered <= 1 + 1e-9
    assert alone > 4


@given(slots=steps, horizon=st.integers(1, 6), restart=st.sampled_from([0.0, 0.3]))
def test_restored_it_goes_on_bit_for_bit(
    slots: list[tuple[float, float]], horizon: int, restart: float
) -> None:
    stakes = after(*slots, restart=restart, horizon=horizon)
    state = json.loads(json.dumps(stakes.to_state()))
    restored = Mixture(PRIOR, restart, horizon).restored(state)
    for each in (stakes, restored):
        each.add(np.array([0.2, -0.1]))
    assert restored.to_state() == stakes.to_state()
    assert restored.log_e(1.7) == stakes.log_e(1.7)
