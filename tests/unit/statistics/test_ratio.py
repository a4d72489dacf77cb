import json
import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import binom, hypergeom
from tests.unit.statistics.tables import two_by_two

from tidegate.statistics import RatioTest, ratio_grid
from tidegate.statistics.ratio import log_normaliser, log_normaliser_of_rates

SLOTS = [(3, 100, 20, 900), (0, 80, 15, 920), (9, 300, 18, 700), (1, 20, 30, 980)]
rows = st.integers(1, 400)


def after(*slots: tuple[int, int, int, int], **options: float | str) -> RatioTest:
    test = RatioTest(**{"dispersion": 1.0, **options})  # type: ignore[arg-type]  # mixed options
    for slot in slots:
        test.update(*slot)
    return test


def said(test: RatioTest) -> tuple[object, ...]:
    """All that a test says."""
    return test.log_e_worse(), test.log_e_good(), test.interval(), test.estimate()


def test_grid_is_even_in_the_logarithm_and_holds_no_difference() -> None:
    grid = ratio_grid()
    assert grid.size == 45
    assert 1.0 in grid
    assert grid[0] == pytest.approx(2**-4.25)
    assert grid[-1] == pytest.approx(2**6.75)
    assert np.allclose(np.diff(np.log2(grid)), 0.25)


@given(n1=rows, n0=rows, data=st.data())
@settings(deadline=None)
def test_bound_is_the_least_binomial_and_never_below_the_moment(
    n1: int, n0: int, data: st.DataObject
) -> None:
    m = data.draw(st.integers(0, n1 + n0))
    psi = np.array([0.05, 0.5, 1.0, 2.0, 50.0])
    bound, total = log_normaliser(psi, n1, n0, m), n1 + n0
    k = np.arange(m + 1)
    moment = logsumexp(np.outer(np.log(psi), k) + hypergeom.logpmf(k, total, m, n1), axis=1)
    assert (bound >= moment - 1e-9).all()
    of_events = log_normaliser_of_rates(psi, n1, n0, m)
    of_rows = n1 * np.log1p(m / total * (psi - 1))
    without = n1 * np.log(psi) + (total - m) * np.log1p(n1 / total * (1 / psi - 1))
    of_stable = m * np.log(psi) + n0 * np.log1p(m / total * (1 / psi - 1))
    assert np.allclose(bound, np.min([of_events, of_rows, without, of_stable], axis=0))


@pytest.mark.parametrize(
    ("n1", "n0", "m"), [(1, 1, 1), (2, 7, 3), (4, 4, 5), (7, 3, 6), (6, 12, 2)]
)
def test_expected_e_value_is_at_most_one_under_random_routing(n1: int, n0: int, m: int) -> None:
    """All tables of a slot, and of a second slot after it, whose dispersion is learned."""
    worse = good = 0.0
    for p, k1, k0 in two_by_two(n1, n0, m):
        for q, j1, j0 in two_by_two(n0, n1, m):
            test = RatioTest(margin=0.0)
            test.update(k1, n1, k0, n0)
            test.update(j1, n0, j0, n1)
            worse += p * q * math.exp(test.log_e_worse())
            good += p * q * math.exp(test.log_e_good())
    assert worse <= 1 + 1e-9
    assert good <= 1 + 1e-9


def test_one_event_by_hand() -> None:
    """One event, on the candidate, at equal traffic: e(psi) = psi / ((1 + psi) / 2)."""
    test = after((1, 10, 0, 10), restart=0.0)
    psi = np.exp2(np.arange(1, 28) / 4)
    weight = psi**-1.5 / (psi**-1.5).sum()
    assert math.exp(test.log_e_worse()) == pytest.approx((weight * 2 * psi / (1 + psi)).sum())


