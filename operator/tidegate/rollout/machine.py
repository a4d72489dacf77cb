"""The state machine of a rollout.

Everything that decides where a rollout goes next stands in this file. The rules, in their order:

1. Promoted and RolledBack are ends: a revision leaves them only by another revision.
2. A bad candidate (`attribution`) is rolled back in every state, also while pausing or waiting.
3. The candidate gets weight only while its pods are ready; without them it goes back to Starting
   at weight 0. It is rejected after the progress deadline, or when it has lost them too often.
4. A ready candidate is promoted where the stable revision has had no pod for the progress
   deadline: nothing is left to compare with, or to protect.
5. A step that waits holds the weight. Only proof (Pass), time (pause) or a confirmed weight
   moves on; what the matrix of `attribution` holds for stops every step.
6. After the last step the candidate is promoted, once all of its pods are ready.

::

    Starting ──► Stepping(0) ──► … ──► Stepping(n) ──► Promoted
        ▲            │                      │
        └────────────┴── pods lost ─────────┤
                     breach, deadline ──────┴──► RolledBack
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, assert_never

from tidegate.api.meta import duration, in_words
from tidegate.api.names import Reason
from tidegate.api.v1alpha1.model import AnalysisStep, Delivery, Step
from tidegate.rollout.attribution import Cause, Reading, Remedy, Seen, attribute, of_candidate
from tidegate.rollout.verdict import Summary, Verdict
from tidegate.rollout.words import told

DEFAULT_STEPS = (
    Step(set_weight=10),
    Step(analysis=AnalysisStep()),
    Step(set_weight=50),
    Step(analysis=AnalysisStep()),
)
MOST_LOSSES = 3  # a restart or two may be a node's fault

HELD: Mapping[Cause, Reason] = {
    Cause.DIFFERENT_CANDIDATE: Reason.METRIC_BREACHED,
    Cause.ROUTING_SKEW: Reason.ROUTING_SKEW,
    Cause.BROKEN_DATA: Reason.BROKEN_DATA,
}

Action = Literal["Start", "SetWeight", "Advance", "Hold", "Promote", "RollBack", "Supersede"]


class State(StrEnum):
    """Where a rollout is."""

    STARTING = "Starting"
    STEPPING = "Stepping"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rollout has come; all that is remembered of it between two looks."""

    state: State
    index: int
    """The step that runs; the number of steps when all are done."""
    since: datetime
    """When the step, or the wait for the pods, began."""
    weight: int
    """Percent of the requests that the candidate shall get."""
    losses: int = 0
    """How often it has lost all its pods since the newest pause or analysis was passed."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is seen at one look."""

    now: datetime
    steps: tuple[Step, ...]
    ready: bool
    """Every wanted pod of the candidate is ready."""
    alive: bool
    """At least one pod of the candidate is ready."""
    stable_gone: bool
    """The stable revision has had no ready pod for the progress deadline."""
    confirmed_weight: int | None
    """The candidate's weight that every ready stable pod acts on; None while they differ."""
    summary: Summary
    on_inconclusive: Literal["Hold", "Rollback", "Advance"]
    progress_deadline: timedelta
    skewed: str = ""
    """Features of which both arms get different values, in words."""
    broken: str = ""
    """Features of the candidate's input that have lost their values, in words."""

    @property
    def reading(self) -> Reading:
        """What has happened to the candidate."""
        seen = Seen(of_candidate(self.summary), skewed=self.skewed, broken=self.broken)
        return attribute(seen).candidate


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was decided, and why."""

    action: Action
    reason: Reason
    message: str
    from_weight: int
    to_weight: int


@dataclass(frozen=True, slots=True)
class Transition:
    """The rollout's next state; what was decided; what it waits for, in words."""

    progress: Progress
    decision: Decision | None
    reason: Reason
    message: str


