"""Performance by `roc_auc`: scores that no longer rank, though as many answers are right."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec, Signal, SignalStatus
from tidegate.api.v1alpha1.drift_policy import Window as WindowSize
from tidegate.evidence.profile import Predictions, Profile
from tidegate.evidence.ranked import counted
from tidegate.evidence.ranking import Ranking
from tidegate.evidence.windows import BlockKey, Labels
from tidegate.rollout.attribution import (
    Cause,
    Inputs,
    Quality,
    Remedy,
    Seen,
    attribute,
    of_world,
)
from tidegate.rollout.drift import Current, assess
from tidegate.rollout.performance import performance
from tidegate.rollout.ranking import ranking
from tidegate.rollout.series import WINDOWS_WEIGHED, Series
from tidegate.statistics.drift import alarm_threshold

SIZE = 60  # slots: ten minutes
SLOTS = WINDOWS_WEIGHED * SIZE
THRESHOLD = alarm_threshold(2, 30 * 24 * 6)  # a false alarm in thirty days
SIGNAL = Signal(name="ranking", type="Performance", metric="roc_auc", max_relative_drop="0.02")
ACCURACY = Signal(name="accuracy", type="Performance", max_relative_drop="0.02")
POSITIVE, APART = 0.1, 1.4


def rows(
    rng: np.random.Generator, count: int, noise: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of a rare label: nearly all answers are "no", and nine of ten are right."""
    truth = rng.random(count) < POSITIVE
    scores = rng.normal(truth * APART, 1) + noise * rng.normal(size=count)
    return scores / np.sqrt(1 + noise**2) - 4, truth


def reference() -> Profile:
    scores, truth = rows(np.random.default_rng(1), 20_000)
    accuracy = float(np.mean((scores > 0) == truth))
    return replace(
        Profile("classification", 0, (), Predictions("category", ("no", "yes"))),
        metrics={"accuracy": accuracy},
        ranking=Ranking.of(scores, truth, ("no", "yes")),
    )


PROFILE = reference()


def told(
    seed: int, noise: float, *, labels: int = 6, alike: int = 1, since: int = 0
) -> Series[Labels]:
    """Two hours with so many labels in a slot, `alike` of which are the same."""
    assert PROFILE.ranking is not None
    rng = np.random.default_rng(seed)
    blocks = {}
    for slot in range(SLOTS):
        scores, truth = rows(rng, labels // alike, noise if slot >= since else 0.0)
        scores, truth = np.repeat(scores, alike), np.repeat(truth, alike)
        bins = PROFILE.ranking.bins(scores)
        ranked = counted(zip(bins, truth.astype(int).tolist(), strict=True))
        wrong = int(((scores > 0) != truth).sum())
        blocks[BlockKey(slot, 1, "m-old")] = Labels(len(truth), wrong, ranked)
    return Series(blocks, "m-old", SIZE, WINDOWS_WEIGHED - 1, Labels())


def judged(labels: Series[Labels], session: int | None = None) -> SignalStatus:
    return ranking(SIGNAL, PROFILE, labels, THRESHOLD, session)


def test_scores_that_mean_nothing_any_more_are_found_where_accuracy_sees_nothing() -> None:
    for seed in range(5):
        labels = told(seed, noise=3.0, since=SLOTS - 3 * SIZE)
        found = judged(labels)
        assert found.level == "Breach"
        assert float(found.value or 1) < 0.75
        assert "The ROC AUC is 0." in found.message
        assert "labels, " in found.message
        assert performance(ACCURACY, PROFILE, labels, THRESHOLD).level == "Ok"


def test_a_policy_reads_it_as_a_world_that_works_differently() -> None:
    labels = told(1, noise=3.0)
    blocks = {
        key: slot
        for keys, slots in zip(labels.keys, labels.slots, strict=True)
        for key, slot in zip(keys, slots, strict=True)
    }
    both = (SIGNAL, ACCURACY)
    policy = DriftPolicySpec(window=WindowSize(size="10m"), signals=both)
    found = assess(policy, Current("m-old", PROFILE, {}, blocks, SLOTS - 1)).signals
    assert [s.level for s in found] == ["Breach", "Ok"]
    assert of_world(both, found) == (Inputs.UNKNOWN, Quality.FALLEN)
    reading = attribute(Seen(inputs=Inputs.STEADY, quality=Quality.FALLEN)).world
    assert (reading.cause, reading.remedy) == (Cause.CONCEPT_DRIFT, Remedy.RETRAIN)


@pytest.mark.parametrize("alike", [1, 6])
def test_scores_that_rank_as_before_are_no_alarm(alike: int) -> None:
    found = [judged(told(seed, 0.0, alike=alike)) for seed in range(20)]
    assert {s.level for s in found} == {"Ok"}


def test_sessions_at_the_bound_keep_the_budget() -> None:
    bound = 0.24  # of noise, at which the area is two percent smaller
    series = [told(seed, bound, labels=12, alike=12) for seed in range(40)]
    assert sum(judged(labels).level == "Breach" for labels in series) == 0
    assert sum(judged(labels, session=12).level == "Breach" for labels in series) == 0


def test_the_interval_is_as_wide_as_sessions_make_it() -> None:
    labels = told(3, 2.0, labels=12, alike=12)
    alone, estimated, known = (_width(judged(labels, n)) for n in (1, None, 12))
    assert known == pytest.approx(np.sqrt(12) * alone, rel=0.02)
    assert estimated == pytest.approx(known, rel=0.2)


def test_the_order_in_which_pods_report_changes_nothing() -> None:
    labels = told(6, 1.0)
    blocks = dict(
        zip(
            (key for keys in labels.keys for key in keys),
            (slot for window in labels.slots for slot in window),
            strict=True,
        )
    )
    backwards = dict(reversed(blocks.items()))
    series = Series(backwards, "m-old", SIZE, WINDOWS_WEIGHED - 1, Labels())
    assert judged(series) == judged(labels)


def test_min_is_the_stricter_bound_of_the_two() -> None:
    strict = SIGNAL.model_copy(update={"min": "0.99"})
    found = ranking(strict, PROFILE, told(1, 0.0), THRESHOLD)
    assert found.level == "Breach"
    assert "wants at least 0.990" in found.message


def test_too_few_labels_say_nothing() -> None:
    few = ranking(
        SIGNAL.model_copy(update={"min_labelled": 1000}), PROFILE, told(1, 0.0), THRESHOLD
    )
    assert few.level == "Unknown"
    assert few.message == "360 of 1000 labels of answers with scores in a window so far."


def test_labels_without_scores_and_profiles_without_a_ranking_say_so() -> None:
    unscored = {BlockKey(i, 1, "m-old"): Labels(10, 1) for i in range(SLOTS)}
    series = Series(unscored, "m-old", SIZE, WINDOWS_WEIGHED - 1, Labels())
    assert judged(series).message == "0 of 100 labels of answers with scores in a window so far."
    blind = replace(PROFILE, ranking=None)
    found = ranking(SIGNAL, blind, told(1, 0.0), THRESHOLD)
    assert (found.level, "train again" in found.message) == ("Unknown", True)


def _width(signal: SignalStatus) -> float:
    return float(signal.upper or 0) - float(signal.lower or 0)
