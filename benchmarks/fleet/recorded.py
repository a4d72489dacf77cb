"""What three pods of a Model report in an hour, as the bytes that they answer with."""

import json

import numpy as np
from numpy.typing import NDArray

from tidegate.clients.sidecars import Target
from tidegate.evidence.profile import SPECIAL_BINS, Number, Predictions, Profile
from tidegate.evidence.windows import BlockKey, Counts, Labels, Report

FEATURES, BINS_EACH = 50, 20  # three of the bins are those of missing, outside and invalid values
PODS = 3
ROWS = 200  # of a pod in a slot: twenty requests a second
SLOTS_A_MINUTE = 6
GENERATION = 1  # of the routing document
FIRST_SLOT = 180_000_000
STABLE, CANDIDATE = "fraud-stable", "fraud-candidate"
SEED = 20261121


def targets(*, rollout: bool) -> tuple[Target, ...]:
    """Three pods; in a rollout the last one is the candidate's."""
    revisions = [STABLE] * (PODS - 1) + [CANDIDATE if rollout else STABLE]
    return tuple(
        Target(f"pod-{i}", f"10.0.0.{i}:8090", revision, ready=True)
        for i, revision in enumerate(revisions)
    )


def profile(rng: np.random.Generator) -> Profile:
    """The reference of a classifier with numeric features."""
    edges = np.sort(rng.normal(size=(FEATURES, BINS_EACH - SPECIAL_BINS - 1)))
    counts = rng.multinomial(20_000, _shares(), FEATURES)
    return Profile(
        "classification",
        20_000,
        tuple(
            Number(f"f{i}", tuple(e), float(e[0]) - 5, float(e[-1]) + 5, tuple(c))
            for i, (e, c) in enumerate(zip(edges.tolist(), counts.tolist(), strict=True))
        ),
        Predictions("category", ("no", "yes"), counts={"no": 18_000, "yes": 2_000}),
        {"accuracy": 0.9},
    )


def minutes(count: int, *, rollout: bool) -> list[dict[str, bytes]]:
    """For each minute the answer of each pod, six slots long."""
    rng = np.random.default_rng(SEED)
    return [
        {
            target.uid: _answer(target, FIRST_SLOT + minute * SLOTS_A_MINUTE, rng)
            for target in targets(rollout=rollout)
        }
        for minute in range(count)
    ]


def last_slot(minute: int) -> int:
    return FIRST_SLOT + (minute + 1) * SLOTS_A_MINUTE - 1


def _answer(target: Target, first: int, rng: np.random.Generator) -> bytes:
    slots = range(first, first + SLOTS_A_MINUTE)
    windows = {BlockKey(slot, GENERATION, target.revision): _counts(rng) for slot in slots}
    labels = {key: Labels(ROWS // 10, int(rng.binomial(ROWS // 10, 0.1))) for key in windows}
    report = Report(
        member=target.uid,
        revision=target.revision,
        generation=GENERATION,
        first_slot=FIRST_SLOT,
        closed_through=slots[-1],
        labels_closed_through=slots[-1],
        windows=windows,
        labels=labels,
    )
    return json.dumps(report.to_json()).encode()


def _counts(rng: np.random.Generator) -> Counts:
    latency = np.bincount(rng.normal(60, 5, ROWS).astype(int))
    yes = int(rng.binomial(ROWS, 0.1))
    return Counts(
        requests=ROWS,
        errors={"5xx": int(rng.binomial(ROWS, 0.005))},
        latency={str(i): int(n) for i, n in enumerate(latency) if n},
        rows=ROWS,
        features=tuple(map(tuple, rng.multinomial(ROWS, _shares(), FEATURES).tolist())),
        predictions={"no": ROWS - yes, "yes": yes},
    )


def _shares() -> NDArray[np.float64]:
    """Even bins, and a few values that are missing."""
    special = np.array([0.01, 0.004, 0.0])
    body = np.full(BINS_EACH - SPECIAL_BINS, (1 - special.sum()) / (BINS_EACH - SPECIAL_BINS))
    return np.concatenate([body, special])
