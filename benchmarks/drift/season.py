"""Day and night: windows compared with the whole reference, or with that of their hour."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from benchmarks.drift import ours
from benchmarks.drift.alarms import BEFORE, SEED, STEPS, delay_of
from benchmarks.drift.worlds import WINDOWS_A_DAY, World, dated_reference, drifting, windows
from benchmarks.report import table
from numpy.typing import NDArray

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec
from tidegate.evidence.profile import Profile
from tidegate.rollout.season import Learned

WORLD = World("day and night ± 0.3 sd", swing=0.3)
BOUNDS = ("0.02", "0.1")
WHOLE, LEARNED = "the whole", "hours learned from a week of traffic"
REFERENCES = {
    WHOLE: 10_000,
    "hours of 10,000 training rows": 10_000,
    "hours of 100,000 training rows": 100_000,
    LEARNED: 10_000,
}
PATHS = {name: path for name, path in STEPS.items() if name != "0.1 sd"}  # nothing sees that
WINDOWS = 3 * WINDOWS_A_DAY
RUNS = 5  # a day has so many times at which a drift begins
FALSE = 0.05  # where more windows than this alarm by mistake, a delay means nothing

Known = tuple[Profile, Learned | None]
Spread = Callable[..., Iterable[list[float]]]


def season_table(spread: Spread, *, quick: bool) -> str:
    """False alarms and delays, by what windows are compared with, and the policy's bound."""
    count, runs = (20, 1) if quick else (WINDOWS, RUNS)
    known = {name: _known(name) for name in REFERENCES}
    names = list(known)
    wrong = spread(_false_alarms, names, known.values(), [count] * len(names))
    shares = dict(zip(names, wrong, strict=True))
    cases = [(name, path, run) for name in names for path in PATHS for run in range(runs)]
    delays = spread(_delays, *zip(*cases, strict=True), [known[name] for name, _, _ in cases])
    first = dict(zip(cases, delays, strict=True))
    rows = []
    for number, bound in enumerate(BOUNDS):
        for name in names:
            share = shares[name][number]
            found = [
                delay_of([first[name, path, run][number] for run in range(runs)]) for path in PATHS
            ]
            shown = [""] * len(PATHS) if share > FALSE else found
            rows.append([f"PSI {bound}, {name}", f"{100 * share:.1f}", *shown])
    return table(["compared with", "windows with a false alarm, %", *PATHS], rows)


def _known(name: str) -> Known:
    rng = np.random.default_rng([SEED, *name.encode()])
    values, hours = dated_reference(WORLD, rng, REFERENCES[name])
    if name != LEARNED:
        return ours.profile_of(values, None if name == WHOLE else hours), None
    profile = ours.profile_of(values)
    week = windows(WORLD, rng, ours.LEARNING)
    return profile, ours.learned_from(profile, _policies(name)[0], week)


def _policies(name: str) -> list[DriftPolicySpec]:
    return [ours.policy(bound, "None" if name == WHOLE else "HourOfDay") for bound in BOUNDS]


def _false_alarms(name: str, known: Known, count: int) -> list[float]:
    values = windows(WORLD, np.random.default_rng([SEED, count]), count)
    profile, learned = known
    found: list[float] = ours.flags(_policies(name), profile, values, learned).mean(0).tolist()
    return found


def _delays(name: str, path: str, run: int, known: Known) -> list[float]:
    """After how many windows each policy alarms; each run begins at another time of day."""
    start = run * WINDOWS_A_DAY // RUNS
    rng = np.random.default_rng([SEED, run, *path.encode()])
    moves: NDArray[np.float64] = PATHS[path]
    values = drifting(rng, BEFORE, moves, WORLD, start)
    profile, learned = known
    first = np.full(len(BOUNDS), math.inf)
    looks = ours.alarms(_policies(name), profile, values, learned, start)
    for number, alarmed in enumerate(looks):
        if number >= BEFORE:
            first[np.isinf(first) & alarmed] = number - BEFORE + 1
        if np.isfinite(first).all():
            break
    return first.tolist()
