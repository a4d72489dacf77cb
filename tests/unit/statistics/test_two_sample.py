import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from tidegate.statistics.two_sample import auc_evidence, auc_interval, clustering_of, placements

BOUNDS = st.floats(0.05, 0.95)
AUCS = st.floats(0, 1)


@given(
    recent=st.lists(st.integers(0, 9), min_size=1), known=st.lists(st.integers(0, 9), min_size=1)
)
def test_the_mean_placement_is_the_area_under_the_roc_curve(
    recent: list[int], known: list[int]
) -> None:
    truth = [1] * len(recent) + [0] * len(known)
    placed = placements(np.array(recent, dtype=float), np.array(known, dtype=float))
    assert placed.mean() == pytest.approx(roc_auc_score(truth, recent + known))


@pytest.mark.parametrize("bound", [0.5, 0.6, 0.9])
@pytest.mark.parametrize("rows", [5, 40, 1000])
def test_evidence_of_t_nats_is_rarer_than_exp_minus_t(rows: int, bound: float) -> None:
    """The least favourable case, exactly: every pair of rows is a coin that shows the bound."""
    wins = np.arange(rows + 1)
    chances = binom.pmf(wins, rows, bound)
    evidence = np.array([auc_evidence(k / rows, rows, bound) for k in wins])
    for nats in np.linspace(0.1, 12, 60):
        assert chances[evidence >= nats].sum() <= math.exp(-nats)


@given(auc=AUCS, bound=BOUNDS, rows=st.integers(1, 10_000))
def test_evidence_grows_with_rows_and_never_speaks_for_less_than_the_bound(
    auc: float, bound: float, rows: int
) -> None:
    evidence = auc_evidence(auc, rows, bound)
    assert 0 <= evidence <= auc_evidence(auc, 2 * rows, bound)
    assert evidence == 0 or auc > bound


@given(auc=AUCS, rows=st.integers(1, 10_000))
def test_what_the_interval_leaves_out_is_refuted_and_what_it_holds_is_not(
    auc: float, rows: int
) -> None:
    low, high = auc_interval(auc, rows)
    assert 0 <= low <= auc <= high <= 1
    nats = math.log(40)
    assert auc_evidence(auc, rows, low + 1e-6) <= nats
    if low > 1e-3:
        assert auc_evidence(auc, rows, low - 1e-3) >= nats


def test_values_that_are_alike_in_groups_count_as_one() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(200), 10)
    alike = np.repeat(rng.random(200), 10)
    independent = rng.random(2000)
    assert clustering_of(alike, [groups]) == pytest.approx(10)
    assert clustering_of(independent, [groups]) < 1.4
    assert clustering_of(independent, [groups, np.zeros(2000, dtype=np.int64)]) >= 1
