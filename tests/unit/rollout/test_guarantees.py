"""What holds of every analysis: both error rates over whole rollouts, and what must not matter."""

from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.evidence.latency import BINS_PER_DOUBLING
from tidegate.evidence.windows import BlockKey, Counts, Labels, merged, merged_labels
from tidegate.rollout.analysis import Arms, Evidence, metrics_of, start, weigh
from tidegate.rollout.results import breach, passes
from tidegate.rollout.trackers import AnyTracker, CountTracker, LabelTracker, tracker_of

ARMS = Arms("m-old", "m-new")
SHARES = (0.05, 0.2, 0.5)  # three steps, one after the other
SLOTS = 27
EDGE = {"errors": 0.02, "latency": 2.0 ** (2 / BINS_PER_DOUBLING), "accuracy": 0.05}
ANALYSIS = Analysis(
    alpha="0.1",
    beta="0.1",
    metrics=(
        Metric(
            name="errors", source="ErrorRate", max_absolute_increase="0.02", on_breach="Rollback"
        ),
        Metric(
            name="latency",
            source="LatencyQuantile",
            quantile="0.9",
            max_relative_increase="0.2",
            on_breach="Rollback",
        ),
        Metric(
            name="accuracy",
            source="LabelledAccuracy",
            max_absolute_drop="0.05",
            on_breach="Rollback",
        ),
        Metric(name="shift", source="PredictionShift", max_distance="0.2", on_breach="Rollback"),
    ),
)
Slot = tuple[tuple[Counts, Labels], tuple[Counts, Labels]]
Trackers = dict[str, AnyTracker]


def slot(rng: np.random.Generator, share: float, level: float, worse: str = "") -> Slot:
    """One slot of both arms, candidate first; it is worse in one metric, by the tolerance."""
    n1 = int(rng.binomial(800, share))
    both = []
    for n, metric in ((n1, worse), (800 - n1, "")):
        fails = level + (EDGE["errors"] if metric == "errors" else 0.0)
        wrong = 5 * level + (EDGE["accuracy"] if metric == "accuracy" else 0.0)
        load = np.log(1 + 20 * level) + (np.log(EDGE["latency"]) if metric == "latency" else 0.0)
        log_seconds = rng.normal(load, 0.4, n) * BINS_PER_DOUBLING / np.log(2)
        bins, times = np.unique(70 + np.floor(log_seconds).astype(int), return_counts=True)
        failed, yes = int(rng.binomial(n, fails)), int(rng.binomial(n, 0.3 + 5 * level))
        counts = Counts(
            requests=n,
            errors={"5xx": failed} if failed else {},
            latency=dict(zip(map(str, bins.tolist()), times.tolist(), strict=True)),
            rows=n,
            predictions={"1": yes, "0": n - yes},
        )
        both.append((counts, Labels(n, int(rng.binomial(n, wrong)))))
    return both[0], both[1]


