import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr
from scipy.stats import binom

from tidegate.statistics import DifferenceTest
from tidegate.statistics.difference import GRID, log_bet

rate = st.floats(1e-5, 1 - 1e-5)
rows = st.integers(1, 2000)


def after(*slots: tuple[int, int, int, int], tol: float = 0.01) -> DifferenceTest:
    """The evidence after the slots, of rows that are independent."""
    test = DifferenceTest(tol, dispersion=1.0)
    for slot in slots:
        test.update(*slot)
    return test


def said(test: DifferenceTest) -> tuple[object, ...]:
    """All that a test says."""
    return test.log_e_worse(), test.log_e_good(), test.interval(), test.estimate()


@given(n1=rows, n0=rows, q1=rate, q0=rate, edge=st.floats(-0.9, 0.9), p0=rate, inside=rate)
@settings(max_examples=80, deadline=None)
def test_expected_bet_is_at_most_one_anywhere_in_the_null(
    n1: int, n0: int, q1: float, q0: float, edge: float, p0: float, inside: float
) -> None:
    """Rows are independent, so the expectation is a product of the rows' expectations."""
    assume(0 <= p0 + edge <= 1)
    harm = q1 - q0 > edge
    p1 = inside * (p0 + edge) if harm else 1 - inside * (1 - p0 - edge)
    none, on_candidate, on_stable = (
        float(log_bet(k1, n1, k0, n0, q1, q0, edge)) for k1, k0 in ((0, 0), (1, 0), (0, 1))
    )
    candidate = n1 * math.log1p(p1 * math.expm1(on_candidate - none))
    stable = n0 * math.log1p(p0 * math.expm1(on_stable - none))
    assert none + candidate + stable <= 1e-7 + 1e-9 * abs(none)


@pytest.mark.parametrize("edge", [0.05, 0.3])
@pytest.mark.parametrize("level", [0.02, 0.4])
def test_expected_bet_by_enumeration(edge: float, level: float) -> None:
    n1, n0 = 6, 11
    k1, k0 = np.meshgrid(np.arange(n1 + 1.0), np.arange(n0 + 1.0), indexing="ij")
    p = binom.pmf(k1, n1, level + edge) * binom.pmf(k0, n0, level)
    harm = log_bet(k1, n1, k0, n0, min(level + 2 * edge, 0.99), level, edge)
    safe = log_bet(k1, n1, k0, n0, level, level, edge)
    assert (p * np.exp(harm)).sum() <= 1 + 1e-9
    assert (p * np.exp(safe)).sum() <= 1 + 1e-9


@pytest.mark.parametrize(
    ("q1", "q0", "edge", "n1", "n0"),
    [
        (0.5, 0.005, 0.005, 300, 5700),
        (0.02, 0.0001, 0.005, 100, 900),
        (0.005, 0.005, 0.005, 300, 300),
        (0.1, 0.1, 0.03, 100, 900),
        (0.3, 0.25, 0.005, 500, 500),
    ],
)
def test_bet_is_as_good_as_the_best_one(
    q1: float, q0: float, edge: float, n1: int, n0: int
) -> None:
    """The best growth is the divergence from the bet's rates to the nearest point of the edge."""
    p0 = np.linspace(1e-6, 1 - edge - 1e-6, 200_001)
    p1 = p0 + edge
    divergence = n1 * (rel_entr(q1, p1) + rel_entr(1 - q1, 1 - p1))
    divergence += n0 * (rel_entr(q0, p0) + rel_entr(1 - q0, 1 - p0))
    growth = float(log_bet(n1 * q1, n1, n0 * q0, n0, q1, q0, edge))
    assert growth == pytest.approx(float(divergence.min()), rel=0.01)


