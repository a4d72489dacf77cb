"""One look at a rollout: its evidence is folded, and it moves on, waits, or ends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tidegate.api.meta import duration, in_words, parse_timestamp, timestamp
from tidegate.api.names import ConditionType, Reason
from tidegate.api.v1alpha1.model import Step
from tidegate.api.v1alpha1.model_status import MetricStatus, RolloutStatus, StepStatus
from tidegate.controllers.model.routing import confirmed
from tidegate.controllers.model.state import Observed, Revision
from tidegate.evidence.windows import SLOT_SECONDS, slot_of
from tidegate.rollout import analysis
from tidegate.rollout.lost import lost_values
from tidegate.rollout.machine import (
    HELD,
    Decision,
    Progress,
    Situation,
    State,
    Transition,
    advance,
    step_in_words,
    steps_of,
)
from tidegate.rollout.skew import layout_of
from tidegate.rollout.verdict import PAIRED, Summary, Verdict, summarize
from tidegate.traffic.signing import CLOCK_SKEW_SECONDS

NEWEST_SLOTS = 30  # five minutes: data that was broken before has been mended
RUNNING = (State.STARTING.value, State.STEPPING.value)
SUSPENDED = "Suspended"


def look(
    seen: Observed, stable: Revision | None, candidate: Revision | None, now: datetime
) -> tuple[RolloutStatus | None, Transition | None]:
    """The rollout after this look."""
    old = seen.model.status.rollout
    if candidate is None or stable is None:
        return _ended(seen, old), None
    if old is None or old.revision != candidate.name or old.state not in RUNNING:
        old = RolloutStatus(
            revision=candidate.name,
            state=State.STARTING,
            started_at=timestamp(now),
            step=StepStatus(started_at=timestamp(now)),
        )
    progress = _progress(old, steps_of(seen.model.spec.delivery), now)
    weight = _confirmed_weight(seen, stable, candidate)
    cursor, weighed = _weigh(seen, old, stable, candidate, weight, now)
    summary = _summary(seen, weighed.results if weighed else (), progress, old.step.samples)
    spec = seen.model.spec.delivery
    situation = Situation(
        now=now,
        steps=steps_of(seen.model.spec.delivery),
        ready=seen.ready(candidate.name) >= seen.model.spec.serving.scaling.min_replicas,
        alive=seen.ready(candidate.name) > 0,
        stable_gone=_stable_gone(seen, stable, now),
        confirmed_weight=weight,
        summary=summary,
        on_inconclusive=spec.analysis.on_inconclusive,
        progress_deadline=duration(spec.progress_deadline),
        skewed=weighed.skewed if weighed else "",
        broken=_broken(seen, candidate) if weighed else "",
    )
    is_back = bool(cursor) and bool(old.cursor) and weighed is None
    if is_back:  # samples of before are none of the analysis that begins now
        old = old.model_copy(update={"step": old.step.model_copy(update={"samples": 0})})
    if seen.clock_step or is_back:
        moved = _waits_for_the_clock(progress, seen.clock_step, is_back=is_back)
    else:
        moved = _held(_explained(advance(progress, situation), seen, candidate), old)
    written = _written(old, moved, situation, weighed)
    through = _end_of(weighed.slot) if weighed else timestamp(now) if cursor else ""
    kept = cursor if moved.progress.state in RUNNING else ""
    return written.model_copy(update={"evidence_through": through, "cursor": kept}), moved


def _progress(old: RolloutStatus, steps: tuple[Step, ...], now: datetime) -> Progress:
    """Where the rollout stood; at the first step again if somebody has changed the steps."""
    since = parse_timestamp(old.step.started_at)
    if old.step.text and not _is_same(old.step.text, step_in_words(steps, old.step.index)):
        return Progress(State(old.state), 0, now, old.weight, old.losses)
    return Progress(State(old.state), old.step.index, since, old.weight, old.losses)


def _is_same(before: str, after: str) -> bool:
    """Whether a step is still the same; a pause may have been made longer or shorter."""
    return before.partition(" pause ")[:2] == after.partition(" pause ")[:2]


def _stable_gone(seen: Observed, stable: Revision, now: datetime) -> bool:
    """Whether the stable revision has been without a ready pod for the progress deadline."""
    available = seen.model.status.condition(ConditionType.AVAILABLE)
    if seen.ready(stable.name) or available is None or available.status != "False":
        return False
    since = parse_timestamp(available.last_transition_time)
    return now - since >= duration(seen.model.spec.delivery.progress_deadline)


def _ended(seen: Observed, old: RolloutStatus | None) -> RolloutStatus | None:
    """The last rollout, for the record; what still ran has been stopped."""
    if old is None or old.state not in RUNNING:
        return old
    if old.revision == seen.serving:
        # The last operator promoted it and died before it could say so.
        return old.model_copy(update={"state": State.PROMOTED, "weight": 100, "cursor": ""})
    if not seen.model.spec.suspend:
        return None  # the wish has gone back to the stable revision, or away
    return RolloutStatus(
        revision=old.revision,
        state=SUSPENDED,
        started_at=old.started_at,
        reason=Reason.SUSPENDED,
        message="Suspended: the rollout begins anew when spec.suspend is false.",
    )


def _weigh(
    seen: Observed,
    old: RolloutStatus,
    stable: Revision,
    candidate: Revision,
    weight: int | None,
    now: datetime,
) -> tuple[str, analysis.Weighed | None]:
    """Fold the new evidence; the analysis begins with the first share that is confirmed."""
    spec = seen.model.spec.delivery.analysis
    if not old.cursor:
        begins = weight or (weight is not None and _is_shadowed(seen))
        return analysis.start(spec, slot_of(now.timestamp())) if begins else "", None
    arms = analysis.Arms(stable.name, candidate.name)
    evidence = analysis.Evidence(
        seen.windows,
        seen.labels,
        seen.closed_through,
        seen.labels_closed_through,
        layout_of(seen.profiles.get(candidate.name), seen.profiles.get(stable.name)),
        seen.values,
        seen.values_closed_through,
    )
    weighed = analysis.weigh(spec, old.cursor, arms, evidence)
    if weighed.slot > slot_of(now.timestamp() + CLOCK_SKEW_SECONDS):
        # The clock was ahead: nothing would be folded until the time that it had shown.
        return analysis.start(spec, slot_of(now.timestamp())), None
    return weighed.cursor, weighed


def _is_shadowed(seen: Observed) -> bool:
    """Whether copies of requests go to the candidate."""
    split = seen.routing.candidate if seen.routing is not None else None
    return split is not None and split.shadow > 0


def _broken(seen: Observed, candidate: Revision) -> str:
    """Which features have lost their values lately, beside what the candidate was trained on."""
    profile = seen.profiles.get(candidate.name)
    if profile is None or seen.closed_through is None:
        return ""
    after = seen.closed_through - NEWEST_SLOTS
    newest = (
        c
        for k, c in seen.windows.items()
        if k.revision == candidate.name and k.compares and k.slot > after
    )
    return lost_values(profile, newest, seen.model.spec.delivery.analysis.min_samples)


def _waits_for_the_clock(progress: Progress, step: timedelta, *, is_back: bool) -> Transition:
    """Nothing is decided at a look at which the clock shows that it was set, but this is said."""
    parts = ["The operator's clock was set"]
    if step:
        side = "ahead" if step > timedelta() else "back"
        parts.append(f" {side} by {in_words(abs(step))}; the step goes on from where it was")
    if is_back:
        parts.append("; what was counted by it can't be put in order: the analysis begins anew")
    message, weight = "".join((*parts, ".")), progress.weight
    decision = Decision("Hold", Reason.CLOCK_SET, message, weight, weight)
    return Transition(progress, decision, Reason.CLOCK_SET, message)


def _held(moved: Transition, old: RolloutStatus) -> Transition:
    """The beginning of a hold is a decision: somebody has to look."""
    held = (*HELD.values(), Reason.ANALYSIS_TIMED_OUT)
    if moved.decision is not None or moved.reason not in held or moved.reason == old.reason:
        return moved
    weight = moved.progress.weight
    return replace(moved, decision=Decision("Hold", moved.reason, moved.message, weight, weight))


def _end_of(slot: int) -> str:
    return timestamp(datetime.fromtimestamp((slot + 1) * SLOT_SECONDS, tz=UTC))


def _summary(
    seen: Observed, results: tuple[MetricStatus, ...], progress: Progress, samples_before: int
) -> Summary:
    """The verdict; a Pass counts for a step only once the step has brought samples of its own."""
    spec = seen.model.spec.delivery.analysis
    metrics = analysis.metrics_of(spec)
    if not metrics:
        return Summary(Verdict.PASS)
    if not results:
        return Summary(waiting_for=tuple(m.name for m in metrics))
    summary = summarize(metrics, results)
    step = _step(steps_of(seen.model.spec.delivery), progress.index)
    if step.shadow is not None and summary.verdict is not Verdict.FAIL:
        # The others have nothing to compare while there are only copies.
        summary = summarize([m for m in metrics if m.source == PAIRED], results)
    elif step.analysis is None or all(m.source == PAIRED for m in metrics):
        return summary  # where only copies are judged, no step brings requests to compare
    least = spec.min_samples if step.shadow is None else step.shadow.min_samples
    samples = _samples(results, step)
    fresh = samples - min(samples_before, samples)
    if summary.verdict is Verdict.PASS and fresh < least:
        return replace(
            summary,
            verdict=Verdict.INCONCLUSIVE,
            waiting_for=(f"{fresh} of {least} samples in this step",),
        )
    return summary


def _step(steps: tuple[Step, ...], index: int) -> Step:
    """The step that runs; an empty one behind the last."""
    return steps[index] if index < len(steps) else Step()


def _samples(results: tuple[MetricStatus, ...], step: Step) -> int:
    """How many samples have been compared of the kind that a step is about.

    Of a shadow step these are pairs; of others requests, by the metric that has most of them.
    """
    pairs = step.shadow is not None
    return max((r.samples for r in results if (r.source == PAIRED) == pairs), default=0)


def _explained(moved: Transition, seen: Observed, candidate: Revision) -> Transition:
    """A wait for pods, or its end, with the reason why they don't start."""
    why = seen.failures.get(candidate.name)
    if why is None or moved.reason not in (Reason.AWAITING_PODS, Reason.CANDIDATE_NOT_READY):
        return moved
    message = f"{moved.message} {why}"
    decision = moved.decision and replace(moved.decision, message=message)
    return replace(moved, message=message, decision=decision)


def _written(
    old: RolloutStatus,
    moved: Transition,
    situation: Situation,
    weighed: analysis.Weighed | None,
) -> RolloutStatus:
    progress, results = moved.progress, weighed.results if weighed else ()
    same_step = timestamp(progress.since) == old.step.started_at
    return RolloutStatus(
        revision=old.revision,
        state=progress.state,
        started_at=old.started_at,
        step=StepStatus(
            index=progress.index,
            started_at=timestamp(progress.since),
            text=step_in_words(situation.steps, progress.index),
            samples=old.step.samples
            if same_step
            else _samples(results, _step(situation.steps, progress.index)),
        ),
        weight=progress.weight,
        losses=progress.losses,
        verdict=situation.summary.verdict,
        cause=situation.reading.cause,
        reason=moved.reason,
        message=moved.message,
        evidence=weighed.evidence if weighed else None,
        metrics=results,
    )


def _confirmed_weight(seen: Observed, stable: Revision, candidate: Revision) -> int | None:
    routing = seen.routing
    if routing is None or routing.stable != stable.name or not seen.ready(stable.name):
        return None
    if not confirmed(seen, stable.name):
        return None
    split = routing.candidate
    return split.weight if split is not None and split.revision == candidate.name else 0
