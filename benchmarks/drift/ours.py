"""Tidegate's own decision: `assess`, as the operator calls it, on the counts of the sidecars."""

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from benchmarks.drift.worlds import WINDOWS_A_DAY, Flags, Hours, Values

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec
from tidegate.evidence.profile import Profile, make_profile, with_hours
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.drift import WINDOWS_WEIGHED, Current, assess
from tidegate.rollout.season import Learned, learn, season_of

REVISION = "stable"
GENERATION = 1
SLOTS = 60  # in a window of ten minutes
FEWEST_ROWS = 100  # below the default of 500: a world of small windows shall be judged, too


WINDOWS_AN_HOUR = WINDOWS_A_DAY // 24
LEARNING = 7 * WINDOWS_A_DAY  # the windows that hours of the day are learned from
FIRST = LEARNING + WINDOWS_A_DAY  # the window that is judged first: the begin of a later day


def policy(breach: str, seasonality: str = "None") -> DriftPolicySpec:
    """All features, drifted beyond this PSI; one false alarm a month, which is the default."""
    return DriftPolicySpec.model_validate(
        {
            "window": {"size": "10m", "minSamples": FEWEST_ROWS},
            "reference": {"seasonality": seasonality},
            "signals": [{"name": "inputs", "type": "DataDrift", "breach": breach}],
        }
    )


def profile_of(reference: Values, hours: Hours | None = None) -> Profile:
    """What the training job writes; `hours` are those of the rows' timestamps."""
    names = [f"f{i}" for i in range(reference.shape[1])]
    columns = dict(zip(names, reference.T, strict=True))
    answers = np.zeros(len(reference))
    profile = make_profile(columns, dict.fromkeys(names, "number"), answers, "regression", {})
    return profile if hours is None else with_hours(profile, columns, hours, answers, hours)


def learned_from(profile: Profile, asked: DriftPolicySpec, windows: Values) -> Learned | None:
    """What the operator knows of the hours after a week of traffic, which ends before `FIRST`."""
    learned: Learned | None = None
    hours = windows.reshape(-1, WINDOWS_AN_HOUR * windows.shape[1], windows.shape[2])
    for number, rows in enumerate(hours, start=FIRST // WINDOWS_AN_HOUR - len(hours)):
        slot = number * WINDOWS_AN_HOUR * SLOTS
        blocks = {BlockKey(slot, GENERATION, REVISION): sum(slots_of(profile, rows), Counts())}
        end = slot + WINDOWS_AN_HOUR * SLOTS - 1
        learned = learn(asked, Current(REVISION, profile, blocks, {}, end), learned) or learned
    return learned


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
    policies: Sequence[DriftPolicySpec],
    profile: Profile,
    windows: Values,
    learned: Learned | None = None,
    start: int = 0,
) -> Iterator[list[bool]]:
    """After each window, whether each policy sees a breach; the first is `start` after midnight."""
    kept: deque[Counts] = deque(maxlen=WINDOWS_WEIGHED - 1)
    for number, window in enumerate(windows, start=FIRST + start):
        slots = slots_of(profile, window)
        current = current_of(profile, slots, kept, number * SLOTS)
        seen = [season_of(p, current, learned)[0] for p in policies]
        found = [assess(p, s) for p, s in zip(policies, seen, strict=True)]
        yield [f.signals[0].level == "Breach" for f in found]
        kept.append(sum(slots, Counts()))


def flags(
    policies: Sequence[DriftPolicySpec],
    profile: Profile,
    windows: Values,
    learned: Learned | None = None,
    start: int = 0,
) -> Flags:
    """`alarms` of all windows; windows by policies."""
    return np.array(list(alarms(policies, profile, windows, learned, start)))
