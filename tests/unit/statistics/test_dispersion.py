"""How many rows share their fate: the estimate that divides the evidence."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.statistics.difference import DifferenceTest
from tidegate.statistics.dispersion import BEFORE_HARM, BEFORE_SAFETY, Dispersion
from tidegate.statistics.ratio import RatioTest

Slot = tuple[tuple[int, int], tuple[int, int]]


def learned(slots: list[Slot]) -> Dispersion:
    known = Dispersion()
    for k1, k0 in slots:
        known.observe(k1, k0)
    return known


def slots_of(
    rng: np.random.Generator, cluster: int, rate: float = 0.005, number: int = 200
) -> list[Slot]:
    """Slots of a thousand rows, 5 % of them on the candidate, in clusters that fail together."""
    found: list[Slot] = []
    for _ in range(number):
        sessions = rng.multinomial(1000 // cluster, (0.05, 0.95))
        failed = rng.binomial(sessions, rate)
        arms = [(cluster * k, cluster * (n - k)) for k, n in zip(failed, sessions, strict=True)]
        found.append((arms[0], arms[1]))
    return found


@pytest.mark.parametrize("cluster", [1, 4, 10])
def test_estimates_the_size_of_the_clusters(cluster: int) -> None:
    rng = np.random.default_rng(4)
    found = [learned(slots_of(rng, cluster)).of_harm() for _ in range(20)]
    assert np.median(found) == pytest.approx(cluster, rel=0.2)


def test_begins_with_caution_towards_a_rollback_above_all() -> None:
    assert Dispersion().of_harm() > BEFORE_HARM > BEFORE_SAFETY == Dispersion().of_safety()


def test_two_slots_by_hand() -> None:
    """2 of 100 rows fail, then none: r = 0.01, N = 100, V = 2 r (1 - r) N / 2 = 0.99 = S / 50.5."""
    known = learned([((2, 98), (0, 0)), ((0, 100), (0, 0))])
    scattered = 50 * 2 * 0.02**2 * 50  # n n'/(n + n') of both bins, times N / 2
    phi = (0.75 * 10 + scattered) / (0.75 + 0.99)
    assert known.of_harm() == pytest.approx(phi * (1 + math.sqrt((phi - 1) / (0.75 + 0.99))))


def test_a_silent_service_may_pass_but_its_first_failure_asks_for_more() -> None:
    silent = [((0, 100), (0, 900))] * 5
    assert learned(silent).of_safety() == BEFORE_SAFETY
    assert learned([*silent, ((0, 100), (1, 899))]).of_safety() > BEFORE_HARM
    assert learned([((1, 99), (0, 900))]).of_safety() > BEFORE_HARM


def test_a_level_that_jumps_for_both_arms_is_not_taken_for_clusters_for_long() -> None:
    rng = np.random.default_rng(5)
    storms = []
    for slot in range(150):
        rate = 0.2 if slot % 10 == 0 else 0.01
        k1, k0 = rng.binomial(1000, rate), rng.binomial(19_000, rate)
        storms.append(((k1, 1000 - k1), (k0, 19_000 - k0)))
    assert learned(storms).of_harm() < 5


@given(
    slots=st.lists(
        st.tuples(
            st.tuples(st.integers(0, 20), st.integers(0, 500)),
            st.tuples(st.integers(0, 20), st.integers(0, 500)),
        ),
        max_size=12,
    )
)
@settings(deadline=None)
def test_is_at_least_one_finite_and_restored_bit_for_bit(slots: list[Slot]) -> None:
    """At least one, whatever was seen: that is what keeps the guarantee for independent rows."""
    known = learned(slots)
    assert all(1 <= phi < math.inf for phi in (known.of_safety(), known.of_harm()))
    assert Dispersion.from_state(known.to_state()).to_state() == known.to_state()


@pytest.mark.parametrize("test", [RatioTest(0.1), DifferenceTest(0.005)], ids=["ratio", "points"])
def test_a_small_canary_that_always_fails_is_found_after_a_few_requests(
    test: RatioTest | DifferenceTest,
) -> None:
    """Events without exception have no scatter; but a single request is no cluster."""
    fresh, requests = type(test)(test.tol), 0
    while fresh.log_e_worse() < math.log(100):
        fresh.update(1, 1, 0, 19)
        requests += 1
    assert requests <= 6


def test_the_arms_scatter_by_themselves_not_between_each_other() -> None:
    """A candidate that fails ten times as often, steadily, is no cluster."""
    worse = [((10, 90), (10, 990))] * 60
    assert learned(worse).of_harm() < 1.5


@pytest.mark.parametrize("test", [RatioTest(0.1), DifferenceTest(0.005)], ids=["ratio", "points"])
def test_40_good_candidates_with_sessions_of_10_are_not_rolled_back(
    test: RatioTest | DifferenceTest,
) -> None:
    """Independent rows assumed, most of them were: benchmarks/decisions has the numbers."""
    rng, lost = np.random.default_rng(7), 0
    for _ in range(40):
        fresh = type(test)(test.tol)
        most = -math.inf
        for (k1, h1), (k0, h0) in slots_of(rng, 10, number=60):
            fresh.update(int(k1), int(k1 + h1), int(k0), int(k0 + h0))
            most = max(most, fresh.log_e_worse())
        lost += most >= math.log(100)
    assert lost <= 1


@pytest.mark.parametrize("test", [RatioTest, DifferenceTest])
def test_a_known_size_keeps_the_expectation(test: type[RatioTest] | type[DifferenceTest]) -> None:
    """All that three slots can be of two sessions of five rows on each arm, which fail whole."""
    expected = 0.0
    for slots in product(product(range(3), repeat=2), repeat=3):
        canary, chance = test(0.01, dispersion=5.0), 1.0
        for one, other in slots:
            tables = math.comb(2, one) * math.comb(2, other)
            chance *= tables * 0.1 ** (one + other) * 0.9 ** (4 - one - other)
            canary.update(5 * one, 10, 5 * other, 10)
        expected += chance * math.exp(canary.log_e_worse())
    assert expected <= 1 + 1e-9


@pytest.mark.parametrize("cluster", [2, 4, 10])
def test_few_candidates_at_the_tolerance_pass_whatever_the_sessions(cluster: int) -> None:
    """5 % of the requests fail in whole sessions, 5.5 % of the candidate's: at most beta pass."""
    rng, runs = np.random.default_rng(8), 200
    passed = 0
    for _ in range(runs):
        fresh, most = RatioTest(0.1, margin=0.1), -math.inf
        for _ in range(60):
            sessions = rng.multinomial(1000 // cluster, (0.05, 0.95))
            failed = cluster * rng.binomial(sessions, (0.055, 0.05))
            rows = cluster * sessions
            fresh.update(int(failed[0]), int(rows[0]), int(failed[1]), int(rows[1]))
            most = max(most, fresh.log_e_good())
        passed += most >= math.log(20)
    assert passed <= 0.05 * runs
