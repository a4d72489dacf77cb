"""Tidegate's own decision, on simulated evidence."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from benchmarks.decisions import batch, rivals
from benchmarks.decisions.worlds import Counted, Errors, Floats, Histograms

from tidegate.api.v1alpha1.analysis import Metric
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.analysis import Arms, Evidence

ALPHAS = ("0.01", "0.05")
BETA = 0.05
ARMS = Arms(stable="stable", candidate="candidate")
GENERATION = 1  # of the routing document; a change of weight alone moves nothing here


def errors(tolerance: str, *, relative: bool) -> Metric:
    """Roll back on errors beyond a tolerance: a difference of rates, or a share more."""
    return Metric(
        name="errors",
        source="ErrorRate",
        max_absolute_increase=None if relative else tolerance,
        max_relative_increase=tolerance if relative else None,
        on_breach="Rollback",
    )


def latency(tolerance: str) -> Metric:
    """Roll back on a p99 that is slower by more than the tolerated share."""
    return Metric(
        name="latency",
        source="LatencyQuantile",
        quantile="0.99",
        max_relative_increase=tolerance,
        on_breach="Rollback",
    )


def shift(tolerance: str) -> Metric:
    """Roll back on predictions beyond a Jensen-Shannon distance."""
    return Metric(
        name="shift", source="PredictionShift", max_distance=tolerance, on_breach="Rollback"
    )


def error_blocks(errors: Errors, run: int) -> Iterator[tuple[Counts, Counts]]:
    """Candidate and stable of each slot of a run."""
    columns = (column[run].tolist() for column in (errors.k1, errors.n1, errors.k0, errors.n0))
    for k1, n1, k0, n0 in zip(*columns, strict=True):
        yield Counts(requests=n1, errors={"5xx": k1}), Counts(requests=n0, errors={"5xx": k0})


def latency_blocks(histograms: Histograms, run: int) -> Iterator[tuple[Counts, Counts]]:
    """Candidate and stable of each slot of a run."""
    for h1, h0 in zip(histograms.h1[run], histograms.h0[run], strict=True):
        yield (
            Counts(requests=int(h1.sum()), latency=_sparse(h1)),
            Counts(requests=int(h0.sum()), latency=_sparse(h0)),
        )


def prediction_blocks(histograms: Histograms, run: int) -> Iterator[tuple[Counts, Counts]]:
    """Candidate and stable of each slot of a run."""
    for h1, h0 in zip(histograms.h1[run], histograms.h0[run], strict=True):
        n1, n0 = int(h1.sum()), int(h0.sum())
        yield (
            Counts(requests=n1, rows=n1, predictions=_sparse(h1)),
            Counts(requests=n0, rows=n0, predictions=_sparse(h0)),
        )


def evidence_of(blocks: Sequence[tuple[Counts, Counts]]) -> Evidence:
    """What the collector would hand over after the last of the slots; they count from 1."""
    windows = {}
    for slot, (candidate, stable) in enumerate(blocks, start=1):
        windows[BlockKey(slot, GENERATION, ARMS.candidate)] = candidate
        windows[BlockKey(slot, GENERATION, ARMS.stable)] = stable
    return Evidence(windows, {}, closed_through=len(blocks), labels_closed_through=None)


def blocks(metric: Metric, data: Errors | Histograms, run: int) -> Iterator[tuple[Counts, Counts]]:
    """What the metric is given of a run."""
    match data:
        case Errors():
            return error_blocks(data, run)
        case Histograms():
            latencies = metric.source == "LatencyQuantile"
            return (latency_blocks if latencies else prediction_blocks)(data, run)


def rollbacks(
    metric: Metric, data: Errors | Histograms, session: int | None = None
) -> dict[str, Floats]:
    """For each alpha and run, the slot after which the candidate is rolled back, or infinity."""
    evidence = batch.evidence(metric, data, session)
    return {alpha: rivals.first(evidence >= -math.log(float(alpha))) for alpha in ALPHAS}


def passes(metric: Metric, data: Errors, session: int | None = None) -> Floats:
    """For each run, the slot after which the candidate passes, or infinity."""
    return rivals.first(batch.safety(metric, data, session) >= -math.log(BETA))


def _sparse(histogram: Counted) -> dict[str, int]:
    return {str(i): int(histogram[i]) for i in np.flatnonzero(histogram)}
