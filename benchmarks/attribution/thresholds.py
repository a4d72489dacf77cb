"""What an operator with fixed bars does with the same counts: no other arm, no other time."""

from collections.abc import Sequence

import numpy as np
from benchmarks.attribution.worlds import (
    ARMS,
    GENERATION,
    LABEL_DELAY,
    MINUTES,
    SLOTS_A_MINUTE,
    Rollout,
)

from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.statistics.distance import psi

SUCCESS, FAILED_CHECKS = 0.99, 5  # of Flagger: a check each minute, failed ones are not forgotten
PSI_BAR, PSI_MINUTES = 0.2, 10
ACCURACY_DROP, ACCURACY_MINUTES = 0.03, 30


def decide(rollout: Rollout) -> tuple[bool, bool]:
    """Whether the candidate is rolled back, and whether the model is retrained."""
    failed = [c.failed > (1 - SUCCESS) * c.requests for c in _minutes(rollout, ARMS.candidate)]
    moved = {
        arm: _drifted(rollout, arm) or _worse(rollout, arm) for arm in (ARMS.candidate, ARMS.stable)
    }
    return sum(failed) >= FAILED_CHECKS or moved[ARMS.candidate], moved[ARMS.stable]


def _minutes(rollout: Rollout, arm: str) -> list[Counts]:
    keys = (BlockKey(m * SLOTS_A_MINUTE, GENERATION, arm) for m in range(MINUTES))
    return [rollout.windows[key] for key in keys]


def _drifted(rollout: Rollout, arm: str) -> bool:
    """Whether the PSI of some feature is above the bar in some ten minutes."""
    for feature, reference in enumerate(rollout.profile.features):
        minutes = np.array([c.features[feature] for c in _minutes(rollout, arm)])
        windows = minutes.reshape(-1, PSI_MINUTES, minutes.shape[1]).sum(axis=1)
        if (psi(windows, np.array(reference.counts)) > PSI_BAR).any():
            return True
    return False


def _worse(rollout: Rollout, arm: str) -> bool:
    """Whether the accuracy of some half hour is below the bar, among the labels that have come."""
    keys = [BlockKey(m * SLOTS_A_MINUTE, GENERATION, arm) for m in range(MINUTES - LABEL_DELAY)]
    bar = rollout.profile.metrics["accuracy"] - ACCURACY_DROP
    for first in range(0, len(keys), ACCURACY_MINUTES):
        some: Sequence[Labels] = [rollout.labels[k] for k in keys[first : first + ACCURACY_MINUTES]]
        told = sum(some, Labels())
        if 1 - told.wrong / told.labelled < bar:
            return True
    return False