def outcome(seed: int, worse: str = "") -> tuple[bool, bool]:
    """Whether a rollout was rolled back, and whether it passed, at any look, metric or step."""
    rng = np.random.default_rng(seed)
    trackers: Trackers = {m.name: tracker_of(m) for m in metrics_of(ANALYSIS)}
    level, rolled_back, passed = 0.01, False, False
    for number in range(SLOTS):
        level = float(np.clip(level * rng.lognormal(0, 0.3), 0.002, 0.06))
        share = SHARES[number * len(SHARES) // SLOTS]
        (candidate, labels1), (stable, labels0) = slot(rng, share, level, worse)
        for tracker in trackers.values():
            if isinstance(tracker, LabelTracker):
                tracker.fold(labels1, labels0)
            elif isinstance(tracker, CountTracker):
                tracker.fold(candidate, stable)
        rolled_back |= breach(metrics_of(ANALYSIS), trackers, ANALYSIS) is not None
        passed |= all(passes(t, ANALYSIS) for t in trackers.values())
    return rolled_back, passed


def test_alpha_bounds_false_rollbacks_over_all_steps_and_metrics() -> None:
    """Equal arms, incidents that move all metrics at once, and weights that rise meanwhile.

    Ten of a hundred would be allowed.
    """
    outcomes = [outcome(seed) for seed in range(100)]
    assert sum(rolled_back for rolled_back, _ in outcomes) <= 10
    assert sum(passed for _, passed in outcomes) >= 80, "that nothing passes would prove nothing"


@pytest.mark.parametrize("worse", ["errors", "latency", "accuracy"])
def test_beta_bounds_false_passes_over_all_steps_and_metrics(worse: str) -> None:
    """One metric is worse by just the tolerance; five of fifty are allowed to pass."""
    assert sum(passed for _, passed in (outcome(seed, worse) for seed in range(50))) <= 5


def story(seed: int, *, slots: int, worse: str = "") -> list[Slot]:
    rng = np.random.default_rng(seed)
    return [slot(rng, 0.3, 0.01, worse) for _ in range(slots)]


def evidence_of(slots: Sequence[Slot]) -> Evidence:
    windows, labels = {}, {}
    for number, arms in enumerate(slots, start=1):
        for revision, (counts, told) in zip((ARMS.candidate, ARMS.stable), arms, strict=True):
            windows[BlockKey(number, 7, revision)] = counts
            labels[BlockKey(number, 7, revision)] = told
    return Evidence(windows, labels, len(slots), len(slots))


def parts(rng: np.random.Generator, n: int, pods: int) -> list[int]:
    return [int(k) for k in rng.multinomial(n, np.full(pods, 1 / pods))]


def of_pods(rng: np.random.Generator, counts: Counts, pods: int) -> list[Counts]:
    """The same counts as several pods would have had them, each a random part."""

    def split(by_key: Mapping[str, int]) -> list[dict[str, int]]:
        each = {key: parts(rng, n, pods) for key, n in by_key.items()}
        return [{key: each[key][pod] for key in each if each[key][pod]} for pod in range(pods)]

    columns = zip(
        parts(rng, counts.requests, pods),
        parts(rng, counts.rows, pods),
        *(split(d) for d in (counts.errors, counts.latency, counts.predictions)),
        strict=True,
    )
    return [
        Counts(requests=n, rows=r, errors=e, latency=s, predictions=p) for n, r, e, s, p in columns
    ]


def of_each(rng: np.random.Generator, told: Labels, pods: int) -> list[Labels]:
    wrong, right = (parts(rng, n, pods) for n in (told.wrong, told.labelled - told.wrong))
    return [Labels(w + r, w) for w, r in zip(wrong, right, strict=True)]


@given(seed=st.integers(0, 99), pods=st.integers(1, 5), order=st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_how_pods_share_the_requests_and_who_is_asked_first_changes_nothing(
    seed: int, pods: int, order: Random
) -> None:
    whole = evidence_of(story(seed, slots=4))
    rng = np.random.default_rng(seed)
    windows: list[dict[BlockKey, Counts]] = [{} for _ in range(pods)]
    labels: list[dict[BlockKey, Labels]] = [{} for _ in range(pods)]
    for key, counts in whole.windows.items():
        told = of_each(rng, whole.labels[key], pods)
        for pod, part in enumerate(of_pods(rng, counts, pods)):
            windows[pod][key], labels[pod][key] = part, told[pod]
    order.shuffle(windows)
    order.shuffle(labels)
    half = merged(windows[: pods // 2]), merged(windows[pods // 2 :])  # in any grouping, too
    together = Evidence(merged(half), merged_labels(labels), 4, 4)
    cursor = start(ANALYSIS, 0)
    assert weigh(ANALYSIS, cursor, ARMS, together) == weigh(ANALYSIS, cursor, ARMS, whole)


@given(
    seed=st.integers(0, 99),
    worse=st.sampled_from(["", "errors", "accuracy"]),
    more=st.lists(st.tuples(st.integers(0, 19), st.integers(1, 60)), max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_more_harm_never_makes_a_pass_of_a_fail(
    seed: int, worse: str, more: list[tuple[int, int]]
) -> None:
    slots = story(seed, slots=20, worse=worse)
    harmed = list(slots)
    for number, extra in more:
        (counts, told), stable = harmed[number]
        failed = min(counts.failed + extra, counts.requests)
        wrong = min(told.wrong + extra, told.labelled)
        bad = Counts(
            requests=counts.requests,
            errors={"5xx": failed},
            latency=counts.latency,
            rows=counts.rows,
            predictions=counts.predictions,
        )
        harmed[number] = (bad, Labels(told.labelled, wrong)), stable
    before, after = (
        weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, evidence_of(s)).results for s in (slots, harmed)
    )
    for was, now in zip(before, after, strict=True):
        if was.name in ("errors", "accuracy") and was.verdict == "Fail":
            assert now.verdict != "Pass"
