"""The benchmark's tests for many runs give what the operator's trackers give for one."""

import numpy as np
import pytest
from benchmarks.decisions import batch, ours, worlds
from benchmarks.decisions.worlds import RAMP, Errors, Histograms, World
from numpy.typing import ArrayLike

from tidegate.api.v1alpha1.analysis import Metric
from tidegate.rollout.trackers import CountTracker, tracker_of

RUNS = 1
WORLDS = (
    World("ramp", RAMP, moving=True),
    World("sessions", session=10, geometric=True),
    World("rare", (0.001,)),  # many slots without a request of the candidate
)


def bad(metric: Metric, world: World) -> Errors | Histograms:
    rng = np.random.default_rng(4)
    if metric.source == "ErrorRate":
        errors = worlds.errors(world, rng, RUNS, 3.0)
        return Errors(*(c[:, ::4] for c in (errors.k1, errors.n1, errors.k0, errors.n0)))
    if metric.source == "LatencyQuantile":
        found = worlds.latencies(world, rng, RUNS, 1.5)
    else:
        found = worlds.predictions(world, rng, RUNS, 0.5)
    return Histograms(found.h1[:, ::4], found.h0[:, ::4])


def by_tracker(
    metric: Metric, data: Errors | Histograms, run: int, session: int | None
) -> tuple[ArrayLike, ArrayLike]:
    """The evidence for a Fail after each slot, and for a Pass."""
    tracker = tracker_of(metric, session)
    assert isinstance(tracker, CountTracker)
    found = []
    for candidate, stable in ours.blocks(metric, data, run):
        tracker.fold(candidate, stable)
        found.append((tracker.test.log_e_worse(), tracker.test.log_e_good()))
    worse, good = np.array(found).T
    return worse, good


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
@pytest.mark.parametrize(
    "metric",
    [
        pytest.param(ours.errors("0.005", relative=False), id="errors, points"),
        pytest.param(ours.errors("0.1", relative=True), id="errors, ratio"),
        pytest.param(ours.latency("0.25"), id="latency"),
        pytest.param(ours.shift("0.1"), id="predictions"),
    ],
)
def test_runs_at_once_give_the_evidence_of_one(metric: Metric, world: World) -> None:
    data = bad(metric, world)
    for session in (None, world.session):
        found = batch.evidence(metric, data, session)
        for run in range(RUNS):
            worse, good = by_tracker(metric, data, run, session)
            assert found[run] == pytest.approx(worse, abs=1e-6)
            if isinstance(data, Errors):
                passes = batch.safety(metric, data, session)
                assert passes[run] == pytest.approx(good, abs=1e-6)
