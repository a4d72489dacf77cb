"""The suite of harm changes what it says it changes, and scores alarms by what they are worth."""

import numpy as np
import pytest
from benchmarks.drift import harm, harm_ours
from benchmarks.drift.harm_worlds import (
    ARCHETYPES,
    FEATURES,
    INFORMATIVE,
    LOST_FEATURES,
    WINDOW,
    Base,
    Labels,
    Pool,
    Rows,
)

from tidegate.rollout.attribution import Cause

RIGHT = 0.9


@pytest.fixture(scope="module")
def pool() -> Pool:
    """A model that is right about nine of ten rows, whatever is in them."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((2 * WINDOW, FEATURES)).astype(np.float32)
    labels = rng.integers(0, 2, len(rows), dtype=np.int8)
    scores = np.where(rng.random(len(rows)) < RIGHT, labels, 1 - labels) + rng.normal(
        0, 0.1, len(rows)
    )
    return Pool(rows, labels, scores, np.array(""), np.arange(FEATURES))


@pytest.fixture
def base(pool: Pool) -> Base:
    at = np.arange(WINDOW)
    rng = np.random.default_rng(2)
    return Base(pool, at + WINDOW, pool.rows[at], pool.labels[at], pool.scores[at], rng)


def test_another_concept_leaves_the_rows_and_a_shuffled_segment_each_feature(base: Base) -> None:
    other, shuffled = (ARCHETYPES[n](base) for n in ("concept drift", "3 % of the rows shuffled"))
    assert (other.rows == base.rows).all()
    assert 0.3 < (other.labels != base.labels).mean() < 0.4
    assert (shuffled.rows != base.rows).any(axis=1).sum() <= 0.03 * WINDOW
    assert (np.sort(shuffled.rows, axis=0) == np.sort(base.rows, axis=0)).all()


def test_only_features_without_weight_shift(base: Base) -> None:
    moved = (ARCHETYPES["features without weight shift"](base).rows != base.rows).any(axis=0)
    assert np.flatnonzero(moved).tolist() == list(range(INFORMATIVE, FEATURES))


def test_what_is_lost_comes_in_empty_and_reaches_the_model_imputed(base: Base) -> None:
    window = ARCHETYPES["features lost"](base)
    assert window.incoming is not None
    empty = np.isnan(window.incoming)
    assert np.isfinite(window.rows).all()
    assert np.flatnonzero(empty.any(axis=0)).tolist() == list(range(LOST_FEATURES))


def test_each_window_is_read_as_the_operator_reads_it(base: Base) -> None:
    profile = harm_ours.profile_of(base.pool, base.reference)
    lost, other = (ARCHETYPES[n](base) for n in ("features lost", "concept drift"))

    def causes(rows: Rows, labels: Labels) -> list[list[Cause]]:
        """By right and wrong answers, and by the AUC."""
        found = harm_ours.readings(profile, rows, labels, base.scores)
        return [[r.cause for r in each] for each in found]

    well, changed = [Cause.HEALTHY] * 4, [Cause.HEALTHY, *[Cause.CONCEPT_DRIFT] * 3]
    assert causes(base.rows, base.labels) == [well, well]
    assert causes(base.rows, other.labels) == [changed, changed]
    assert lost.incoming is not None
    assert causes(lost.incoming, lost.labels) == [[Cause.BROKEN_DATA] * 4] * 2


def test_a_window_of_the_same_kind_of_rows_is_near_and_one_without_its_labels_is_far(
    base: Base,
) -> None:
    near = harm.measured(base.pool, base.reference, base.rows, base.labels, base.scores)
    far = harm.measured(base.pool, base.reference, base.rows + 1, base.labels, -base.scores)
    assert abs(near.auc) < 0.01 > near.psi
    assert far.auc > 0.5 < far.psi
    assert far.jensen_shannon > 10 * near.jensen_shannon


@pytest.mark.parametrize(
    ("alarmed", "want"),
    [([1, 1, 0, 0], 1.0), ([0, 0, 1, 1], -1.0), ([1, 0, 1, 0], 0.0), ([1, 1, 1, 1], 0.0)],
)
def test_alarms_are_worth_how_they_go_with_harm(alarmed: list[int], want: float) -> None:
    harmed = np.array([True, True, False, False])
    assert harm.mcc(harmed, np.array(alarmed, bool)) == pytest.approx(want)
