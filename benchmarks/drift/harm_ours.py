"""What the operator makes of a window of DriftHarm's suite, by how many labels came back."""

from dataclasses import replace

import numpy as np
from benchmarks.drift.harm_worlds import FEATURES, WINDOW, Floats, Labels, Pool, Rows
from numpy.typing import NDArray

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec
from tidegate.evidence import windows as counted
from tidegate.evidence.profile import Profile, make_profile
from tidegate.evidence.ranked import counted as by_bin
from tidegate.evidence.ranking import Ranking
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.attribution import Reading, Seen, attribute, of_world
from tidegate.rollout.drift import Current, assess, broken

SEED = 20261121
TOLD = (0, 500, 2_000, 20_000)  # labels that come back, of a window
REVISION, GENERATION = "stable", 1
SLOTS = 360  # of a window of an hour
BLOCKS = 60  # that a window is counted in
FIRST = 1000 * SLOTS  # any that begins a window
NAMES = [f"x{i}" for i in range(FEATURES)]
METRICS = {"accuracy": "accuracy", "ranking": "roc_auc"}  # of signals, by name
DROP = "0.01"  # the suite's harm begins at a hundredth of the AUC
POLICY = DriftPolicySpec.model_validate(
    {
        "window": {"size": "1h"},
        "falseAlarms": {"perModel": 1, "in": "20h"},  # in twenty windows: as many as alpha 5 %
        "signals": [
            {"name": "inputs", "type": "DataDrift", "breach": "0.1"},
            {"name": "answers", "type": "PredictionDrift", "breach": "0.1"},
            *(
                {"name": n, "type": "Performance", "metric": m, "maxRelativeDrop": DROP}
                for n, m in METRICS.items()
            ),
        ],
    }
)


def profile_of(pool: Pool, reference: NDArray[np.int64]) -> Profile:
    """What the training job writes, with what these rows say of the model."""
    rows, scores, labels = pool.rows[reference], pool.scores[reference], pool.labels[reference]
    answers = scores > 0.5
    profile = make_profile(
        dict(zip(NAMES, rows.T, strict=True)),
        dict.fromkeys(NAMES, "number"),
        answers.astype(int),
        "classification",
        {"accuracy": float(np.mean(answers == labels))},
    )
    return replace(profile, ranking=Ranking.of(scores, labels == 1, ("0", "1")))


def readings(profile: Profile, rows: Rows, labels: Labels, scores: Floats) -> list[list[Reading]]:
    """Of the world: for each of `METRICS` alone one for each of `TOLD`."""
    answers = scores > 0.5
    windows = {key: _counts(profile, rows[at], answers[at]) for key, at in _blocks()}
    order = np.random.default_rng(SEED).permutation(WINDOW)
    unlabelled = Current(REVISION, profile, windows, {}, FIRST + SLOTS - 1)
    inputs, _ = of_world(POLICY.signals, assess(POLICY, unlabelled).signals)
    seen = Seen(inputs=inputs, broken=broken(POLICY, unlabelled))
    told = [_told(profile, labels, scores, order < n) for n in TOLD]
    return [[_reading(seen, name, profile, some) for some in told] for name in METRICS]


def _blocks() -> list[tuple[BlockKey, NDArray[np.int64]]]:
    parts = enumerate(np.array_split(np.arange(WINDOW), BLOCKS))
    return [(BlockKey(FIRST + n * SLOTS // BLOCKS, GENERATION, REVISION), at) for n, at in parts]


def _counts(profile: Profile, rows: Rows, answers: NDArray[np.bool_]) -> Counts:
    positive = int(answers.sum())
    encoded = profile.encode(dict(zip(NAMES, rows.T, strict=True)))
    return Counts(
        requests=len(rows),
        rows=len(rows),
        features=tuple(tuple(c.tolist()) for c in encoded),
        predictions={"0": len(rows) - positive, "1": positive},
    )


def _told(
    profile: Profile, labels: Labels, scores: Floats, told: NDArray[np.bool_]
) -> dict[BlockKey, counted.Labels]:
    """The labels that come back, as the sidecars count them."""
    assert profile.ranking is not None
    wrong, bins = (scores > 0.5) != labels, np.array(profile.ranking.bins(scores))
    found = {}
    for key, at in _blocks():
        rows = at[told[at]]
        ranked = by_bin(zip(bins[rows].tolist(), labels[rows].tolist(), strict=True))
        found[key] = counted.Labels(len(rows), int(wrong[rows].sum()), ranked)
    return found


def _reading(
    seen: Seen, signal: str, profile: Profile, labels: dict[BlockKey, counted.Labels]
) -> Reading:
    # Inputs are the same whatever labels say, and take nearly all of the time.
    labelled = Current(REVISION, profile, {}, labels, FIRST + SLOTS - 1)
    results = [s for s in assess(POLICY, labelled).signals if s.name == signal]
    _, quality = of_world(POLICY.signals, results)
    return attribute(replace(seen, quality=quality)).world
