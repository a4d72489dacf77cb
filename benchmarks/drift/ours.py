"""Tidegate's own decision: `assess`, as the operator calls it, on the counts of the sidecars."""

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from benchmarks.drift.worlds import Flags, Values

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec
from tidegate.evidence.profile import Profile, make_profile
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.drift import WINDOWS_WEIGHED, Current, assess

REVISION = "stable"
GENERATION = 1
SLOTS = 60  # in a window of ten minutes
FEWEST_ROWS = 100  # below the default of 500: a world of small windows shall be judged, too


def policy(breach: str) -> DriftPolicySpec:
    """All features, drifted beyond this PSI; one false alarm a month, which is the default."""
    return DriftPolicySpec.model_validate(
        {
            "window": {"size": "10m", "minSamples": FEWEST_ROWS},
            "signals": [{"name": "inputs", "type": "DataDrift", "breach": breach}],
        }
    )


def profile_of(reference: Values) -> Profile:
    """What the training job writes."""
    names = [f"f{i}" for i in range(reference.shape[1])]
    columns = dict(zip(names, reference.T, strict=True))
    answers = np.zeros(len(reference))
    return make_profile(columns, dict.fromkeys(names, "number"), answers, "regression", {})


def slots_of(profile: Profile, window: Values) -> list[Counts]:
    """A window as the sidecars count it: slot by slot."""
    names = [f.name for f in profile.features]
    found = []
    for rows in np.array_split(window, SLOTS):
        counts = profile.encode(dict(zip(names, rows.T, strict=True)))
        features = tuple(tuple(c.tolist()) for c in counts)
        found.append(Counts(requests=len(rows), rows=len(rows), features=features))
    return found


def current_of(
    profile: Profile, slots: Sequence[Counts], before: Sequence[Counts], first: int
) -> Current:
    """The newest window, slot by slot from `first` on, and the whole ones before it."""
    blocks = {BlockKey(first + i, GENERATION, REVISION): c for i, c in enumerate(slots)}
    for age, whole in enumerate(reversed(before), start=1):
        blocks[BlockKey(first - age * SLOTS, GENERATION, REVISION)] = whole
    return Current(REVISION, profile, blocks, {}, first + SLOTS - 1)


def alarms(
    policies: Sequence[DriftPolicySpec], reference: Values, windows: Values
) -> Iterator[list[bool]]:
    """After each window, whether each policy sees a breach."""
    profile = profile_of(reference)
    kept: deque[Counts] = deque(maxlen=WINDOWS_WEIGHED - 1)
    for number, window in enumerate(windows, start=WINDOWS_WEIGHED):
        slots = slots_of(profile, window)
        current = current_of(profile, slots, kept, number * SLOTS)
        yield [assess(p, current).signals[0].level == "Breach" for p in policies]
        kept.append(sum(slots, Counts()))


def flags(policies: Sequence[DriftPolicySpec], reference: Values, windows: Values) -> Flags:
    """`alarms` of all windows; windows by policies."""
    return np.array(list(alarms(policies, reference, windows)))