@pytest.mark.parametrize("tol", [0.0, 0.2, 3.0, 50.0, 1000.0])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_expectation_is_at_most_one_at_the_tolerated_ratio_for_rare_events(
    tol: float, share: float
) -> None:
    """Rare events: given m, the candidate's are Binomial(m, rho c / (1 - rho + rho c))."""
    n1, n0, m = int(1e6 * share), int(1e6 * (1 - share)), 12
    odds = share * (1 + tol)
    k = np.arange(m + 1)
    probability = binom.pmf(k, m, odds / (1 - share + odds))
    tests = [after((int(j), n1, m - int(j), n0), tol=tol, margin=tol) for j in k]
    assert probability @ np.exp([t.log_e_worse() for t in tests]) <= 1 + 1e-9
    assert probability @ np.exp([t.log_e_good() for t in tests]) <= 1 + 1e-9


@pytest.mark.parametrize("tol", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(("n1", "n0"), [(2, 12), (6, 6), (9, 3)])
@pytest.mark.parametrize("rate", [0.03, 0.3, 0.5])
def test_expectation_is_at_most_one_at_the_tolerated_ratio_however_common_events_are(
    tol: float, n1: int, n0: int, rate: float
) -> None:
    """All numbers of events in both arms, where the candidate fails exactly 1 + tol as often."""
    k1, k0 = np.arange(n1 + 1), np.arange(n0 + 1)
    probability = np.outer(binom.pmf(k1, n1, rate * (1 + tol)), binom.pmf(k0, n0, rate))
    tests = [[after((i, n1, j, n0), tol=tol, margin=tol) for j in k0.tolist()] for i in k1.tolist()]
    worse = np.exp([[t.log_e_worse() for t in row] for row in tests])
    good = np.exp([[t.log_e_good() for t in row] for row in tests])
    assert (probability * worse).sum() <= 1 + 1e-9
    assert (probability * good).sum() <= 1 + 1e-9


@pytest.mark.parametrize("slot", [(0, 0, 5, 100), (5, 100, 0, 0), (0, 50, 0, 50), (0, 0, 0, 0)])
def test_slots_without_a_comparison_change_nothing(slot: tuple[int, int, int, int]) -> None:
    test = after(*SLOTS)
    before = said(test)
    test.update(*slot)
    assert said(test) == before


def test_starts_with_no_evidence_and_no_estimate() -> None:
    test = RatioTest()
    assert test.log_e_worse() == pytest.approx(0, abs=1e-12)
    assert test.log_e_good() == pytest.approx(0, abs=1e-12)
    assert test.estimate() is None
    assert test.interval() == (0.0, math.inf)


@given(n1=rows, n0=rows, tol=st.sampled_from([0.0, 0.3, 40.0]), data=st.data())
@settings(deadline=None)
def test_evidence_is_monotone_in_the_events_of_each_arm(
    n1: int, n0: int, tol: float, data: st.DataObject
) -> None:
    k1, k0 = data.draw(st.integers(0, n1 - 1)), data.draw(st.integers(0, n0 - 1))
    base = after((k1, n1, k0, n0), tol=tol, margin=tol)
    more1, more0 = (
        after(slot, tol=tol, margin=tol) for slot in [(k1 + 1, n1, k0, n0), (k1, n1, k0 + 1, n0)]
    )
    slack = 1e-9 + 1e-12 * abs(base.log_e_worse())
    assert more1.log_e_worse() >= base.log_e_worse() - slack
    assert more0.log_e_worse() <= base.log_e_worse() + slack
    assert more1.log_e_good() <= base.log_e_good() + slack
    assert more0.log_e_good() >= base.log_e_good() - slack


def test_order_of_slots_does_not_matter_without_late_starts() -> None:
    tests = [after(*order, restart=0.0) for order in permutations(SLOTS)]
    assert np.ptp([t.log_e_worse() for t in tests]) < 1e-12
    assert np.ptp([t.log_e_good() for t in tests]) < 1e-12
    assert {t.estimate() for t in tests} == {tests[0].estimate()}


def test_a_late_regression_is_found_sooner_with_late_starts() -> None:
    healthy, bad = [(15, 300, 285, 5700)] * 100, [(45, 300, 285, 5700)] * 4
    patient = after(*healthy, *bad, restart=0.0)
    watchful = after(*healthy, *bad)
    assert watchful.log_e_worse() > math.log(1 / 0.01) > patient.log_e_worse()


def test_estimate_and_interval_surround_the_ratio_of_many_events() -> None:
    test = after(*[(30, 1000, 200, 20_000)] * 20)  # 3 % against 1 %
    estimate, (low, high) = test.estimate(), test.interval(0.05)
    assert estimate == pytest.approx(3.0, rel=0.02)
    assert 2.3 < low < 3 < high < 3.8
    wide = test.interval(0.001)
    assert wide[0] < low < high < wide[1]


def test_estimate_is_a_ratio_of_rates_not_of_odds() -> None:
    test = after(*[(160, 200, 360, 900)] * 9)  # 80 % against 40 %: odds of six to one
    low, high = test.interval(0.05)
    assert test.estimate() == pytest.approx(2.0, rel=0.03)
    assert low < 2 < high < 3


def test_a_changing_weight_does_not_bias_the_estimate() -> None:
    """At night few errors and half the traffic on the candidate, by day many errors and little."""
    night, day = (5, 1000, 5, 1000), (50, 1000, 950, 19_000)
    estimate = after(*[night, day] * 10).estimate()
    assert estimate == pytest.approx(1.0, rel=0.03)


def test_a_tolerance_beyond_every_shown_ratio_still_decides() -> None:
    """Stable fails once in 100,000 rows, up to 0.5 points more is tolerated: a ratio of 501."""
    bad = after(*[(100, 500, 0, 49_500)] * 10, tol=500.0)
    fine = after(*[(1, 500, 1, 500)] * 10, margin=500.0)
    assert bad.log_e_worse() > math.log(100)
    assert fine.log_e_good() > math.log(20)


def test_clustered_rows_count_less() -> None:
    bursts = [(0, 40), (14, 0), (0, 80), (0, 0), (15, 60), (0, 120), (0, 0), (13, 20)]
    clustered = [(k1, 300, k0, 5700) for k1, k0 in bursts]
    test = after(*clustered, dispersion="auto")
    assert min(test.phi()) > 10
    assert after(*clustered).log_e_worse() > 5 * test.log_e_worse()
    assert after(*clustered, dispersion=2.0).log_e_worse() == after(*clustered)._worse.log_e(2.0)


@given(
    slots=st.lists(
        st.tuples(st.integers(0, 9), st.integers(9, 99), st.integers(0, 9), st.integers(9, 999)),
        max_size=8,
    ),
    horizon=st.integers(1, 9),
)
@settings(max_examples=40, deadline=None)
def test_a_restored_test_goes_on_bit_for_bit(
    slots: list[tuple[int, int, int, int]], horizon: int
) -> None:
    test = RatioTest(tol=0.1, margin=0.7, restart=0.2, horizon=horizon)
    for slot in slots:
        test.update(*slot)
    text = json.dumps(test.to_state(), separators=(",", ":"))
    restored = RatioTest.from_state(json.loads(text))
    for t in (test, restored):
        t.update(4, 90, 7, 500)
    assert len(text) < 2048
    assert restored.to_state() == test.to_state()
    assert restored.log_e_worse() == test.log_e_worse()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: RatioTest(tol=-0.1), "negative", id="negative tolerance"),
        pytest.param(lambda: RatioTest(restart=1.0), "restart", id="no mass left to start with"),
        pytest.param(lambda: RatioTest(dispersion=0.5), "dispersion", id="dispersion below one"),
        pytest.param(lambda: RatioTest().update(2, 1, 0, 5), "exceed", id="more events than rows"),
    ],
)
def test_refuses_nonsense(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()
