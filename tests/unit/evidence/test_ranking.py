from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tidegate.errors import TerminalError
from tidegate.evidence.profile import Profile, make_profile
from tidegate.evidence.ranked import added, counted
from tidegate.evidence.ranking import BINS, BINS_LIMIT, Ranking
from tidegate.statistics.ranking import Ranks

RANKING = Ranking(("no", "yes"), (0.25, 0.75), (6, 3, 1), (1, 3, 6))
ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), max_size=20)


def auc(ranking: Ranking) -> float:
    return Ranks.of(ranking.negatives, ranking.positives).auc


@pytest.mark.parametrize("share", [0.02, 0.3, 0.95])
def test_the_bins_keep_the_area_under_the_curve(share: float) -> None:
    rng = np.random.default_rng(5)
    positive = rng.random(5000) < share
    scores = 1 / (1 + np.exp(-rng.normal(positive * 1.4, 1)))
    ranking = Ranking.of(scores, positive, ("0", "1"))
    assert len(ranking.negatives) == BINS
    assert sum(ranking.negatives + ranking.positives) == 5000
    assert auc(ranking) == pytest.approx(roc_auc_score(positive, scores), abs=0.004)


def test_few_different_scores_have_a_bin_each() -> None:
    scores = np.repeat([0.1, 0.4, 0.9], [50, 30, 20])
    positive = np.arange(100) % 10 > np.repeat([8, 4, 0], [50, 30, 20])
    ranking = Ranking.of(scores, positive, ("0", "1"))
    assert len(set(ranking.bins([0.1, 0.4, 0.9]))) == 3
    assert auc(ranking) == pytest.approx(roc_auc_score(positive, scores))


def test_what_is_no_score_has_no_bin() -> None:
    scores: list[Any] = [0.2, 0.25, 0.8, None, float("nan"), "x"]
    assert RANKING.bins(scores) == [0, 1, 2, -1, -1, -1]
    assert RANKING.bins([float("inf"), -5]) == [2, 0]


def test_labels_compare_as_text() -> None:
    ranking = Ranking(("0", "1"), (), (1,), (1,))
    assert [ranking.side(v) for v in (0, 1.0, "1", True, "2", None, [1])] == [
        *(0, 1, 1),
        *[None] * 4,
    ]


@given(parts=st.lists(ROWS, max_size=4))
def test_counts_add_up_in_any_grouping(parts: list[list[tuple[int, int]]]) -> None:
    whole = counted(row for part in parts for row in part)
    assert added(*map(counted, parts)) == added(*map(counted, reversed(parts))) == whole
    assert sum(n + p for _, n, p in whole) == sum(map(len, parts))


def test_a_bin_that_the_profile_does_not_have_is_passed_over() -> None:
    negatives, positives = RANKING.counts(((0, 2, 0), (2, 1, 3), (9, 5, 5)))
    assert (negatives.tolist(), positives.tolist()) == ([2, 0, 1], [0, 0, 3])


def test_a_profile_keeps_it_and_one_of_an_older_trainer_has_none() -> None:
    plain = make_profile({"age": [1, 2]}, {"age": "number"}, ["no", "yes"], "classification", {})
    data = plain.to_json()
    assert Profile.from_json(data).ranking is None
    data["ranking"] = RANKING.to_json()
    assert Profile.from_json(data).ranking == RANKING


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["yes"]},
        {"edges": [0.5]},
        {"positives": [0, 0, 0]},
        {"edges": [0.1] * BINS_LIMIT, "negatives": [1] * 101, "positives": [1] * 101},
        {"negatives": "many"},
    ],
)
def test_a_damaged_one_is_no_profile(change: dict[str, Any]) -> None:
    plain = make_profile({"age": [1, 2]}, {"age": "number"}, ["no", "yes"], "classification", {})
    with pytest.raises(TerminalError, match="not a reference profile"):
        Profile.from_json({**plain.to_json(), "ranking": {**RANKING.to_json(), **change}})
