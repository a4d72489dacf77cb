import math

import numpy as np
import pytest
from benchmarks.decisions import rivals
from benchmarks.decisions.worlds import Errors, Floats
from scipy.stats import mannwhitneyu

NEVER = math.inf


def checks(text: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """One run of minutes: `+` is a good check, `-` a failed one."""
    return np.array([[c == "+" for c in text]])


@pytest.mark.parametrize(
    ("minutes", "steps", "want"),
    [
        pytest.param("--+--+-+++", math.inf, 42, id="failed checks add up and are not forgotten"),
        pytest.param("----++++++", math.inf, NEVER, id="four of five allowed"),
        pytest.param("++++-----+", 5, 54, id="a failed check makes the rollout longer"),
        pytest.param("+++++-----", 5, NEVER, id="promoted before it fails"),
    ],
)
def test_flagger_counts_failed_checks(minutes: str, steps: float, want: float) -> None:
    assert rivals.flagger(checks(minutes), threshold=5, steps=steps).tolist() == [want]


@pytest.mark.parametrize(
    ("minutes", "limit", "want"),
    [
        pytest.param("++-+++", 0, 18, id="by default the first failure ends it"),
        pytest.param("-+-+-+", 3, NEVER, id="the limit itself is allowed"),
        pytest.param("-+-+--", 3, 36, id="one above the limit"),
    ],
)
def test_argo_fails_above_the_limit(minutes: str, limit: int, want: float) -> None:
    assert rivals.argo(checks(minutes), limit).tolist() == [want]


def series(*minutes: float) -> Floats:
    return np.array([minutes])


def test_kayenta_finds_the_candidate_high_when_every_pair_is() -> None:
    # Five minutes each: the limit is the smallest of 25 differences, 9.6, and their median is 10.
    stable = series(0, 0.1, 0.2, 0.3, 0.4)
    assert rivals.kayenta(stable + 10, stable).tolist() == [30]


def test_kayenta_lets_pass_what_overlaps() -> None:
    # The smallest difference is 1 - 4 = -3: the interval covers no difference at all.
    assert rivals.kayenta(series(1, 2, 3, 4, 5), series(0, 1, 2, 3, 4)).tolist() == [NEVER]


def test_kayenta_asks_for_a_limit_above_a_quarter_of_the_estimate() -> None:
    # Differences 1, 11, 11, ... : the lower limit 1 is below a quarter of the median 11.
    assert rivals.kayenta(series(1, 11, 11, 11, 11), series(0, 0, 0, 0, 0)).tolist() == [NEVER]


def test_two_proportions_by_hand() -> None:
    # 10 of 100 against 50 of 1000: pooled 60/1100, z = 0.05 / 0.02382 = 2.099, p = 0.0179.
    one = Errors(*(np.array([[n]]) for n in (10, 100, 50, 1000)))
    assert rivals.two_proportions(one, 0.05).tolist() == [1]
    assert rivals.two_proportions(one, 0.01).tolist() == [NEVER]


def test_two_proportions_adds_the_slots_up() -> None:
    # No errors in the first slot is no evidence; two slots together are the case above.
    two = Errors(*(np.array([n]) for n in ([0, 10], [50, 50], [0, 50], [500, 500])))
    assert rivals.two_proportions(two, 0.05).tolist() == [2]


def test_rank_test_waits_for_five_minutes() -> None:
    # Complete separation of 5 and 5: U = 25, z = (12.5 - 0.5) / sqrt(25 * 11 / 12) = 2.507.
    candidate, stable = series(6, 7, 8, 9, 10, 11), series(0, 1, 2, 3, 4, 5)
    assert rivals.rank_test(candidate, stable, 0.01).tolist() == [30]
    assert rivals.rank_test(candidate, stable, 0.005).tolist() == [36]  # 6 and 6: z = 2.802


@pytest.mark.parametrize("alpha", [0.3, 0.1, 0.01])
def test_rank_test_of_rows_is_scipys(alpha: float) -> None:
    rng = np.random.default_rng(3)
    h1, h0 = rng.multinomial(40, [0.2, 0.3, 0.5]), rng.multinomial(200, [0.3, 0.3, 0.4])
    rows1, rows0 = (np.repeat(np.arange(3), h) for h in (h1, h0))
    p = mannwhitneyu(
        rows1, rows0, alternative="greater", use_continuity=False, method="asymptotic"
    ).pvalue
    found = rivals.rank_test_of_rows(h1[None, None], h0[None, None], alpha, two_sided=False)
    assert np.isfinite(found).tolist() == [p < alpha]


def test_psi_by_hand() -> None:
    # (0.5 - 0.1) ln 5 + (0.5 - 0.9) ln(5/9) = 0.6438 + 0.2351.
    assert rivals.psi(np.array([50, 50]), np.array([10, 90])) == pytest.approx(0.8789, abs=1e-4)


def test_psi_takes_an_empty_bin_for_a_small_share() -> None:
    # (0.0001 - 0.5) ln 0.0002 + (1 - 0.5) ln 2.
    assert rivals.psi(np.array([0, 8]), np.array([4, 4])) == pytest.approx(4.6047, abs=1e-3)


def test_psi_has_to_stay_above_the_threshold() -> None:
    drifted, alike = np.tile([50, 50], (6, 1)), np.tile([10, 90], (6, 1))
    minutes = np.concatenate([drifted, alike, drifted, drifted, drifted])[None]
    reference = np.array([0.1, 0.9])
    assert rivals.psi_threshold(minutes, reference).tolist() == [6]
    assert rivals.psi_threshold(minutes, reference, in_a_row=3).tolist() == [30]


def test_quantiles_are_those_of_the_minute() -> None:
    slot = np.array([90, 9, 1])
    upper = np.array([1.0, 2.0, 3.0])
    histograms = np.tile(slot, (1, 6, 1))
    assert rivals.quantiles(histograms, 0.99, upper).tolist() == [[2.0]]
    assert rivals.quantiles(histograms, 0.991, upper).tolist() == [[3.0]]
