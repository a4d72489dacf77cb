import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.evidence.latency import BINS, latency_bin
from tidegate.statistics import (
    RatioTest,
    bins_of_increase,
    decayed,
    increase_of_bins,
    latency_tables,
    quantile_bin,
)


def histogram(seconds: np.ndarray) -> np.ndarray:
    return np.bincount([latency_bin(s) for s in seconds], minlength=BINS)


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.75, 0.9, 0.99, 1.0])
def test_quantile_bin_holds_the_inverted_cdf_quantile(quantile: float) -> None:
    values = np.random.default_rng(4).integers(0, 40, 997)
    want = np.quantile(values, quantile, method="inverted_cdf")
    assert quantile_bin(np.bincount(values, minlength=50), quantile) == want


def test_counts_requests_beyond_stables_past_quantile_by_hand() -> None:
    past = [50, 40, 9, 1, 0, 0]
    h1, h0 = [5, 2, 2, 1, 1, 0], [40, 30, 20, 8, 2, 0]
    assert latency_tables(h1, h0, past, quantiles=(0.5, 0.9), tol_bins=0) == [
        (6, 11, 60, 100),  # beyond bin 0
        (4, 11, 30, 100),  # beyond bin 1
    ]
    assert latency_tables(h1, h0, past, quantiles=(0.9,), tol_bins=1) == [(2, 11, 30, 100)]


def test_without_a_past_there_is_no_evidence() -> None:
    assert latency_tables([1, 2], [3, 4], [0, 0], quantiles=(0.5,)) == [(0, 0, 0, 0)]


def test_a_threshold_beyond_the_histogram_is_not_mistaken_for_health() -> None:
    test = RatioTest(margin=0.0, dispersion=1.0)
    for _ in range(50):
        (table,) = latency_tables([0, 0, 100], [0, 500, 500], [0, 500, 500], (0.5,), tol_bins=1)
        test.update(*table)
    assert test.log_e_good() == pytest.approx(0, abs=1e-12)


def test_tolerance_is_a_shift_of_the_candidates_threshold() -> None:
    """A candidate slower by exactly the tolerance looks just like stable."""
    stable = np.array([400, 300, 200, 90, 10, 0, 0, 0])
    slower = np.roll(stable, 2)
    for table in latency_tables(slower, stable, stable, tol_bins=2):
        assert table.k1 == table.k0


def test_a_slower_candidate_fails_and_an_equal_one_passes() -> None:
    rng = np.random.default_rng(11)
    equal, slower = (RatioTest(margin=0.0, dispersion=1.0) for _ in range(2))
    past = histogram(rng.lognormal(-3.2, 0.5, 2000)).astype(float)
    for _ in range(30):
        h0 = histogram(rng.lognormal(-3.2, 0.5, 600))
        for test, factor in ((equal, 1.0), (slower, 1.5)):
            h1 = histogram(factor * rng.lognormal(-3.2, 0.5, 60))
            (table,) = latency_tables(h1, h0, past, quantiles=(0.9,), tol_bins=2)
            test.update(*table)
        past = decayed(past, h0)
    assert slower.log_e_worse() > math.log(100)
    assert equal.log_e_good() > math.log(20)
    assert equal.log_e_worse() < 0


@pytest.mark.parametrize(
    ("increase", "bins"), [(0.0906, 1), (0.2, 2), (0.25, 2), (0.5, 4), (1.0, 8), (3.0, 16)]
)
def test_relative_increase_in_whole_bins(increase: float, bins: int) -> None:
    assert bins_of_increase(increase) == bins


@given(st.integers(1, 80))
@settings(deadline=None)
def test_bins_and_increase_are_inverse(bins: int) -> None:
    assert bins_of_increase(increase_of_bins(bins)) == bins


@pytest.mark.parametrize("increase", [0.0, 0.05, 0.09])
def test_less_than_one_bin_is_refused_with_the_least_value(increase: float) -> None:
    with pytest.raises(ValueError, match=r"less than one histogram bin; set at least 0\.0905"):
        bins_of_increase(increase)


def test_histograms_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="histograms differ"):
        latency_tables([1], [1, 2], [1, 2])
