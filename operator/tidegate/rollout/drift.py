"""Drift: a Model's newest windows against the reference profile of its stable revision.

Distances are shown, and count as drift only together with evidence: an e-detector whose alarms
keep the policy's budget of false alarms over all signals and features. Too few rows say nothing:
the level is Unknown, never Ok and never an alarm. A signal looks at complete windows of wall-clock
time, so that everybody who looks sees the same ones.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from tidegate.api.meta import duration
from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec, Look, Signal, SignalStatus
from tidegate.evidence.hours import HourTable
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import SLOT_SECONDS, BlockKey, Counts, Labels
from tidegate.rollout.data_drift import chosen, data_drift
from tidegate.rollout.data_quality import KINDS, data_quality
from tidegate.rollout.lost import lost_values
from tidegate.rollout.multivariate_drift import look_threshold, multivariate_drift
from tidegate.rollout.performance import performance
from tidegate.rollout.prediction_drift import prediction_drift
from tidegate.rollout.ranking import ranking
from tidegate.rollout.references import References
from tidegate.rollout.series import SEVERITY, WINDOWS_WEIGHED, Budget, Level, Series, unknown
from tidegate.statistics.drift import alarm_threshold

__all__ = [
    "SEVERITY",
    "WINDOWS_WEIGHED",
    "Assessment",
    "Current",
    "Level",
    "assess",
    "broken",
    "complete_through",
    "newest_window",
    "window_slots",
]

# Two distributions without anything in common are 0.8326 apart; the others are shares.
LARGEST: Mapping[str, float] = {
    "PredictionDrift": 0.83,
    "DataQuality": 1.0,
    "MultivariateDrift": 1.0,
}


@dataclass(frozen=True, slots=True)
class Current:
    """What the pods of a Model's stable revision have counted lately."""

    revision: str
    profile: Profile
    windows: Mapping[BlockKey, Counts]
    labels: Mapping[BlockKey, Labels]
    closed_through: int
    hours: HourTable | None = None
    """What the reference knows of each hour; None to compare with all of it."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """One evaluation of all signals."""

    through: int
    """The last slot of the newest complete window, whatever the windows' size is."""
    signals: tuple[SignalStatus, ...]


def window_slots(spec: DriftPolicySpec) -> int:
    """The size of the policy's window, in slots."""
    return max(1, round(duration(spec.window.size).total_seconds() / SLOT_SECONDS))


def newest_window(spec: DriftPolicySpec, closed_through: int) -> int:
    """The number of the newest window whose every slot is closed."""
    return (closed_through + 1) // window_slots(spec) - 1


def complete_through(spec: DriftPolicySpec, closed_through: int) -> int:
    """The last slot of that window."""
    return (newest_window(spec, closed_through) + 1) * window_slots(spec) - 1


def assess(
    spec: DriftPolicySpec, current: Current, session: int | None = None, looks: Sequence[Look] = ()
) -> Assessment:
    """Evaluate every signal on the newest complete windows.

    `session`: how many requests share their fate, at most; None to estimate it. `looks`: what
    Jobs have found out.
    """
    newest, size = newest_window(spec, current.closed_through), window_slots(spec)
    profile, revision = current.profile, current.revision
    counts = Series(current.windows, revision, size, newest, Counts())
    labels = Series(current.labels, revision, size, newest, Labels())
    streams = sum(_streams(s, profile) for s in spec.signals)
    threshold = alarm_threshold(max(streams, 1), _windows_per_false_alarm(spec))
    budget = Budget(spec.window.min_samples, threshold)
    references = References(profile, current.hours, counts)

    def one(signal: Signal) -> SignalStatus:
        nonsense = _out_of_bounds(signal)
        if nonsense:
            return unknown(signal, 0, nonsense)
        match signal.type:
            case "DataDrift":
                return data_drift(signal, profile, counts, references, budget)
            case "DataQuality":
                return data_quality(signal, profile, counts, budget)
            case "MultivariateDrift":
                evidence = look_threshold(spec, signal, streams)
                return multivariate_drift(signal, looks, evidence, spec.sustain)
            case "PredictionDrift":
                return prediction_drift(signal, profile, counts, references, budget)
            case "Performance" if signal.metric == "roc_auc":
                return ranking(signal, profile, labels, threshold, session)
            case "Performance":
                return performance(signal, profile, labels, threshold, session)
            case _:
                assert_never(signal.type)

    through = complete_through(spec, current.closed_through)
    return Assessment(through, tuple(one(s) for s in spec.signals))


def broken(spec: DriftPolicySpec, current: Current) -> str:
    """Which features have lost their values; empty if none has. Don't train on such data."""
    size, newest = window_slots(spec), newest_window(spec, current.closed_through)
    window = (
        counts
        for key, counts in current.windows.items()
        if key.revision == current.revision and key.slot // size == newest
    )
    return lost_values(current.profile, window, spec.window.min_samples)


def _windows_per_false_alarm(spec: DriftPolicySpec) -> float:
    budget = duration(spec.false_alarms.in_) / spec.false_alarms.per_model
    return max(2.0, budget.total_seconds() / (window_slots(spec) * SLOT_SECONDS))


def _out_of_bounds(signal: Signal) -> str:
    """Which bound makes no sense: objects stored under an older schema may have one."""
    largest = LARGEST.get(signal.type, math.inf)
    bounds = {
        "warn": (signal.warn, largest),
        "breach": (signal.breach, largest),
        "share": (signal.share, 1.0),
        "min": (signal.min, 1.0),
    }
    for name, (value, most) in bounds.items():
        if value is not None and not 0 < float(value) <= most:
            return f"{name} must be larger than 0 and at most {most:g}, and is {value}."
    drop = signal.max_relative_drop
    if drop is not None and not 0 <= float(drop) < 1:
        return f"maxRelativeDrop must be at least 0 and smaller than 1, and is {drop}."
    return ""


def _streams(signal: Signal, profile: Profile) -> int:
    """How many detectors could raise a false alarm."""
    match signal.type:
        case "DataDrift":
            return len(chosen(signal, profile))
        case "DataQuality":
            return len(KINDS) * len(chosen(signal, profile))
        case _:
            return 1
