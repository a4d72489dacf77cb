import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import ndtr, ndtri, rel_entr
from scipy.stats import ks_2samp, wasserstein_distance

from tidegate.statistics import (
    jensen_shannon,
    jensen_shannon_noise,
    js_tolerance_to_eps,
    kolmogorov_smirnov,
    psi,
    psi_interval,
    psi_noise,
    psi_tolerance_to_eps,
    wasserstein,
)

counts = st.lists(st.integers(1, 500), min_size=6, max_size=6).map(np.array)


@given(p=counts, q=counts)
@settings(deadline=None)
def test_distances_agree_with_scipy(p: np.ndarray, q: np.ndarray) -> None:
    bins = np.arange(6)
    a, b = p / p.sum(), q / q.sum()
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q), abs=1e-9)
    assert wasserstein(p, q) == pytest.approx(wasserstein_distance(bins, bins, p, q), abs=1e-9)
    jeffreys = rel_entr(a, b).sum() + rel_entr(b, a).sum()
    assert psi(p, q) == pytest.approx(jeffreys, rel=0.05, abs=2e-4)


def test_psi_by_hand_and_with_an_empty_bin() -> None:
    want = 0.1 * math.log(0.6 / 0.5) - 0.1 * math.log(0.4 / 0.5)
    assert psi([0.6, 0.4], [0.5, 0.5]) == pytest.approx(want)
    assert 1 < psi([0, 100], [50, 50]) < 10


def test_distances_are_vectorised_over_features() -> None:
    p, q = np.random.default_rng(0).integers(1, 50, (2, 3, 5))
    for distance in (psi, jensen_shannon, wasserstein):
        assert np.allclose(distance(p, q), [distance(a, b) for a, b in zip(p, q, strict=True)])


def test_noise_is_what_two_samples_of_one_distribution_show() -> None:
    rng = np.random.default_rng(3)
    p, q = (
        rng.multinomial(900, np.full(8, 0.125), 800),
        rng.multinomial(400, np.full(8, 0.125), 800),
    )
    assert psi(p, q).mean() == pytest.approx(psi_noise(900, 400, 8), rel=0.08)
    squared = (jensen_shannon(p, q) ** 2).mean()
    assert math.sqrt(squared) == pytest.approx(jensen_shannon_noise(900, 400, 8), rel=0.05)


@pytest.mark.parametrize("bins", [2, 5, 10, 20])
@pytest.mark.parametrize("tolerance", [0.02, 0.05, 0.1, 0.15, 0.2])
def test_a_distance_at_the_tolerance_lies_at_eps(bins: int, tolerance: float) -> None:
    """Random directions out of the reference, stopped where the distance is the tolerance."""
    rng = np.random.default_rng(bins)
    for _ in range(20):
        r = (rng.dirichlet(np.full(bins, 8.0)) + 1 / bins) / 2
        direction = rng.normal(size=bins)
        direction /= np.ptp(direction)
        for distance, limit, eps in [
            (jensen_shannon, tolerance, js_tolerance_to_eps(tolerance)),
            (psi, tolerance, psi_tolerance_to_eps(tolerance)),
        ]:
            low, high = 0.0, 20.0
            for _ in range(50):
                middle = (low + high) / 2
                p = r * np.exp(middle * direction)
                low, high = (middle, high) if distance(p, r) < limit else (low, middle)
            p = r * np.exp(low * direction)
            divergence = rel_entr(p / p.sum(), r).sum()
            assert divergence == pytest.approx(eps, rel=0.35)


def test_a_distance_that_no_histograms_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.8326"):
        js_tolerance_to_eps(0.9)


def test_psi_intervals_hold_the_true_psi() -> None:
    rng = np.random.default_rng(6)
    edges = ndtri(np.arange(1, 10) / 10)
    for shift in (0.0, 0.2, 0.5):
        p = np.diff(ndtr(edges - shift), prepend=0.0, append=1.0)
        truth, right = float(psi(p, np.full(10, 0.1))), 0
        for _ in range(200):
            now, before = rng.multinomial(800, p), rng.multinomial(10_000, np.full(10, 0.1))
            low, high = psi_interval(float(psi(now, before)), 800, 10_000, 10)
            right += low <= truth <= high
        assert right >= 180


def test_kolmogorov_smirnov_of_bins_is_that_of_their_values() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.integers(0, 9, 300), rng.integers(1, 9, 200)
    counts = [np.bincount(x, minlength=9) for x in (a, b)]
    assert float(kolmogorov_smirnov(*counts)) == pytest.approx(ks_2samp(a, b).statistic)
