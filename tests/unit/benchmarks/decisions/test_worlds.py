import numpy as np
import pytest
from benchmarks.decisions import worlds
from benchmarks.decisions.rivals import by_minute
from benchmarks.decisions.worlds import RAMP, SLOTS, World


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


STILL, RAMPED = World("still"), World("ramp", RAMP, moving=True)


def test_the_same_seed_gives_the_same_counts() -> None:
    first, second = (worlds.errors(RAMPED, rng(), 3) for _ in range(2))
    assert np.array_equal(first.k1, second.k1)
    assert np.array_equal(first.n0, second.n0)


def test_a_good_candidate_fails_as_often_as_stable() -> None:
    counts = worlds.errors(STILL, rng(), 100)
    assert counts.k1.sum() / counts.n1.sum() == pytest.approx(worlds.ERROR_RATE, rel=0.05)
    assert counts.k0.sum() / counts.n0.sum() == pytest.approx(worlds.ERROR_RATE, rel=0.05)


def test_a_bad_candidate_fails_as_much_more_often_as_asked() -> None:
    counts = worlds.errors(STILL, rng(), 100, 3.0)
    assert counts.k1.sum() / counts.n1.sum() == pytest.approx(3 * worlds.ERROR_RATE, rel=0.05)


def test_a_ramp_takes_its_steps_one_after_the_other() -> None:
    counts = worlds.errors(RAMPED, rng(), 50)
    shares = counts.n1.sum(axis=0) / (counts.n1 + counts.n0).sum(axis=0)
    by_step = shares.reshape(len(RAMP), -1).mean(axis=1)
    assert by_step.tolist() == pytest.approx(list(RAMP), rel=0.05)


def test_incidents_hit_both_arms_alike_and_last() -> None:
    counts = worlds.errors(World("half", (0.5,), moving=True), rng(), 20)
    candidate, stable = by_minute(counts.k1), by_minute(counts.k0)
    assert np.corrcoef(candidate.ravel(), stable.ravel())[0, 1] > 0.5
    assert np.corrcoef(stable[:, :-1].ravel(), stable[:, 1:].ravel())[0, 1] > 0.5


def test_sessions_are_routed_and_fail_as_a_whole() -> None:
    counts = worlds.errors(World("sessions", session=10), rng(), 20)
    for column in (counts.k1, counts.n1, counts.k0, counts.n0):
        assert not (column % 10).any()
    assert counts.k0.sum() / counts.n0.sum() == pytest.approx(worlds.ERROR_RATE, rel=0.1)


def test_sessions_of_varying_length_are_ten_long_on_average() -> None:
    counts = worlds.errors(World("varying", session=10, geometric=True), rng(), 60)
    assert (counts.n1 + counts.n0).mean() == pytest.approx(worlds.REQUESTS, rel=0.02)
    assert counts.k0.sum() / counts.n0.sum() == pytest.approx(worlds.ERROR_RATE, rel=0.2)
    single = counts.k1[(counts.n1 > 0) & (counts.k1 == counts.n1)]
    assert (single % 10).any()


def test_a_slower_candidate_moves_by_the_bins_of_its_factor() -> None:
    histograms = worlds.latencies(STILL, rng(), 2, slower=2.0)
    shares = [h.sum((0, 1)) / h.sum() for h in (histograms.h1, histograms.h0)]
    candidate, stable = (np.searchsorted(share.cumsum(), 0.99) for share in shares)
    assert candidate - stable == pytest.approx(8, abs=1)  # eight bins to a doubling


def test_the_slow_path_makes_the_99th_percentile() -> None:
    stable = worlds.latencies(STILL, rng(), 2).h0.sum((0, 1))
    below_200_ms = stable[: round(8 * np.log2(0.2 / 1e-4))].sum() / stable.sum()
    assert 0.98 < below_200_ms < 0.985


def test_scores_shift_by_standard_deviations() -> None:
    histograms = worlds.predictions(STILL, rng(), 20, shift=1.0)
    top = histograms.h1.sum((0, 1))[-1] / histograms.h1.sum()
    assert top == pytest.approx(0.389, abs=0.01)  # 1 - Phi(1.2816 - 1)
    assert histograms.h0.sum((0, 1))[-1] / histograms.h0.sum() == pytest.approx(0.1, abs=0.005)


def test_all_rows_are_in_the_histograms() -> None:
    histograms = worlds.predictions(RAMPED, rng(), 2)
    rows = (histograms.h1 + histograms.h0).sum(axis=2)
    assert rows.shape == (2, SLOTS)
    assert (rows[0] == rows[1]).all()  # the day's load is the same in all runs