def steps_of(delivery: Delivery) -> tuple[Step, ...]:
    """The rollout's steps; none means that a ready candidate is promoted at once."""
    strategy = delivery.strategy
    if strategy is None:
        return DEFAULT_STEPS
    return strategy.canary.steps if strategy.canary is not None else ()


def advance(progress: Progress, seen: Situation) -> Transition:
    """One look, at most one move; looking twice without news moves nothing."""
    match progress.state:
        case State.PROMOTED:
            return _stay(progress, Reason.PROMOTED, "The candidate serves all requests.")
        case State.ROLLED_BACK:
            return _stay(progress, Reason.ROLLED_BACK, "The candidate was rolled back.")
        case State.STARTING | State.STEPPING:
            pass
        case _:
            assert_never(progress.state)
    if seen.reading.remedy is Remedy.ROLL_BACK:
        return _roll_back(progress, seen, Reason.METRIC_BREACHED, _told(seen))
    if not (seen.ready if progress.state is State.STARTING else seen.alive):
        return _wait_for_pods(progress, seen)
    if seen.stable_gone and seen.ready:
        message = "The stable revision has had no ready pod for the progress deadline."
        return _promote(progress, seen, Reason.STABLE_GONE, message)
    if progress.state is State.STARTING:
        started = replace(progress, state=State.STEPPING, since=seen.now)
        message = "The candidate's pods are ready."
        return _move(progress, started, "Start", Reason.CANDIDATE_READY, message)
    return _step(progress, seen)


def _step(progress: Progress, seen: Situation) -> Transition:
    if seen.reading.remedy is Remedy.HOLD:
        return _stay(progress, HELD[seen.reading.cause], f"Held: {_told(seen)}")
    if progress.index >= len(seen.steps):
        if not seen.ready:
            message = "All steps are done; waiting until all of the candidate's pods are ready."
            return _stay(progress, Reason.AWAITING_PODS, message)
        message = "All steps are done: the candidate becomes the stable revision."
        return _promote(progress, seen, Reason.STEPS_COMPLETED, message)
    step = seen.steps[progress.index]
    if step.set_weight is not None:
        return _set_weight(progress, seen, step.set_weight)
    waited = seen.now - progress.since
    if step.pause is not None:
        if waited >= duration(step.pause.duration):
            return _next(progress, seen, Reason.PAUSE_ENDED, f"Paused {step.pause.duration}.")
        return _stay(progress, Reason.PAUSED, f"Pausing for {step.pause.duration}.")
    # A shadow step is an analysis of the copies, without a timeout.
    timeout = step.analysis.timeout if step.analysis is not None else None
    return _analyse(progress, seen, timeout, waited)


def _told(seen: Situation) -> str:
    """Why the candidate is held or rolled back: the numbers, where a metric says it."""
    of_a_metric = seen.reading.cause in (Cause.BAD_CANDIDATE, Cause.DIFFERENT_CANDIDATE)
    breach = seen.summary.breached if of_a_metric else None
    return seen.reading.message if breach is None else f"{breach.name}: {told(breach)}"


def _set_weight(progress: Progress, seen: Situation, weight: int) -> Transition:
    if progress.weight != weight:
        if not seen.ready:
            message = f"Waiting until all of the candidate's pods are ready for {weight} %."
            return _stay(progress, Reason.AWAITING_PODS, message)
        moved = replace(progress, weight=weight)
        message = f"The candidate gets {weight} % of the requests."
        return _move(progress, moved, "SetWeight", Reason.WEIGHT_SET, message)
    if seen.confirmed_weight == weight:
        following = replace(progress, index=progress.index + 1, since=seen.now)
        return Transition(following, None, Reason.WEIGHT_SET, f"The pods act on {weight} %.")
    message = f"Waiting until every stable pod acts on {weight} %."
    return _stay(progress, Reason.AWAITING_CONFIRMATION, message)