def test_silence_in_both_arms_passes_an_absolute_tolerance() -> None:
    """600 rows without an error say that the rate is below 0.5 points: 0.995^600 = 1/20."""
    test = after(*[(0, 100, 0, 900)] * 10, tol=0.005)
    assert test.log_e_good() > math.log(20)
    assert test.log_e_worse() < 0
    assert test.estimate() == 0.0
    low, high = test.interval(0.05)
    assert low < 0 < high < 0.005


def test_errors_of_the_candidate_alone_are_found_within_a_few_slots() -> None:
    test = after((0, 60, 0, 540), *[(2, 60, 0, 540)] * 6, tol=0.005)
    assert test.log_e_worse() > math.log(100)
    assert test.log_e_good() < 0


def test_an_incident_in_both_arms_is_not_the_candidates_fault() -> None:
    calm, incident = (1, 200, 9, 1800), (40, 200, 360, 1800)
    test = after(*[calm] * 10, *[incident] * 5, *[calm] * 10, tol=0.005)
    assert test.log_e_worse() < math.log(20)


def test_estimate_ignores_a_changing_weight() -> None:
    night, day = (5, 1000, 5, 1000), (50, 1000, 950, 19_000)
    assert after(*[night, day] * 5).estimate() == pytest.approx(0.0, abs=1e-12)


def test_interval_covers_the_difference_and_shrinks() -> None:
    few, many = (after(*[(30, 1000, 50, 5000)] * n) for n in (5, 60))
    for test in (few, many):
        low, high = test.interval(0.05)
        assert low < 0.02 < high
    assert np.ptp(many.interval(0.05)) < np.ptp(few.interval(0.05))
    assert many.interval(0.05)[0] > 0.01


def test_first_slot_and_empty_slots_hold_no_evidence() -> None:
    test = after((50, 100, 0, 900))
    assert test.log_e_worse() == pytest.approx(0, abs=1e-12)
    before = said(test)
    test.update(0, 0, 5, 100)
    test.update(5, 100, 0, 0)
    assert said(test) == before


@pytest.mark.parametrize("k0", [0, 5, 400])
def test_evidence_is_monotone_in_the_candidates_events(k0: int) -> None:
    tests = [after((5, 400, 5, 400), (k, 400, k0, 400)) for k in range(0, 400, 7)]
    assert (np.diff([t.log_e_worse() for t in tests]) >= -1e-9).all()
    assert (np.diff([t.log_e_good() for t in tests]) <= 1e-9).all()


def test_works_at_the_ends_of_the_scale() -> None:
    always = after(*[(100, 100, 900, 900)] * 10)
    assert math.isfinite(always.log_e_worse())
    assert always.log_e_good() > math.log(20)
    assert always.interval()[0] < 0 < always.interval()[1]
    opposite = after(*[(100, 100, 0, 900)] * 5)
    assert opposite.log_e_worse() > 100
    assert opposite.estimate() == 1.0


def test_dispersion_divides_the_evidence() -> None:
    slots = [(0, 60, 0, 540)] + [(2, 60, 0, 540)] * 5
    single, clustered = (DifferenceTest(0.005, dispersion=d) for d in (1.0, 4.0))
    for slot in slots:
        single.update(*slot)
        clustered.update(*slot)
    assert clustered.log_e_worse() == single._worse.log_e(4.0) < single.log_e_worse()


def test_a_restored_test_goes_on_bit_for_bit() -> None:
    test = after((3, 97, 11, 903), (1, 103, 8, 897), (7, 95, 9, 905), tol=0.007)
    text = json.dumps(test.to_state(), separators=(",", ":"))
    restored = DifferenceTest.from_state(json.loads(text))
    for t in (test, restored):
        t.update(4, 90, 7, 500)
    assert len(text) < 2048
    assert restored.to_state() == test.to_state()


def test_grid_of_differences_is_symmetric() -> None:
    grid = GRID
    assert np.allclose(grid, -grid[::-1])


@pytest.mark.parametrize("tol", [0.0, -0.1, 1.0])
def test_refuses_a_tolerance_that_is_no_difference_of_rates(tol: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        DifferenceTest(tol)
