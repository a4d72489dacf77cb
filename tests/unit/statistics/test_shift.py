import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidegate.statistics import ShiftTest, jensen_shannon
from tidegate.statistics.shift import breaking_difference, js_terms

LN100, LN20 = math.log(100), math.log(20)
shares = st.lists(st.floats(0.01, 1), min_size=5, max_size=5).map(lambda x: np.array(x) / sum(x))


def at_distance(
    r: NDArray[np.float64], direction: NDArray[np.float64], distance: float
) -> NDArray[np.float64]:
    """The point at a Jensen-Shannon distance from r on the way along an exponential tilt."""
    low, high = 0.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        near = jensen_shannon(r * np.exp(middle * direction), r) < distance
        low, high = (middle, high) if near else (low, middle)
    p = r * np.exp(low * direction)
    return np.asarray(p / p.sum())


def run(
    rng: np.random.Generator,
    p1: NDArray[np.float64],
    p0: NDArray[np.float64],
    *,
    slots: int = 60,
    tol: float = 0.1,
) -> tuple[bool, bool, ShiftTest]:
    """Whether the test ever failed, ever passed, looking after every slot of 900 + 100 rows."""
    test = ShiftTest(p0.size, tol)
    failed = passed = False
    for _ in range(slots):
        test.update(rng.multinomial(100, p1), rng.multinomial(900, p0))
        failed |= test.log_e_worse() >= LN100
        passed |= test.log_e_good() >= LN20
    return failed, passed, test


@given(
    past1=shares, past0=shares, p0=shares, direction=shares, n=st.tuples(*[st.integers(1, 500)] * 2)
)
@settings(max_examples=80, deadline=None)
def test_expected_harm_is_at_most_one_inside_the_tolerance(
    past1: NDArray[np.float64],
    past0: NDArray[np.float64],
    p0: NDArray[np.float64],
    direction: NDArray[np.float64],
    n: tuple[int, int],
) -> None:
    """Both arms are samples; the expectation is a product over independent rows."""
    tol = 0.1
    test = ShiftTest(5, tol)
    test.update(1000 * past1, 9000 * past0)
    rows = np.eye(5)
    zero = np.zeros(5)

    def factor(on1: NDArray[np.float64], on0: NDArray[np.float64]) -> float:
        return math.exp(test._log_e_harm(np.stack([on1, on0]), *map(float, n)))

    for way in (direction, past1 - past0):
        p1 = at_distance(p0, way, tol)
        mean1 = p1 @ [factor(row, zero) for row in rows]
        mean0 = p0 @ [factor(zero, row) for row in rows]
        assert n[0] * math.log(mean1) + n[1] * math.log(mean0) <= 1e-9


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.9])
def test_breaking_difference_adds_the_budget(share: float) -> None:
    budget = 0.001
    (up,), (down,) = breaking_difference([share], budget)
    if js_terms(1.0, share) >= budget:
        assert float(js_terms(share + up, share)) == pytest.approx(budget, rel=1e-6)
    possible = max(share, 2 * budget / math.log(2))
    assert float(js_terms(possible - down, possible)) == pytest.approx(budget, rel=1e-6)


@given(r=shares, direction=shares)
@settings(deadline=None)
def test_at_the_tolerance_some_bin_breaks_its_part(
    r: NDArray[np.float64], direction: NDArray[np.float64]
) -> None:
    p = at_distance(r, direction, 0.1)
    if jensen_shannon(p, r) < 0.0999:
        return  # this direction never gets so far
    up, down = breaking_difference(r, 0.0999**2 / 5)
    assert ((p - r >= up) | (r - p >= down)).any()


DIRECTIONS = {
    "tilt": np.linspace(-1, 1, 6),
    "one bin": np.array([1.0, 0, 0, 0, 0, 0]),
    "every bin": np.array([1.0, -1, 1, -1, 1, -1]),
}


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_at_the_tolerance_neither_verdict_comes_falsely(direction: NDArray[np.float64]) -> None:
    rng = np.random.default_rng(21)
    p0 = np.full(6, 1 / 6)
    p1 = at_distance(p0, direction, 0.1)
    runs = [run(rng, p1, p0, slots=30) for _ in range(12)]
    assert sum(failed for failed, _, _ in runs) <= 1
    assert sum(passed for _, passed, _ in runs) <= 1


def test_equal_predictions_pass_and_different_ones_fail() -> None:
    rng = np.random.default_rng(22)
    p0 = np.array([0.3, 0.2, 0.2, 0.3])
    assert run(rng, p0, p0)[:2] == (False, True)
    far = at_distance(p0, np.array([1.0, 0.3, -0.3, -1.0]), 0.2)
    failed, passed, test = run(rng, far, p0, slots=20)
    assert (failed, passed) == (True, False)
    assert test.estimate() == pytest.approx(0.2, abs=0.03)


def test_a_drift_that_both_arms_share_is_no_shift() -> None:
    rng = np.random.default_rng(23)
    test = ShiftTest(3, tol=0.1)
    for slot in range(60):
        p = np.array([0.5 + 0.4 * math.sin(slot / 10), 0.3, 0.7])
        p /= p.sum()
        test.update(rng.multinomial(100, p), rng.multinomial(900, p))
        assert test.log_e_worse() < LN20
    assert test.log_e_good() > LN20
    assert test.estimate() == pytest.approx(0, abs=0.02)


def test_bins_that_nobody_uses_cost_little() -> None:
    rng = np.random.default_rng(24)
    p = np.array([0.6, 0.398, 0.002] + [0.0] * 9)
    assert run(rng, p, p, slots=20)[:2] == (False, True)


@pytest.mark.parametrize("new", [1, 5])
def test_labels_that_only_the_candidate_gives_never_pass(new: int) -> None:
    """As many rows as break the tolerance, on one label that stable never gives, or on several."""
    rng = np.random.default_rng(26)
    p0 = np.array([0.6, 0.4] + [0.0] * 6)
    p1 = p0.copy()
    p1[2 : 2 + new] = 2 * 0.2**2 / math.log(2) / new
    p1 /= p1.sum()
    failed, passed, _ = run(rng, p1, p0, slots=60)
    assert (failed, passed) == (True, False)


def test_empty_arms_change_nothing() -> None:
    test = ShiftTest(2)
    test.update([3, 4], [50, 60])
    before = test.log_e_worse(), test.log_e_good(), test.estimate()
    test.update([0, 0], [50, 60])
    test.update([3, 4], [0, 0])
    assert (test.log_e_worse(), test.log_e_good(), test.estimate()) == before


def test_silence_is_neither_harm_nor_health() -> None:
    test = ShiftTest(4)
    assert test.log_e_worse() == pytest.approx(0, abs=1e-12)
    assert test.log_e_good() == 0
    assert test.estimate() is None


def test_a_restored_test_goes_on_bit_for_bit() -> None:
    rng = np.random.default_rng(25)
    test = ShiftTest(4, tol=0.05, restart=0.1, horizon=3)
    slots = rng.integers(1, 90, (6, 2, 4))
    for k1, k0 in slots[:5]:
        test.update(k1, k0)
    restored = ShiftTest.from_state(json.loads(json.dumps(test.to_state())))
    for t in (test, restored):
        t.update(*slots[5])
    assert restored.to_state() == test.to_state()


@pytest.mark.parametrize("tol", [0.0, 0.84])
def test_refuses_a_tolerance_that_is_no_distance(tol: float) -> None:
    with pytest.raises(ValueError, match=r"0\.8326"):
        ShiftTest(3, tol)
