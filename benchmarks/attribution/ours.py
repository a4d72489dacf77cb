"""Tidegate's reading of a rollout, a look every ten minutes: whose fault it is, what follows."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.attribution.worlds import (
    ARMS,
    LABEL_DELAY,
    MINUTES,
    SLOTS_A_MINUTE,
    Rollout,
)

from tidegate.api.v1alpha1.analysis import Analysis
from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec
from tidegate.rollout.analysis import Evidence, start, weigh
from tidegate.rollout.attribution import (
    Attribution,
    Remedy,
    Seen,
    attribute,
    of_candidate,
    of_world,
)
from tidegate.rollout.drift import Current, assess, broken
from tidegate.rollout.skew import layout_of
from tidegate.rollout.verdict import summarize

LOOK_MINUTES = 10
ANALYSIS = Analysis.model_validate(
    {
        "alpha": "0.01",
        "metrics": [
            {"name": name, "source": source, bound: tolerance, "onBreach": on_breach}
            for name, source, bound, tolerance, on_breach in (
                ("errors", "ErrorRate", "maxRelativeIncrease", "1", "Rollback"),
                ("labels", "LabelledAccuracy", "maxAbsoluteDrop", "0.03", "Rollback"),
                ("answers", "PredictionShift", "maxDistance", "0.1", "Hold"),
            )
        ],
    }
)
POLICY = DriftPolicySpec.model_validate(
    {
        "window": {"size": f"{LOOK_MINUTES}m"},
        "signals": [
            {"name": "inputs", "type": "DataDrift", "breach": "0.25"},
            {"name": "predictions", "type": "PredictionDrift", "breach": "0.15"},
            {"name": "accuracy", "type": "Performance", "maxRelativeDrop": "0.05"},
        ],
    }
)


@dataclass(frozen=True, slots=True)
class Decided:
    """What has become of the candidate, and what was done about the world."""

    candidate: Remedy
    candidate_minute: int
    world: Remedy
    world_minute: int


def decide(rollout: Rollout) -> Decided:
    """The candidate is rolled back, promoted or held; the last also if nothing was decided.

    A promoted candidate stays under watch, as in the operator: a rollback overrules.
    """
    candidate, world = (Remedy.HOLD, MINUTES), (Remedy.GO_ON, MINUTES)
    rank = [Remedy.GO_ON, Remedy.NOTIFY, Remedy.RETRAIN]
    for minute, found in looks(rollout):
        of_world = found.world.remedy
        if of_world in rank and rank.index(of_world) > rank.index(world[0]):
            world = of_world, minute
        if candidate[0] is Remedy.ROLL_BACK:
            continue
        if found.candidate.remedy is Remedy.ROLL_BACK:
            candidate = Remedy.ROLL_BACK, minute
        elif found.candidate.remedy is Remedy.GO_ON and candidate[0] is Remedy.HOLD:
            candidate = Remedy.GO_ON, minute
    return Decided(*candidate, *world)


def looks(rollout: Rollout) -> Iterator[tuple[int, Attribution]]:
    """The reading after each ten minutes."""
    cursor, layout = start(ANALYSIS, -1), layout_of(rollout.profile, rollout.profile)
    for minute in range(LOOK_MINUTES, MINUTES + 1, LOOK_MINUTES):
        through, labelled = minute * SLOTS_A_MINUTE - 1, (minute - LABEL_DELAY) * SLOTS_A_MINUTE - 1
        evidence = Evidence(rollout.windows, rollout.labels, through, max(labelled, 0), layout)
        weighed = weigh(ANALYSIS, cursor, ARMS, evidence)
        cursor = weighed.cursor
        labels = {k: v for k, v in rollout.labels.items() if k.slot <= labelled}
        current = Current(ARMS.stable, rollout.profile, rollout.windows, labels, through)
        inputs, quality = of_world(POLICY.signals, assess(POLICY, current).signals)
        seen = Seen(
            of_candidate(summarize(ANALYSIS.metrics or (), weighed.results)),
            inputs,
            quality,
            skewed=weighed.skewed,
            broken=broken(POLICY, current),
        )
        yield minute, attribute(seen)
