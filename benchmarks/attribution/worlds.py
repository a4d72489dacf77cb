"""Four hours of a canary, request by request: what goes wrong, and with whom, is known.

A linear classifier serves; the candidate was trained on other rows of the same world. Everything
that is counted is counted as the sidecars do it, in slots of a minute.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.evidence.profile import Profile, make_profile
from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.rollout.analysis import Arms

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

ARMS = Arms(stable="stable", candidate="candidate")
GENERATION = 1
MINUTES, ROWS = 240, 600  # rows a minute, of both arms
SLOTS_A_MINUTE = 6
CANARY = 0.1
LABELLED = 0.5  # of all answers ...
LABEL_DELAY = 30  # ... so many minutes later
ONSET = 60  # the minute in which the world changes
TRAINING_ROWS = 20_000
TRUTH = np.array([1.5, -1.2, 1.0, 0.8, -0.6, 0.0, 0.0, 0.0])  # of the log odds
SHARPNESS = 2.0  # how well the features tell the answer: an accuracy of about 0.9
ERROR_RATE = 0.005
NAMES = tuple(f"f{i}" for i in range(TRUTH.size))


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong; nothing, by default."""

    shift: float = 0.0
    """Standard deviations by which a feature moves for everybody, from `ONSET` on."""
    concept: bool = False
    """Whether, from `ONSET` on, two features mean the opposite."""
    errors: float = 1.0
    """Times as many errors in both arms, from `ONSET` on."""
    candidate_errors: float = 1.0
    """Times as many errors of the candidate, from the start."""
    zeroed: bool = False
    """Whether the candidate takes its first feature for 0."""
    skew: float = 0.0
    """How much likelier, as log odds for a standard deviation, some users get the candidate."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What the sidecars have counted in four hours."""

    profile: Profile
    windows: dict[BlockKey, Counts]
    labels: dict[BlockKey, Labels]


def simulate(trouble: Trouble, rng: np.random.Generator) -> Rollout:
    stable, candidate = _train(rng), _train(rng)
    if trouble.zeroed:
        candidate[0] = 0.0
    rows, truth = _requests(trouble, rng)
    on_candidate = rng.random((MINUTES, ROWS)) < _chance(trouble, rows)
    answers = np.where(on_candidate, rows @ candidate > 0, rows @ stable > 0)
    labelled = rng.random((MINUTES, ROWS)) < LABELLED
    profile = _profile(stable, rng)
    windows, labels = {}, {}
    for minute in range(MINUTES):
        for revision, there in (
            (ARMS.candidate, on_candidate[minute]),
            (ARMS.stable, ~on_candidate[minute]),
        ):
            key = BlockKey(minute * SLOTS_A_MINUTE, GENERATION, revision)
            rate = _error_rate(trouble, minute, candidate=revision == ARMS.candidate)
            windows[key] = _counts(profile, rows[minute, there], answers[minute, there], rate, rng)
            known = there & labelled[minute]
            wrong = answers[minute, known] != truth[minute, known]
            labels[key] = Labels(int(known.sum()), int(wrong.sum()))
    return Rollout(profile, windows, labels)


def _train(rng: np.random.Generator) -> Floats:
    """The weights as a logistic regression finds them: the truth and its standard errors."""
    rows = rng.standard_normal((TRAINING_ROWS, TRUTH.size))
    odds = rows @ (SHARPNESS * TRUTH)
    labels = rng.random(TRAINING_ROWS) < 1 / (1 + np.exp(-odds))
    # One Newton step from the truth is as good as the maximum of the likelihood.
    p = 1 / (1 + np.exp(-odds))
    information = (rows * (p * (1 - p))[:, None]).T @ rows
    return np.asarray(SHARPNESS * TRUTH + np.linalg.solve(information, rows.T @ (labels - p)))


def _requests(trouble: Trouble, rng: np.random.Generator) -> tuple[Floats, Flags]:
    """Rows and their true labels; minutes by rows."""
    rows = rng.standard_normal((MINUTES, ROWS, TRUTH.size))
    rows[ONSET:, :, 0] += trouble.shift
    weights = np.tile(SHARPNESS * TRUTH, (MINUTES, 1))
    if trouble.concept:
        weights[ONSET:, 2:4] *= -1
    odds = np.einsum("mrf,mf->mr", rows, weights)
    return rows, rng.random((MINUTES, ROWS)) < 1 / (1 + np.exp(-odds))


def _chance(trouble: Trouble, rows: Floats) -> Floats:
    """How likely each request is routed to the candidate."""
    odds = CANARY / (1 - CANARY) * np.exp(trouble.skew * rows[:, :, 0])
    return np.asarray(odds / (1 + odds))


def _error_rate(trouble: Trouble, minute: int, *, candidate: bool) -> float:
    shared = trouble.errors if minute >= ONSET else 1.0
    return ERROR_RATE * shared * (trouble.candidate_errors if candidate else 1.0)


def _profile(stable: Floats, rng: np.random.Generator) -> Profile:
    """What the training job of the stable revision writes, with its held-out accuracy."""
    rows = rng.standard_normal((TRAINING_ROWS, TRUTH.size))
    odds, answers = rows @ (SHARPNESS * TRUTH), rows @ stable > 0
    right = answers == (rng.random(TRAINING_ROWS) < 1 / (1 + np.exp(-odds)))
    return make_profile(
        dict(zip(NAMES, rows.T, strict=True)),
        dict.fromkeys(NAMES, "number"),
        answers.astype(int),
        "classification",
        {"accuracy": float(right.mean())},
    )


def _counts(
    profile: Profile, rows: Floats, answers: Flags, error_rate: float, rng: np.random.Generator
) -> Counts:
    encoded: list[NDArray[Any]] = [*profile.encode(dict(zip(NAMES, rows.T, strict=True)))]
    positive = int(answers.sum())
    return Counts(
        requests=len(rows),
        errors={"5xx": int(rng.binomial(len(rows), error_rate))},
        rows=len(rows),
        features=tuple(tuple(counts.tolist()) for counts in encoded),
        predictions={"0": len(rows) - positive, "1": positive},
    )
