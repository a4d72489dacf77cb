import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from tidegate.statistics.drift import alarm_threshold
from tidegate.statistics.ranking import RankingDetector, Ranks, clustering, interval

BINS = 12
EDGES = np.linspace(-1, 2, BINS - 1)
TABLE = st.lists(st.integers(0, 9), min_size=4, max_size=4)
Counts = NDArray[np.int64]


def scored(
    rng: np.random.Generator, rows: int, auc: float, positive: float, alike: int = 1
) -> tuple[Counts, Counts]:
    """Normal scores, `alike` rows of which are the same."""
    y = rng.random(rows // alike) < positive
    s = rng.normal(y * math.sqrt(2) * norm.ppf(auc), 1)
    bins = np.searchsorted(EDGES, s, side="right")
    return tuple(alike * np.bincount(bins[of], minlength=BINS) for of in (~y, y))  # type: ignore[return-value]  # two


def true_auc(auc: float) -> float:
    """In these bins."""
    edges = np.concatenate([[-np.inf], EDGES, [np.inf]])
    n, p = (np.diff(norm.cdf(edges - at)) for at in (0, math.sqrt(2) * norm.ppf(auc)))
    return Ranks.of(n, p).auc


@given(n=TABLE, p=TABLE)
def test_the_area_is_that_of_scikit_learn(n: list[int], p: list[int]) -> None:
    if not sum(n) or not sum(p):
        with pytest.raises(ValueError, match="both labels"):
            Ranks.of(n, p)
        return
    bins = np.arange(4)
    scores = np.concatenate([np.repeat(bins, n), np.repeat(bins, p)])
    truth = np.repeat([0, 1], [sum(n), sum(p)])
    assert Ranks.of(n, p).auc == pytest.approx(roc_auc_score(truth, scores))


def test_places_by_hand() -> None:
    ranks = Ranks.of([3, 1, 0], [1, 0, 3])
    # The positive in the first bin ties with three of four; the others are above all of them.
    assert ranks.positives.tolist() == [0.375, 0.875, 1.0]
    assert ranks.negatives.tolist() == [0.875, 0.75, 0.375]
    assert ranks.auc == (0.375 + 3) / 4


@pytest.mark.parametrize("sizes", [(1, 1), (3, 1), (1, 4), (4, 2), (2, 3), (5, 2)])
@pytest.mark.parametrize("shares", [(0.7, 0.6), (0.9, 0.9), (0.3, 0.8)])
def test_expectation_at_the_bound_over_every_outcome(
    sizes: tuple[int, int], shares: tuple[float, float]
) -> None:
    """Rows fall into a low and a high bin: all samples of so few can be listed."""
    low, high = shares  # the chance that a negative is low, that a positive is high
    bound = low * high + (low * (1 - high) + (1 - low) * high) / 2
    expected = 0.0
    for n, p in product(range(sizes[0] + 1), range(sizes[1] + 1)):
        chance = math.comb(sizes[0], n) * low**n * (1 - low) ** (sizes[0] - n)
        chance *= math.comb(sizes[1], p) * high**p * (1 - high) ** (sizes[1] - p)
        detector = RankingDetector(bound)
        detector.update([n, sizes[0] - n], [sizes[1] - p, p])
        expected += chance * math.exp(detector.log_m())
    assert expected <= 1 + 1e-12  # of a single lot it is 1


@pytest.mark.parametrize("positive", [0.03, 0.5, 0.9])
@pytest.mark.parametrize("auc", [0.6, 0.85, 0.97])
def test_an_auc_at_the_bound_keeps_the_budget(positive: float, auc: float) -> None:
    rng = np.random.default_rng(7)
    arl, windows, runs = 50, 25, 100
    detectors = [RankingDetector(true_auc(auc)) for _ in range(runs)]
    alarmed = np.zeros(runs, dtype=bool)
    for _ in range(windows):
        for detector in detectors:
            detector.update(*scored(rng, 200, auc, positive))
        alarmed |= [d.log_m() >= alarm_threshold(1, arl) for d in detectors]
    assert alarmed.mean() <= windows / arl


def test_labels_that_are_alike_alarm_no_more_often_when_they_are_counted_as_such() -> None:
    rng = np.random.default_rng(8)
    threshold = alarm_threshold(1, 50)

    def alarms(alike: float) -> int:
        found = 0
        for _ in range(200):
            detector = RankingDetector(true_auc(0.8))
            for _ in range(10):
                detector.update(*scored(rng, 200, 0.8, 0.3, alike=20))
            found += detector.log_m(alike) >= threshold
        return found

    assert alarms(1) > 40, "it is no easy world"
    assert alarms(20) <= 200 * 10 / 50


@pytest.mark.parametrize(("fallen", "labels"), [(0.75, 1000), (0.82, 10_000)])
def test_a_fallen_area_is_found_in_a_window(fallen: float, labels: int) -> None:
    rng = np.random.default_rng(9)
    detectors = [RankingDetector(true_auc(0.85)) for _ in range(50)]
    for detector in detectors:
        detector.update(*scored(rng, labels, fallen, 0.2))
    assert np.mean([d.log_m() >= alarm_threshold(1, 20) for d in detectors]) > 0.9


def test_evidence_adds_up_over_windows_and_is_forgotten_in_good_times() -> None:
    rng = np.random.default_rng(10)
    detector = RankingDetector(true_auc(0.85))
    said = []
    for auc in (0.8, 0.8, 0.8, 0.9, 0.9):
        detector.update(*scored(rng, 3000, auc, 0.2))
        said.append(detector.log_m())
    assert said[0] < said[1] < said[2] > said[3] > said[4]
    before = detector.log_m()
    detector.update([5, 5, 5], [0, 0, 0])
    assert detector.log_m() == before, "one label alone says nothing of a ranking"


@given(table=st.lists(st.tuples(TABLE, TABLE), min_size=1, max_size=4))
def test_swapping_labels_with_their_order_changes_nothing(
    table: list[tuple[list[int], list[int]]],
) -> None:
    one, other = RankingDetector(0.7), RankingDetector(0.7)
    for n, p in table:
        assume(sum(n) != sum(p))  # else either label may be given the lots
        one.update(n, p)
        other.update(p[::-1], n[::-1])
    assert one.log_m() == pytest.approx(other.log_m())


def test_the_interval_holds_and_widens_with_what_is_alike() -> None:
    rng = np.random.default_rng(11)
    truth = true_auc(0.8)
    held = 0
    for _ in range(300):
        low, high = interval(*scored(rng, 600, 0.8, 0.3), 1.0)
        held += low <= truth <= high
    assert 0.9 <= held / 300 <= 0.99
    n, p = scored(rng, 600, 0.8, 0.3)
    wide, narrow = interval(n, p, 4.0), interval(n, p, 1.0)
    assert wide[1] - wide[0] == pytest.approx(2 * (narrow[1] - narrow[0]))


@pytest.mark.parametrize("alike", [1, 5, 20])
def test_how_many_are_alike_is_read_from_the_slots(alike: int) -> None:
    rng = np.random.default_rng(12)
    slots = [scored(rng, 20, 0.8, 0.3, alike=alike) for _ in range(300)]
    n, p = (np.array(side) for side in zip(*slots, strict=True))
    assert clustering(n, p) == pytest.approx(alike, rel=0.25)
