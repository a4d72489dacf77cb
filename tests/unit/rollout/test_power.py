"""Power: the harm is of the size that was asked for, and the forecast is what the operator does."""

import numpy as np
import pytest

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.evidence.latency import latency_bin
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.analysis import Arms, Evidence, start, weigh
from tidegate.rollout.power import (
    Traffic,
    harmed,
    time_of_copies,
    time_to_detect,
    time_to_pass,
)
from tidegate.statistics.distance import jensen_shannon
from tidegate.statistics.latency import increase_of_bins, quantile_bin

ERRORS = Metric(
    name="errors", source="ErrorRate", max_absolute_increase="0.01", on_breach="Rollback"
)
RELATIVE = ERRORS.model_copy(update={"max_absolute_increase": None, "max_relative_increase": "0.5"})
LATENCY = Metric(
    name="latency",
    source="LatencyQuantile",
    quantile="0.9",
    max_relative_increase="0.2",
    on_breach="Rollback",
)
SHIFT = Metric(name="shift", source="PredictionShift", max_distance="0.1", on_breach="Hold")
ACCURACY = Metric(
    name="accuracy", source="LabelledAccuracy", max_absolute_drop="0.02", on_breach="Rollback"
)
ANALYSIS = Analysis(metrics=(ERRORS, LATENCY, SHIFT, ACCURACY))
SECONDS = np.random.default_rng(1).lognormal(np.log(0.05), 0.5, 5000)
BINS = [latency_bin(float(s)) for s in SECONDS]
TRAFFIC = Traffic(
    requests=1000,
    error_rate=0.004,
    latency={b: BINS.count(b) / len(BINS) for b in set(BINS)},
    predictions={"yes": 0.3, "no": 0.7},
    labels=0.5,
    wrong_rate=0.1,
)


def test_harm_is_measured_in_tolerances() -> None:
    assert harmed(ERRORS, TRAFFIC, 3).error_rate == pytest.approx(0.034)
    assert harmed(RELATIVE, TRAFFIC, 2).error_rate == pytest.approx(0.008)
    assert harmed(ACCURACY, TRAFFIC, 2).wrong_rate == pytest.approx(0.14)


def test_a_slower_candidate_is_slower_at_its_quantile() -> None:
    def p90(traffic: Traffic) -> int:
        dense = np.zeros(161)
        for index, share in traffic.latency.items():
            dense[index] = share
        return quantile_bin(dense, 0.9)

    slower = harmed(LATENCY, TRAFFIC, 5)  # twice as slow: one doubling, eight bins
    assert sum(slower.latency.values()) == pytest.approx(1)
    assert increase_of_bins(p90(slower) - p90(TRAFFIC)) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("size", [1.0, 2.0, 4.0])
def test_shifted_predictions_are_as_far_as_asked(size: float) -> None:
    moved = harmed(SHIFT, TRAFFIC, size).predictions
    keys = sorted({*moved, *TRAFFIC.predictions})
    shares = [[p.get(k, 0.0) for k in keys] for p in (moved, TRAFFIC.predictions)]
    assert float(jensen_shannon(*shares)) == pytest.approx(0.1 * size, rel=1e-6)


def test_more_harm_is_found_sooner_and_a_smaller_share_takes_longer() -> None:
    small, large = (
        time_to_detect(ANALYSIS, ERRORS, TRAFFIC, 0.2, size).quantile(0.5) for size in (3.0, 10.0)
    )
    rare = time_to_detect(ANALYSIS, ERRORS, TRAFFIC, 0.02, 10.0).quantile(0.5)
    assert large < small
    assert large < rare


def test_only_what_can_be_measured_is_foretold() -> None:
    blind = Traffic(requests=1000)
    assert set(time_to_pass(ANALYSIS, TRAFFIC, 0.5)) == {"errors", "latency", "shift", "accuracy"}
    assert set(time_to_pass(ANALYSIS, blind, 0.5)) == {"errors"}


def test_the_forecast_is_what_the_analysis_does() -> None:
    """Ten rollouts through `weigh`, slot by slot, take about as long as was foretold."""
    analysis = Analysis(metrics=(ERRORS,))
    foretold = time_to_detect(analysis, ERRORS, TRAFFIC, 0.2, 5.0)
    rng, arms, taken = np.random.default_rng(2), Arms("old", "new"), []
    for _ in range(10):
        windows = {}
        for slot in range(1, 60):
            for revision, n, rate in (("new", 200, 0.054), ("old", 800, 0.004)):
                failed = int(rng.binomial(n, rate))
                windows[BlockKey(slot, 1, revision)] = Counts(n, {"5xx": failed} if failed else {})
        seen = weigh(analysis, start(analysis, 0), arms, Evidence(windows, {}, 59, None))
        assert seen.results[0].verdict == "Fail"
        taken.append(seen.results[0].samples / 200)
    assert float(np.median(taken)) == pytest.approx(foretold.quantile(0.5), abs=1.5)


@pytest.mark.parametrize(("size", "verdict"), [(0.5, "Pass"), (3.0, "Fail")])
def test_the_forecast_of_copies_is_what_the_analysis_does_with_them(
    size: float, verdict: str
) -> None:
    agreement = Metric(
        name="agreement", source="PairedDisagreement", max_rate="0.1", on_breach="Rollback"
    )
    analysis = Analysis(metrics=(agreement,), min_samples=100)
    foretold = time_of_copies(analysis, agreement, 40, size)
    rng, arms, taken = np.random.default_rng(2), Arms("old", "new"), []
    for _ in range(10):
        windows: dict[BlockKey, Counts] = {}
        for slot in range(1, 60):
            differed = int(rng.binomial(40, 0.1 * size))
            pairs = {"agreed": 40 - differed, "differed": differed}
            windows[BlockKey(slot, 1, "new")] = Counts(pairs=pairs)
            windows[BlockKey(slot, 1, "old")] = Counts(requests=40)
            seen = weigh(analysis, start(analysis, 0), arms, Evidence(windows, {}, slot, None))
            if seen.results[0].verdict == verdict:
                taken.append(slot)
                break
    assert len(taken) == 10
    assert float(np.median(taken)) == pytest.approx(foretold.quantile(0.5), abs=2)
