"""All rules on the same windows: for each rule by name, what it says of each of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks import peers
from benchmarks.drift import ours
from benchmarks.drift.worlds import Flags, Values

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec

PEERS = Path(__file__).parent / "peers"
# NannyML does not name statsmodels, which it imports; Evidently does not start with pandas 3.
EVIDENTLY = ("evidently==0.7.23", "pandas==2.3.3", "numpy==2.4.6", "scipy==1.17.1")
NANNYML = ("nannyml==0.13.1", "statsmodels==0.15.0", "pandas==2.3.3", "numpy==2.4.6")
BOUNDS = ("0.02", "0.1", "0.25")
ANY, HALF = ": any feature", ": half of the features"
FEW = 1000  # up to so many reference rows Evidently takes a test, above it a distance


@dataclass(frozen=True, slots=True)
class Judged:
    """What a rule says of a series of windows."""

    windows: Flags
    """Whether the window raises an alarm."""
    features: Flags | None = None
    """Whether each feature of each window is said to have drifted; None if it is not told."""


def judge(reference: Values, windows: Values) -> dict[str, Judged]:
    mine = ours.flags(policies(), ours.profile_of(reference), windows).T
    return {**by_bound(mine), **judge_by_others(reference, windows)}


def policies() -> list[DriftPolicySpec]:
    return [ours.policy(bound) for bound in BOUNDS]


def by_bound(flags: Flags) -> dict[str, Judged]:
    """Tidegate's alarms; policies by windows."""
    named = zip(BOUNDS, flags, strict=True)
    return {f"**Tidegate, PSI {bound}**": Judged(column) for bound, column in named}


def judge_by_others(reference: Values, windows: Values) -> dict[str, Judged]:
    found = {}
    for rows in (len(reference), FEW):
        given = {"reference": reference[:rows], "windows": windows}
        answer = peers.ask(PEERS / "evidently_windows.py", EVIDENTLY, given)
        name, drifted = f"Evidently, {answer['method']}", answer["drifted"]
        found[f"{name}{ANY}"] = Judged(np.any(drifted, axis=1), drifted)
        found[f"{name}{HALF}"] = Judged(np.mean(drifted, axis=1) >= 0.5)
    answer = peers.ask(
        PEERS / "nannyml_windows.py", NANNYML, {"reference": reference, "windows": windows}
    )
    drifted = answer["drifted"]
    found[f"NannyML, Jensen-Shannon{ANY}"] = Judged(np.any(drifted, axis=1), drifted)
    return found


def percent(flags: Flags) -> str:
    return f"{100 * np.mean(flags):.1f}"