def _analyse(
    progress: Progress, seen: Situation, timeout: str | None, waited: timedelta
) -> Transition:
    if seen.summary.verdict is Verdict.PASS:
        return _next(progress, seen, Reason.ANALYSIS_PASSED, "Every metric passed.")
    waiting = ", ".join(seen.summary.waiting_for)
    if timeout is None or waited < duration(timeout):
        return _stay(progress, Reason.AWAITING_SAMPLES, f"Too little evidence yet: {waiting}.")
    message = f"No verdict after {timeout}: {waiting}."
    match seen.on_inconclusive:
        case "Hold":
            return _stay(progress, Reason.ANALYSIS_TIMED_OUT, f"Held. {message}")
        case "Advance":
            return _next(progress, seen, Reason.ANALYSIS_TIMED_OUT, message)
        case "Rollback":
            return _roll_back(progress, seen, Reason.ANALYSIS_TIMED_OUT, message)
        case _:
            assert_never(seen.on_inconclusive)


def _wait_for_pods(progress: Progress, seen: Situation) -> Transition:
    lost = progress.state is State.STEPPING
    since = seen.now if lost else progress.since
    if seen.now - since >= seen.progress_deadline:
        message = f"The candidate's pods were not ready within {in_words(seen.progress_deadline)}."
        return _roll_back(progress, seen, Reason.CANDIDATE_NOT_READY, message)
    losses = progress.losses + lost
    if losses >= MOST_LOSSES:
        message = f"The candidate has lost all its pods {losses} times."
        return _roll_back(progress, seen, Reason.CANDIDATE_NOT_READY, message)
    # The step begins anew once the pods are back, so that its weight is confirmed again.
    index = _weight_step(progress, seen.steps)
    waiting = Progress(State.STARTING, index, since, 0, losses)
    message = "Waiting until the candidate's pods are ready."
    if lost:
        message = "The candidate has no ready pod any more: back to weight 0."
        return _move(progress, waiting, "Hold", Reason.CANDIDATE_NOT_READY, message)
    return Transition(waiting, None, Reason.AWAITING_PODS, message)


def _weight_step(progress: Progress, steps: tuple[Step, ...]) -> int:
    """The index of the newest step that set the present weight."""
    before = range(min(progress.index, len(steps) - 1), -1, -1)
    return next((i for i in before if steps[i].set_weight is not None), 0)


def _next(progress: Progress, seen: Situation, reason: Reason, message: str) -> Transition:
    following = Progress(State.STEPPING, progress.index + 1, seen.now, progress.weight)
    return _move(progress, following, "Advance", reason, message)


def _promote(progress: Progress, seen: Situation, reason: Reason, message: str) -> Transition:
    promoted = Progress(State.PROMOTED, progress.index, seen.now, 100)
    return _move(progress, promoted, "Promote", reason, message)


def _roll_back(progress: Progress, seen: Situation, reason: Reason, message: str) -> Transition:
    rolled_back = Progress(State.ROLLED_BACK, progress.index, seen.now, 0)
    return _move(progress, rolled_back, "RollBack", reason, message)


def _move(
    old: Progress,
    new: Progress,
    action: Action,
    reason: Reason,
    message: str,
) -> Transition:
    decision = Decision(action, reason, message, old.weight, new.weight)
    return Transition(new, decision, reason, message)


def _stay(progress: Progress, reason: Reason, message: str) -> Transition:
    return Transition(progress, None, reason, message)


def step_in_words(steps: tuple[Step, ...], index: int) -> str:
    """The step for the printed table, such as `3/6 analysis`."""
    if index >= len(steps):
        return f"{len(steps)}/{len(steps)} done"
    step = steps[index]
    if step.set_weight is not None:
        what = f"weight {step.set_weight}"
    elif step.shadow is not None:
        what = f"shadow {step.shadow.percent}"
    elif step.pause is not None:
        what = f"pause {step.pause.duration}"
    else:
        what = "analysis"
    return f"{index + 1}/{len(steps)} {what}"
