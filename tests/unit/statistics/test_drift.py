import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import rel_entr
from scipy.stats import binom

from tidegate.statistics import DriftDetector, RateDetector, alarm_threshold
from tidegate.statistics.drift import alternatives, log_payoff

shares = st.lists(st.floats(0.01, 1), min_size=7, max_size=7).map(lambda x: np.array(x) / sum(x))


def shifted(r: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """A location shift by `size` standard deviations, on the normal scale."""
    z = np.linspace(-1.64, 1.64, r.size)
    p = r * np.exp(size * z)
    return np.asarray(p / p.sum())


@given(r=shares, q=shares, direction=shares, eps=st.sampled_from([0.001, 0.01, 0.1]))
@settings(max_examples=80, deadline=None)
def test_payoff_is_at_most_one_everywhere_in_the_ball(
    r: NDArray[np.float64], q: NDArray[np.float64], direction: NDArray[np.float64], eps: float
) -> None:
    """Worst towards q itself; any other direction is tried as well, up to the ball's surface."""
    payoff = np.exp(log_payoff(q, r, eps))
    for target in (q, direction):
        for step in np.linspace(0, 1, 41):
            p = (1 - step) * r + step * target
            if rel_entr(p, r).sum() <= eps:
                assert p @ payoff <= 1 + 1e-9


def test_payoff_gains_outside_the_ball() -> None:
    r = np.full(10, 0.1)
    q = shifted(r, 0.5)
    assert q @ log_payoff(q, r, 0.01) > 0.03
    assert log_payoff(r, r, 0.01) == pytest.approx(0)


def test_every_alternative_is_a_distribution_and_leaves_special_bins_to_themselves() -> None:
    r = np.array([[0.3, 0.4, 0.2, 0.05, 0.03, 0.02], [0.1, 0.2, 0.4, 0.2, 0.05, 0.05]])
    q = alternatives(r, special=2, ordered=True)
    assert q.shape == (2, 24, 6)
    assert np.allclose(q.sum(-1), 1)
    tilted = q[:, 12:]
    assert np.allclose(tilted[..., 4] / tilted[..., 5], (r[:, 4] / r[:, 5])[:, None])


@pytest.mark.parametrize(
    ("drift", "windows"),
    [
        pytest.param(0.0, None, id="none"),
        pytest.param(0.08, None, id="inside the tolerance"),
        pytest.param(0.25, 4, id="a quarter of a standard deviation"),
        pytest.param(0.5, 1, id="half a standard deviation"),
    ],
)
def test_alarms_outside_the_tolerance_only(drift: float, windows: int | None) -> None:
    rng = np.random.default_rng(7)
    r = np.full(10, 0.1)
    detector = DriftDetector(10, special=0)
    alarm = None
    for window in range(1, 61):
        detector.update(rng.multinomial(1000, shifted(r, drift)), r)
        if alarm is None and detector.log_m() >= alarm_threshold(30, 10_000):
            alarm = window
    assert alarm == windows


def test_a_surge_of_missing_values_alarms_in_its_first_window() -> None:
    r = np.array([0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0])
    detector = DriftDetector(7)
    detector.update([220, 230, 220, 230, 100, 0, 0], r)
    assert detector.log_m() > alarm_threshold(30, 10_000)


def test_expected_detector_grows_by_at_most_one_a_window() -> None:
    """The e-detector property, E[M_t] <= t, by sampling at the surface of the ball."""
    rng = np.random.default_rng(2)
    r = np.array([0.4, 0.3, 0.2, 0.1])
    p = r * np.exp(0.12 * np.array([-1.5, 0.0, 1.0, 1.9]))
    p /= p.sum()
    assert 0.009 < rel_entr(p, r).sum() < 0.0105
    runs = 400
    detector = DriftDetector(4, eps=0.0105, special=0, lead=(runs,))
    for window in range(1, 9):
        detector.update(rng.multinomial(100, p, runs), np.tile(r, (runs, 1)))
        assert np.exp(detector.log_m()).mean() < window


def test_the_sampling_error_of_a_small_reference_widens_the_tolerance() -> None:
    assert DriftDetector(11, n_ref=100).eps == pytest.approx(0.05)
    assert DriftDetector(11, n_ref=100_000).eps == pytest.approx(0.01)


def test_clustered_rows_count_less() -> None:
    r = np.full(5, 0.2)
    one, five = DriftDetector(5, special=0), DriftDetector(5, D=5.0, special=0)
    for detector in (one, five):
        detector.update([300, 200, 200, 200, 100], r)
    assert np.allclose(one._log_m, 5 * five._log_m)


def test_empty_windows_and_resets() -> None:
    r = np.tile([0.25, 0.25, 0.25, 0.25], (2, 1))
    detector = DriftDetector(4, special=0, lead=(2,))
    for _ in range(3):
        detector.update([[900, 40, 30, 30], [250, 250, 250, 250]], r)
    before = detector.log_m()
    detector.update(np.zeros((2, 4)), r)
    assert (detector.log_m() == before).all()
    detector.reset(before > alarm_threshold(2, 10_000))
    assert detector.log_m()[0] == pytest.approx(0, abs=1e-12)
    assert detector.log_m()[1] == before[1]


def test_streams_are_independent() -> None:
    rng = np.random.default_rng(3)
    r = rng.dirichlet(np.full(8, 4.0), 3)
    together = DriftDetector(8, lead=(3,))
    alone = [DriftDetector(8) for _ in range(3)]
    for _ in range(4):
        counts = rng.integers(1, 60, (3, 8))
        together.update(counts, r)
        for i, detector in enumerate(alone):
            detector.update(counts[i], r[i])
    assert np.allclose(together.log_m(), [d.log_m() for d in alone])


@pytest.mark.parametrize("p0", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("n", [1, 7, 60])
def test_rate_detector_expects_no_gain_up_to_its_bound(p0: float, n: int) -> None:
    k = np.arange(n + 1)
    bound = float(RateDetector(p0, tol=0.02).bound)
    gains = []
    for events in k:
        detector = RateDetector(p0, tol=0.02)
        detector.update(events, n)
        gains.append(math.exp(detector.log_m()))
    for p in np.linspace(0, bound, 9):
        assert binom.pmf(k, n, p) @ gains <= 1 + 1e-9


def test_rate_detector_finds_a_rise_and_ignores_a_fall() -> None:
    risen, fallen = RateDetector(0.05), RateDetector(0.05)
    for _ in range(10):
        risen.update(60, 500)
        fallen.update(2, 500)
    assert risen.log_m() > alarm_threshold(1, 10_000)
    assert fallen.log_m() < 0


def test_rate_detector_allows_for_a_small_reference() -> None:
    assert float(RateDetector(0.1, tol=0.01, n_ref=100).bound) == pytest.approx(0.16)
    assert float(RateDetector(0.1, tol=0.01, n_ref=10**6).bound) == pytest.approx(0.11)


def test_a_rate_that_few_rows_can_not_tell_from_one_never_alarms() -> None:
    detector = RateDetector(0.94, tol=0.05, n_ref=50)
    assert 0.99 < float(detector.bound) < 1
    for _ in range(1000):
        detector.update(500, 500)
    assert detector.log_m() < alarm_threshold(1, 2)


def test_detectors_go_on_bit_for_bit_when_restored() -> None:
    rng = np.random.default_rng(6)
    drift = DriftDetector(6, eps=0.02, D=[1.0, 2.5], lead=(2,), ordered=False)
    rate = RateDetector([0.01, 0.2], n_ref=500, D=3.0, lead=(2,))
    r = rng.dirichlet(np.full(6, 4.0), 2)
    for _ in range(3):
        drift.update(rng.integers(0, 50, (2, 6)), r)
        rate.update(rng.integers(0, 9, 2), [50, 60])
    drift_again = DriftDetector.from_state(json.loads(json.dumps(drift.to_state())))
    rate_again = RateDetector.from_state(json.loads(json.dumps(rate.to_state())))
    counts = rng.integers(0, 50, (2, 6))
    for d in (drift, drift_again):
        d.update(counts, r)
    for e in (rate, rate_again):
        e.update([3, 0], [40, 0])
    assert drift_again.to_state() == drift.to_state()
    assert rate_again.to_state() == rate.to_state()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: DriftDetector(4), id="one ordinary bin"),
        pytest.param(lambda: DriftDetector(9, eps=0), id="no tolerance"),
        pytest.param(lambda: DriftDetector(9, D=0.5), id="dispersion below one"),
        pytest.param(lambda: DriftDetector(9).update([1, 2], [0.5, 0.5]), id="other bins"),
        pytest.param(lambda: RateDetector(0.99, tol=0.02), id="bound above one"),
        pytest.param(lambda: RateDetector(0.1).update(5, 4), id="more events than rows"),
    ],
)
def test_refuses_nonsense(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r"want|must"):
        make()
