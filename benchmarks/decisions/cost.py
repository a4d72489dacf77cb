"""What a look costs: a slot's step of a test whose state is kept, beside tests of all data."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from benchmarks.decisions import ours
from benchmarks.decisions.judges import ERROR_METRICS, LATENCY_METRICS, SHIFT_METRICS
from benchmarks.decisions.worlds import Counted, World, errors, latencies, predictions
from benchmarks.fleet.recorded import FEATURES, profile
from benchmarks.report import table
from scipy.stats import fisher_exact, mannwhitneyu

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.evidence.windows import Counts
from tidegate.rollout.analysis import DEFAULT_METRICS, start, weigh
from tidegate.rollout.skew import layout_of
from tidegate.rollout.trackers import CountTracker, tracker_of

REPEATS = 101  # the median of so many timings
BYTES = 8  # of a float64


def cost_table() -> str:
    """A row for each step; ratios are to ours of the same metric."""
    rng, world = np.random.default_rng(7), World("moving", moving=True)
    failed, slow = errors(world, rng, 1), latencies(world, rng, 1)
    scores = predictions(world, rng, 1)
    k1, n1, k0, n0 = (int(c.sum()) for c in (failed.k1, failed.n1, failed.k0, failed.n0))
    rows = [
        *_rows(
            "errors",
            ERROR_METRICS["+0.5 points"],
            list(ours.error_blocks(failed, 0)),
            "scipy fisher_exact of all requests",
            lambda: fisher_exact([[k1, n1 - k1], [k0, n0 - k0]], alternative="greater"),
            4 * BYTES,
        ),
        *_rows(
            "latency",
            LATENCY_METRICS["+25 %"],
            list(ours.latency_blocks(slow, 0)),
            "scipy mannwhitneyu of all requests",
            _rank_test(slow.h1[0].sum(axis=0), slow.h0[0].sum(axis=0)),
            BYTES * int(slow.h1.sum() + slow.h0.sum()),
        ),
        *_rows(
            "predictions",
            SHIFT_METRICS["0.1"],
            list(ours.prediction_blocks(scores, 0)),
            "scipy mannwhitneyu of all rows",
            _rank_test(scores.h1[0].sum(axis=0), scores.h0[0].sum(axis=0)),
            BYTES * int(scores.h1.sum() + scores.h0.sum()),
        ),
    ]
    looks = [_look(default_blocks(rng)), _look_at_inputs(rng)]
    return table(["step", "ms", "ratio", "state, bytes"], [*rows, *looks])


def default_blocks(rng: np.random.Generator) -> list[tuple[Counts, Counts]]:
    """Slots with errors and latencies, for the default metrics."""
    world = World("moving", moving=True)
    failed, slow = errors(world, rng, 1), latencies(world, rng, 1)
    pairs = zip(ours.error_blocks(failed, 0), ours.latency_blocks(slow, 0), strict=True)
    return [(a1 + b1, a0 + b0) for (a1, a0), (b1, b0) in pairs]


def blocks_with_inputs(rng: np.random.Generator) -> list[tuple[Counts, Counts]]:
    """The same with predictions, and with the features of `profile` in their bins."""
    scores = ours.prediction_blocks(predictions(World("moving", moving=True), rng, 1), 0)
    shares = np.array([feature.counts for feature in profile(rng).features], np.float64)
    shares /= shares.sum(axis=1, keepdims=True)

    def told(arm: Counts, rows: Counts) -> Counts:
        counted = rng.multinomial(rows.rows, shares).tolist()
        features = tuple(map(tuple, counted))
        return replace(arm, rows=rows.rows, predictions=rows.predictions, features=features)

    pairs = zip(default_blocks(rng), scores, strict=True)
    return [(told(a1, b1), told(a0, b0)) for (a1, a0), (b1, b0) in pairs]


def _rows(
    name: str,
    metric: Metric,
    blocks: list[tuple[Counts, Counts]],
    peer: str,
    test: Callable[[], object],
    peer_bytes: int,
) -> list[list[str]]:
    tracker = tracker_of(metric)
    assert isinstance(tracker, CountTracker)
    timings = []
    for candidate, stable in blocks:
        began = time.thread_time()
        tracker.fold(candidate, stable)
        tracker.test.log_e_worse()
        timings.append(time.thread_time() - began)
    mine, theirs = float(np.median(timings)), _median(test)
    state = len(json.dumps(tracker.state()))
    return [
        [f"**{name}: Tidegate, one slot**", f"{1e3 * mine:.2f}", "1", f"{state:,}"],
        [f"{name}: {peer}", f"{1e3 * theirs:.2f}", f"{theirs / mine:.1f}", f"{peer_bytes:,}"],
    ]


def _look(blocks: list[tuple[Counts, Counts]]) -> list[str]:
    """A whole look of the operator: the state unpacked, one new slot, the state packed."""
    analysis = Analysis()
    seen, now = ours.evidence_of(blocks[:-1]), ours.evidence_of(blocks)
    cursor = weigh(analysis, start(analysis, 0), ours.ARMS, seen).cursor
    took = _median(lambda: weigh(analysis, cursor, ours.ARMS, now))
    return [
        "**a look with the default metrics, state unpacked and packed, intervals**",
        f"{1e3 * took:.2f}",
        "",
        f"{len(cursor):,}",
    ]


def _look_at_inputs(rng: np.random.Generator) -> list[str]:
    """The same with a third metric, and with the inputs of both arms compared."""
    analysis = Analysis(metrics=(*DEFAULT_METRICS, SHIFT_METRICS["0.1"]))
    blocks, known = blocks_with_inputs(rng), profile(rng)
    seen, now = (
        replace(ours.evidence_of(some), layout=layout_of(known, known))
        for some in (blocks[:-1], blocks)
    )
    cursor = weigh(analysis, start(analysis, 0), ours.ARMS, seen).cursor
    took = _median(lambda: weigh(analysis, cursor, ours.ARMS, now))
    return [
        f"**a look with three metrics and {FEATURES} features of 20 bins**",
        f"{1e3 * took:.2f}",
        "",
        f"{len(cursor):,}",
    ]


def _rank_test(h1: Counted, h0: Counted) -> Callable[[], object]:
    candidate, stable = (np.repeat(np.arange(h.size), h).astype(np.float64) for h in (h1, h0))
    return lambda: mannwhitneyu(candidate, stable, alternative="greater", method="asymptotic")


def _median(step: Callable[[], object]) -> float:
    timings = []
    for _ in range(REPEATS):
        began = time.thread_time()
        step()
        timings.append(time.thread_time() - began)
    return float(np.median(timings))
