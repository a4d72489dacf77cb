"""Attribution: what has happened, and whose fault it is. The whole matrix, as one pure function.

Two questions are answered apart, because both can be true at once: what is wrong with the
*candidate*, and what has happened to the *world*, which both revisions live in. A world that moves
is no reason to roll back, and a bad candidate none to retrain.

| evidence | of the candidate | of the world |
| --- | --- | --- |
| it fails or is slow, by more than the tolerance | BadCandidate: roll back | |
| it gets other inputs than stable | RoutingSkew: hold; labels and predictions can't be compared | |
| it is worse by labels, or by a metric to roll back on | BadCandidate: roll back | |
| features have lost their values | BrokenData: hold | BrokenData: notify, never retrain |
| it answers differently, nothing says worse | DifferentCandidate: hold | |
| every metric passed | Healthy: go on | |
| stable's labelled quality fell, its inputs did not move | | ConceptDrift: retrain |
| stable's labelled quality fell | | Decay: retrain |
| stable's inputs or predictions moved | | SharedDrift: notify |
| too little of it | Inconclusive: wait | Inconclusive: wait |

The first row that applies wins, in each column.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from tidegate.api.v1alpha1.drift_policy import Signal, SignalStatus
from tidegate.rollout.verdict import Summary, Verdict


class Candidate(StrEnum):
    """The candidate beside stable, by the metrics of the analysis."""

    ALIKE = "Alike"
    """Every metric passed."""
    DIFFERS = "Differs"
    """A metric to hold on failed."""
    WORSE = "Worse"
    """A metric to roll back on failed; it compares answers to requests that have to be alike."""
    FAILING = "Failing"
    """Errors or latency to roll back on failed: that counts whatever was asked."""
    UNKNOWN = "Unknown"


class Inputs(StrEnum):
    """Stable's inputs and predictions beside the reference profile."""

    STEADY = "Steady"
    DRIFTED = "Drifted"
    UNKNOWN = "Unknown"


class Quality(StrEnum):
    """Stable's labelled quality beside what the policy asks for."""

    GOOD = "Good"
    FALLEN = "Fallen"
    UNKNOWN = "Unknown"


class Cause(StrEnum):
    """What has happened."""

    HEALTHY = "Healthy"
    BAD_CANDIDATE = "BadCandidate"
    DIFFERENT_CANDIDATE = "DifferentCandidate"
    ROUTING_SKEW = "RoutingSkew"
    BROKEN_DATA = "BrokenData"
    CONCEPT_DRIFT = "ConceptDrift"
    DECAY = "Decay"
    SHARED_DRIFT = "SharedDrift"
    INCONCLUSIVE = "Inconclusive"


class Remedy(StrEnum):
    """What the matrix advises."""

    GO_ON = "GoOn"
    WAIT = "Wait"
    HOLD = "Hold"
    ROLL_BACK = "RollBack"
    NOTIFY = "Notify"
    RETRAIN = "Retrain"


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the matrix looks at; what is not known stays as it is here."""

    candidate: Candidate = Candidate.UNKNOWN
    inputs: Inputs = Inputs.UNKNOWN
    quality: Quality = Quality.UNKNOWN
    skewed: str = ""
    """Features that the candidate gets other values of than stable; empty if there are none."""
    broken: str = ""
    """Features that have lost their values; empty if none has."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What has happened, what is to be done, and why in a sentence."""

    cause: Cause
    remedy: Remedy
    message: str


@dataclass(frozen=True, slots=True)
class Attribution:
    """Both answers."""

    candidate: Reading
    world: Reading


def attribute(seen: Seen) -> Attribution:
    """Read the evidence: what is wrong with the candidate, and what has happened to the world.

    >>> both = attribute(Seen(Candidate.FAILING, Inputs.DRIFTED))
    >>> both.candidate.remedy.value, both.world.cause.value
    ('RollBack', 'SharedDrift')
    """
    return Attribution(_of_candidate(seen), _of_world(seen))


