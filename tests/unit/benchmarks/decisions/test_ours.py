import numpy as np
import pytest
from benchmarks.decisions import ours, worlds
from benchmarks.decisions.worlds import Errors, Histograms, World

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.evidence.windows import Counts
from tidegate.rollout.analysis import start, weigh
from tidegate.rollout.verdict import Verdict

WORLD = World("still", (0.1,))
SOME = 60  # slots: enough for a rollback


def of_errors(ratio: float) -> Errors:
    found = worlds.errors(WORLD, np.random.default_rng(2), 1, ratio)
    return Errors(*(c[:, :SOME] for c in (found.k1, found.n1, found.k0, found.n0)))


def some(histograms: Histograms) -> Histograms:
    return Histograms(histograms.h1[:, :SOME], histograms.h0[:, :SOME])


def of_latencies() -> Histograms:
    return some(worlds.latencies(WORLD, np.random.default_rng(2), 1, 3.0))


def of_predictions() -> Histograms:
    return some(worlds.predictions(WORLD, np.random.default_rng(2), 1, 0.6))


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
    ("metric", "data"),
    [
        pytest.param(ours.errors("0.005", relative=False), of_errors(8.0), id="errors, points"),
        pytest.param(ours.errors("0.1", relative=True), of_errors(8.0), id="errors, ratio"),
        pytest.param(ours.errors("0.1", relative=True), of_errors(1.0), id="good"),
        pytest.param(ours.latency("0.25"), of_latencies(), id="latency"),
        pytest.param(ours.shift("0.1"), of_predictions(), id="predictions"),
    ],
)
def test_all_runs_at_once_find_the_slot_that_a_look_after_each_finds(
    metric: Metric, data: Errors | Histograms, alpha: str
) -> None:
    blocks = list(ours.blocks(metric, data, 0))
    (slot,) = ours.rollbacks(metric, data)[alpha]
    assert slot == looked_at_after_each_slot(metric, blocks, alpha)


def test_bad_candidates_are_rolled_back_and_good_ones_are_not() -> None:
    metric = ours.errors("0.005", relative=False)
    bad, good = (ours.rollbacks(metric, of_errors(ratio)) for ratio in (8.0, 1.0))
    assert bad["0.05"] <= bad["0.01"] < SOME
    assert {slot for (slot,) in good.values()} == {np.inf}
