"""The classifier two-sample test on rows that are alike, and on rows that are not."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # of scikit-learn

from tidegate.runtime.two_sample import Finding, Sample, tell_apart
from tidegate.statistics.floats import Floats
from tidegate.statistics.two_sample import auc_evidence

World = Callable[[np.random.Generator, int], Floats]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the pod: threads that wait for each other cost more than they bring."""
    with threadpool_limits(1):
        yield


def rotated(correlation: float) -> World:
    """Four standard normal columns; the first two are correlated."""

    def world(rng: np.random.Generator, rows: int) -> Floats:
        table = rng.standard_normal((rows, 4))
        table[:, 1] = correlation * table[:, 0] + math.sqrt(1 - correlation**2) * table[:, 1]
        return table

    return world


def sessions(rng: np.random.Generator, rows: int) -> Floats:
    """Ten rows in a row are nearly the same; each column is standard normal all the same."""
    table = np.repeat(rng.standard_normal((rows // 10, 4)), 10, axis=0)
    return np.asarray(0.99 * table + math.sqrt(1 - 0.99**2) * rng.standard_normal((rows, 4)))


def sample(known: Floats, recent: Floats, rows_of_a_request: int = 1) -> Sample:
    names = tuple(f"f{i}" for i in range(known.shape[1]))
    requests = np.arange(len(recent)) // rows_of_a_request
    return Sample(names, np.concatenate([known, recent]), (), len(recent), requests)


def evidence(found: Finding, bound: float) -> float:
    return auc_evidence(found.auc, found.samples / found.clustering, bound)


def test_sees_a_rotated_correlation_that_no_single_feature_shows() -> None:
    rng = np.random.default_rng(2)
    found = tell_apart(sample(rotated(0.8)(rng, 1000), rotated(-0.8)(rng, 1000)))
    assert found.auc > 0.8
    assert evidence(found, 0.6) > 30
    assert {name for name, _ in found.top[:2]} == {"f0", "f1"}


def test_sees_a_shift_that_sixty_features_share() -> None:
    rng = np.random.default_rng(3)
    known, recent = rng.standard_normal((2, 1000, 60))
    found = tell_apart(sample(known, recent + 0.13))
    assert found.auc > 0.68
    assert evidence(found, 0.55) > 10


@pytest.mark.parametrize(
    ("world", "rows_of_a_request"),
    [(rotated(0.8), 1), (rotated(0.8), 10), (sessions, 1)],
    ids=["rows", "batches", "sessions"],
)
def test_false_alarms_keep_their_budget(world: World, rows_of_a_request: int) -> None:
    """A tolerance of nothing at all, 48 looks at 5 %: an alarm in 2.4 of them is allowed."""
    alarms = 0
    for seed in range(48):
        rng = np.random.default_rng([4, seed])
        found = tell_apart(
            sample(rotated(0.8)(rng, 400) if world is not sessions else rng.standard_normal(
                (400, 4)), world(rng, 400), rows_of_a_request),
            [LogisticRegression()],
        )  # fmt: skip
        alarms += evidence(found, 0.5) >= math.log(20)
    assert alarms <= 2


def test_rows_of_a_request_are_on_one_side() -> None:
    """A row that comes twice would be known by heart."""
    rng = np.random.default_rng(5)
    known = rng.standard_normal((600, 3))
    recent = np.repeat(rng.standard_normal((30, 3)), 20, axis=0)
    found = tell_apart(sample(known, recent, rows_of_a_request=20))
    assert found.clustering > 5
    assert evidence(found, 0.6) < math.log(100)


@pytest.mark.parametrize("place", [0, 29], ids=["first", "last"])
def test_a_request_of_most_rows_leaves_some_to_learn_and_some_to_judge(place: int) -> None:
    rng = np.random.default_rng(8)
    requests = np.repeat(np.arange(30), np.where(np.arange(30) == place, 600, 1))
    table = rng.standard_normal((600 + len(requests), 2))
    found = tell_apart(Sample(("a", "b"), table, (), len(requests), requests))
    assert found.samples >= 15
    assert math.isfinite(found.auc)


def test_the_same_rows_give_the_same_finding() -> None:
    rng = np.random.default_rng(6)
    asked = sample(rng.standard_normal((200, 2)), rng.standard_normal((200, 2)))
    assert tell_apart(asked) == tell_apart(asked)


def test_missing_values_and_categories_are_told_apart_too() -> None:
    rng = np.random.default_rng(7)
    known = np.column_stack([rng.standard_normal(600), rng.integers(0, 3, 600)])
    recent = np.column_stack([rng.standard_normal(600), rng.integers(0, 3, 600)])
    recent[:300, 0] = np.nan
    table = np.concatenate([known, recent])
    found = tell_apart(Sample(("age", "plan"), table, (1,), 600, np.arange(600)))
    assert found.auc > 0.65
    assert found.top[0][0] == "age"
