import numpy as np
import pytest
from benchmarks.decisions import ours, worlds
from benchmarks.decisions.worlds import World

from tidegate.api.v1alpha1.model import Analysis, Metric
from tidegate.evidence.windows import Counts
from tidegate.rollout.analysis import start, weigh
from tidegate.rollout.verdict import Verdict

WORLD = World("still", (0.1,))
SOME = 60  # slots: enough for a rollback


def of_errors(ratio: float) -> list[tuple[Counts, Counts]]:
    counts = worlds.errors(WORLD, np.random.default_rng(2), 1, ratio)
    return list(ours.error_blocks(counts, 0))[:SOME]


def of_latencies() -> list[tuple[Counts, Counts]]:
    histograms = worlds.latencies(WORLD, np.random.default_rng(2), 1, 3.0)
    return list(ours.latency_blocks(histograms, 0))[:SOME]


def of_predictions() -> list[tuple[Counts, Counts]]:
    histograms = worlds.predictions(WORLD, np.random.default_rng(2), 1, 0.6)
    return list(ours.prediction_blocks(histograms, 0))[:SOME]


def looked_at_after_each_slot(
    metric: Metric, blocks: list[tuple[Counts, Counts]], alpha: str
) -> float:
    """What the operator does: a look every ten seconds, the state kept between the looks."""
    analysis = Analysis(alpha=alpha, metrics=(metric,))
    cursor = start(analysis, 0)
    for slot in range(1, len(blocks) + 1):
        weighed = weigh(analysis, cursor, ours.ARMS, ours.evidence_of(blocks[:slot]))
        if Verdict(weighed.results[0].verdict) is Verdict.FAIL:
            return slot
        cursor = weighed.cursor
    return np.inf


@pytest.mark.parametrize("alpha", ours.ALPHAS)
@pytest.mark.parametrize(
    ("metric", "blocks"),
    [
        pytest.param(ours.errors("0.005", relative=False), of_errors(8.0), id="errors, points"),
        pytest.param(ours.errors("0.1", relative=True), of_errors(8.0), id="errors, ratio"),
        pytest.param(ours.errors("0.1", relative=True), of_errors(1.0), id="good"),
        pytest.param(ours.latency("0.25"), of_latencies(), id="latency"),
        pytest.param(ours.shift("0.1"), of_predictions(), id="predictions"),
    ],
)
def test_one_call_finds_the_slot_that_a_look_after_each_finds(
    metric: Metric, blocks: list[tuple[Counts, Counts]], alpha: str
) -> None:
    slots = ours.rollback_slots(metric, blocks)
    assert slots[alpha] == looked_at_after_each_slot(metric, blocks, alpha)


def test_bad_candidates_are_rolled_back_and_good_ones_are_not() -> None:
    metric = ours.errors("0.005", relative=False)
    bad, good = (ours.rollback_slots(metric, of_errors(ratio)) for ratio in (8.0, 1.0))
    assert bad["0.05"] <= bad["0.01"] < SOME
    assert set(good.values()) == {np.inf}
