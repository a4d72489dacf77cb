"""What the operator makes of a window of DriftHarm's suite, by how many labels came back."""

import numpy as np
from benchmarks.drift.harm_worlds import FEATURES, WINDOW, Floats, Labels, Pool, Rows
from numpy.typing import NDArray

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec
from tidegate.evidence import windows as counted
from tidegate.evidence.profile import Profile, make_profile
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
POLICY = DriftPolicySpec.model_validate(
    {
        "window": {"size": "1h"},
        "falseAlarms": {"perModel": 1, "in": "20h"},  # in twenty windows: as many as alpha 5 %
        "signals": [
            {"name": "inputs", "type": "DataDrift", "breach": "0.1"},
            {"name": "answers", "type": "PredictionDrift", "breach": "0.1"},
            # The suite's harm begins at a hundredth of the AUC.
            {"name": "accuracy", "type": "Performance", "maxRelativeDrop": "0.01"},
        ],
    }
)


def profile_of(pool: Pool, reference: NDArray[np.int64]) -> Profile:
    """What the training job writes, with the accuracy on these rows."""
    rows, answers = pool.rows[reference], pool.scores[reference] > 0.5
    return make_profile(
        dict(zip(NAMES, rows.T, strict=True)),
        dict.fromkeys(NAMES, "number"),
        answers.astype(int),
        "classification",
        {"accuracy": float(np.mean(answers == pool.labels[reference]))},
    )


def readings(profile: Profile, rows: Rows, labels: Labels, scores: Floats) -> list[Reading]:
    """Of the world, one for each of `TOLD`."""
    answers = scores > 0.5
    windows = {key: _counts(profile, rows[at], answers[at]) for key, at in _blocks()}
    wrong, order = answers != labels, np.random.default_rng(SEED).permutation(WINDOW)
    return [_reading(profile, windows, wrong, order < told) for told in TOLD]


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


def _reading(
    profile: Profile,
    windows: dict[BlockKey, Counts],
    wrong: NDArray[np.bool_],
    told: NDArray[np.bool_],
) -> Reading:
    labels = {
        key: counted.Labels(int(told[at].sum()), int((told & wrong)[at].sum()))
        for key, at in _blocks()
    }
    current = Current(REVISION, profile, windows, labels, FIRST + SLOTS - 1)
    inputs, quality = of_world(POLICY.signals, assess(POLICY, current).signals)
    seen = Seen(inputs=inputs, quality=quality, broken=broken(POLICY, current))
    return attribute(seen).world