def _of_candidate(seen: Seen) -> Reading:
    if seen.candidate is Candidate.FAILING:
        message = "The candidate fails or is slower than is tolerated."
        return Reading(Cause.BAD_CANDIDATE, Remedy.ROLL_BACK, message)
    if seen.skewed:
        message = (
            f"The candidate does not get the same kind of requests as stable ({seen.skewed}): "
            "what they answer can't be compared."
        )
        return Reading(Cause.ROUTING_SKEW, Remedy.HOLD, message)
    if seen.candidate is Candidate.WORSE:
        message = "The candidate is worse than is tolerated."
        return Reading(Cause.BAD_CANDIDATE, Remedy.ROLL_BACK, message)
    if seen.broken:
        return Reading(Cause.BROKEN_DATA, Remedy.HOLD, _broken(seen))
    match seen.candidate:
        case Candidate.DIFFERS:
            message = "The candidate answers differently, and nothing says whether that is worse."
            return Reading(Cause.DIFFERENT_CANDIDATE, Remedy.HOLD, message)
        case Candidate.ALIKE:
            return Reading(Cause.HEALTHY, Remedy.GO_ON, "Every metric passed.")
        case Candidate.UNKNOWN:
            message = "There is too little evidence for a verdict yet."
            return Reading(Cause.INCONCLUSIVE, Remedy.WAIT, message)
        case _:
            assert_never(seen.candidate)


def _of_world(seen: Seen) -> Reading:
    if seen.broken:
        return Reading(Cause.BROKEN_DATA, Remedy.NOTIFY, _broken(seen))
    if seen.quality is Quality.FALLEN and seen.inputs is Inputs.STEADY:
        message = "Answers have become worse while the inputs stayed: the world works differently."
        return Reading(Cause.CONCEPT_DRIFT, Remedy.RETRAIN, message)
    if seen.quality is Quality.FALLEN:
        message = "Answers are worse than the policy allows, by their labels."
        return Reading(Cause.DECAY, Remedy.RETRAIN, message)
    if seen.inputs is Inputs.DRIFTED:
        harm = "labels say that answers are as good as the policy wants"
        unknown = "whether that harms, only labels can tell"
        message = (
            "The world has moved, for every revision alike; "
            f"{harm if seen.quality is Quality.GOOD else unknown}."
        )
        return Reading(Cause.SHARED_DRIFT, Remedy.NOTIFY, message)
    if seen.inputs is Inputs.UNKNOWN and seen.quality is Quality.UNKNOWN:
        message = "There are too few rows and labels to judge by."
        return Reading(Cause.INCONCLUSIVE, Remedy.WAIT, message)
    return Reading(Cause.HEALTHY, Remedy.GO_ON, "Nothing that is watched has moved.")


def _broken(seen: Seen) -> str:
    return f"The incoming data is broken: {seen.broken}."


def of_candidate(summary: Summary) -> Candidate:
    """How the candidate stands, by the metrics read together."""
    match summary.verdict:
        case Verdict.PASS:
            return Candidate.ALIKE
        case Verdict.INCONCLUSIVE:
            return Candidate.UNKNOWN
        case Verdict.FAIL if not summary.rollback:
            return Candidate.DIFFERS
        case Verdict.FAIL:
            return Candidate.FAILING if summary.regardless else Candidate.WORSE
        case _:
            assert_never(summary.verdict)


def of_world(signals: Iterable[Signal], results: Iterable[SignalStatus]) -> tuple[Inputs, Quality]:
    """How stable stands beside its reference, by the signals of a policy."""
    kinds = {s.name: s.type for s in signals}
    inputs, quality = set[str](), set[str]()
    for result in results:
        match kinds.get(result.name):
            case "Performance":
                quality.add(result.level)
            case "DataDrift" | "MultivariateDrift" | "PredictionDrift":
                inputs.add(result.level)
            case "DataQuality" | None:
                pass  # what is broken is no drift: see `broken_by`
    return (
        Inputs.DRIFTED
        if "Breach" in inputs
        else Inputs.STEADY
        if inputs & {"Ok", "Warn"}
        else Inputs.UNKNOWN,
        Quality.FALLEN
        if "Breach" in quality
        else Quality.GOOD
        if quality & {"Ok", "Warn"}
        else Quality.UNKNOWN,
    )


def broken_by(signals: Iterable[Signal], results: Iterable[SignalStatus]) -> str:
    """What a signal of DataQuality says is broken; empty if none does."""
    watching = {s.name for s in signals if s.type == "DataQuality"}
    told = (r.message for r in results if r.name in watching and r.level == "Breach")
    return next(told, "").rstrip(".")
