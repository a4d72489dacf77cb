"""The decisions of a Model's reconcile: what serves, who gets which share, what is kept.

Pure: the same observation at the same time gives the same plan. The rollout's own rules stand in
`tidegate.rollout.machine`; here they are applied to the objects of one Model.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tidegate.api.meta import duration, parse_timestamp, timestamp
from tidegate.api.names import TRAFFIC_PORT, ConditionType, Reason
from tidegate.api.v1alpha1.model import AnalysisStep as Analyse
from tidegate.api.v1alpha1.model import (
    DecisionStatus,
    MetricStatus,
    ModelStatus,
    PreviousStatus,
    RejectedStatus,
    RolloutStatus,
    Step,
    StepStatus,
)
from tidegate.controllers.model.state import Observed, Revision, never_served
from tidegate.evidence.windows import SLOT_SECONDS, slot_of
from tidegate.rollout import analysis
from tidegate.rollout.machine import (
    Decision,
    Progress,
    Situation,
    State,
    Transition,
    advance,
    step_in_words,
)
from tidegate.rollout.verdict import Summary, Verdict, summarize
from tidegate.traffic.routing import Candidate, Member, Routing

DEFAULT_STEPS = (
    Step(set_weight=10),
    Step(analysis=Analyse()),
    Step(set_weight=50),
    Step(analysis=Analyse()),
)
POLL = timedelta(seconds=5)
POLL_UNREADY = timedelta(seconds=15)  # nothing tells why pods don't start: one has to look
SETTLE_SECONDS = 5  # requests on their way to a revision end before its pods are told to stop
CONFIG_MAP_SECONDS = 120  # by then a mounted ConfigMap has reached also a pod that can't be pushed
FURTHEST_AHEAD_SECONDS = 3600  # clocks of two operators differ by less, and pushes are seldom
DECISIONS_KEPT, REJECTED_KEPT = 20, 20
WEIGHED = ("Advance", "Promote", "RollBack")  # the decisions that rest on evidence and show it
SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall be, and what was decided to get there."""

    stable: Revision | None
    candidate: Revision | None
    previous: PreviousStatus | None
    live: tuple[Revision, ...]
    """The revisions that have pods: stable, candidate, previous while warm, and the draining."""
    routing: Routing | None
    rollout: RolloutStatus | None
    rejected: tuple[RejectedStatus, ...]
    decisions: tuple[DecisionStatus, ...]
    """The new decisions, oldest first."""
    requeue_after: timedelta | None


def plan(seen: Observed, now: datetime) -> Plan:
    """Decide everything there is to decide at this look."""
    status = seen.model.status
    stable = _stable(seen)
    candidate = _candidate(seen, stable)
    rollout, transition = _rollout(seen, stable, candidate, now)
    promoted = transition is not None and transition.progress.state is State.PROMOTED
    rolled_back = transition is not None and transition.progress.state is State.ROLLED_BACK
    previous = _previous(seen, stable, now)
    decided = [*_stopped(seen, candidate), *_first(seen, stable, now)]
    if transition is not None and transition.decision is not None and candidate is not None:
        decided.append((candidate.name, transition.decision))
    decisions = _recorded(status, decided, rollout, now)
    rejected = status.rejected
    if promoted and candidate is not None and stable is not None:
        warm_until = now + duration(seen.model.spec.delivery.keep_previous_warm)
        previous = PreviousStatus(revision=stable.name, warm_until=timestamp(warm_until))
        stable, candidate = candidate, None
    elif rolled_back and candidate is not None:
        rejected = _with_rejected(
            rejected, candidate, decisions[-1], seen.model.metadata.generation, now
        )
        candidate = None
    live = _named(seen, stable, candidate, previous)
    routing = _routing(seen, stable, candidate, rollout.weight if rollout else 0, live, now)
    draining = tuple(_draining(seen, live, routing, now))
    return Plan(
        stable=stable,
        candidate=candidate,
        previous=previous,
        live=live + draining,
        routing=routing,
        rollout=rollout,
        rejected=rejected,
        decisions=decisions,
        requeue_after=_requeue_after(seen, stable, candidate, previous, draining, now),
    )


def steps_of(seen: Observed) -> tuple[Step, ...]:
    """The rollout's steps; none means that a ready candidate is promoted at once."""
    strategy = seen.model.spec.delivery.strategy
    if strategy is None:
        return DEFAULT_STEPS
    return strategy.canary.steps if strategy.canary is not None else ()


def confirmed(seen: Observed, revision: str) -> bool:
    """Whether every ready pod of a revision acts on the routing document as it stands."""
    routing = seen.routing
    pods = [p for p in seen.pods if p.revision == revision]
    return routing is not None and all(
        seen.confirmed.get(p.uid, -1) >= routing.generation for p in pods
    )


def _stable(seen: Observed) -> Revision | None:
    """The revision that serves; the signed routing document knows best, see `serving`."""
    wanted = seen.wanted.revision
    current = seen.revisions.get(seen.serving or "")
    if current is None:
        return wanted
    if wanted is not None and never_served(seen.model) and not seen.ready(current.name):
        return wanted  # nothing serves yet: there is nothing to compare with or to protect
    return current


def _candidate(seen: Observed, stable: Revision | None) -> Revision | None:
    wanted = seen.wanted.revision
    if wanted is None or stable is None or wanted.name == stable.name or seen.model.spec.suspend:
        return None
    if any(_bars(r, wanted, seen) for r in seen.model.status.rejected):
        return None
    return wanted


def _bars(rejected: RejectedStatus, wanted: Revision, seen: Observed) -> bool:
    """Whether a rejection still holds: pods that did not start may do so after an edit."""
    if rejected.revision != wanted.name:
        return False
    same_spec = rejected.generation == seen.model.metadata.generation
    return same_spec or rejected.reason != Reason.CANDIDATE_NOT_READY


def _rollout(
    seen: Observed, stable: Revision | None, candidate: Revision | None, now: datetime
) -> tuple[RolloutStatus | None, Transition | None]:
    """The rollout after this look."""
    old = seen.model.status.rollout
    if candidate is None or stable is None:
        return _ended(seen, old), None
    if old is None or old.revision != candidate.name or old.state not in _RUNNING:
        old = RolloutStatus(
            revision=candidate.name,
            state=State.STARTING,
            started_at=timestamp(now),
            step=StepStatus(started_at=timestamp(now)),
        )
    progress = _progress(old, steps_of(seen), now)
    weight = _confirmed_weight(seen, stable, candidate)
    cursor, results, through = _weigh(seen, old, stable, candidate, weight, now)
    summary = _summary(seen, results, progress, old.step.samples)
    spec = seen.model.spec.delivery
    situation = Situation(
        now=now,
        steps=steps_of(seen),
        ready=seen.ready(candidate.name) >= seen.model.spec.serving.scaling.min_replicas,
        alive=seen.ready(candidate.name) > 0,
        stable_gone=_stable_gone(seen, stable, now),
        confirmed_weight=weight,
        summary=summary,
        on_inconclusive=spec.analysis.on_inconclusive,
        progress_deadline=duration(spec.progress_deadline),
    )
    moved = _explained(advance(progress, situation), seen, candidate)
    return _written(old, moved, situation.steps, summary, cursor, results, through), moved


def _progress(old: RolloutStatus, steps: tuple[Step, ...], now: datetime) -> Progress:
    """Where the rollout stood; at the first step again if somebody has changed the steps."""
    since = parse_timestamp(old.step.started_at)
    if old.step.text not in ("", step_in_words(steps, old.step.index)):
        return Progress(State(old.state), 0, now, old.weight, old.losses)
    return Progress(State(old.state), old.step.index, since, old.weight, old.losses)


def _stable_gone(seen: Observed, stable: Revision, now: datetime) -> bool:
    """Whether the stable revision has been without a ready pod for the progress deadline."""
    available = seen.model.status.condition(ConditionType.AVAILABLE)
    if seen.ready(stable.name) or available is None or available.status != "False":
        return False
    since = parse_timestamp(available.last_transition_time)
    return now - since >= duration(seen.model.spec.delivery.progress_deadline)


_RUNNING = (State.STARTING.value, State.STEPPING.value)


def _ended(seen: Observed, old: RolloutStatus | None) -> RolloutStatus | None:
    """The last rollout, for the record; what still ran has been stopped."""
    if old is None or old.state not in _RUNNING:
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
) -> tuple[str, tuple[MetricStatus, ...], str]:
    """Fold the new evidence; the analysis begins with the first weight that is confirmed."""
    spec = seen.model.spec.delivery.analysis
    if not old.cursor:
        begins = bool(weight)
        through = timestamp(now) if begins else ""
        return analysis.start(spec, slot_of(now.timestamp())) if begins else "", (), through
    arms = analysis.Arms(stable.name, candidate.name)
    evidence = analysis.Evidence(
        seen.windows, seen.labels, seen.closed_through, seen.labels_closed_through
    )
    weighed = analysis.weigh(spec, old.cursor, arms, evidence)
    through_time = datetime.fromtimestamp((weighed.slot + 1) * SLOT_SECONDS, tz=UTC)
    return weighed.cursor, weighed.results, timestamp(through_time)


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
    steps = steps_of(seen)
    if progress.index >= len(steps) or steps[progress.index].analysis is None:
        return summary
    fresh = _samples(results) - min(samples_before, _samples(results))
    if summary.verdict is Verdict.PASS and fresh < spec.min_samples:
        return replace(
            summary,
            verdict=Verdict.INCONCLUSIVE,
            waiting_for=(f"{fresh} of {spec.min_samples} samples in this step",),
        )
    return summary


def _samples(results: tuple[MetricStatus, ...]) -> int:
    """How many samples of the candidate have been compared, by the metric that has most."""
    return max((r.samples for r in results), default=0)


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
    steps: tuple[Step, ...],
    summary: Summary,
    cursor: str,
    results: tuple[MetricStatus, ...],
    through: str,
) -> RolloutStatus:
    progress = moved.progress
    same_step = timestamp(progress.since) == old.step.started_at
    return RolloutStatus(
        revision=old.revision,
        state=progress.state,
        started_at=old.started_at,
        step=StepStatus(
            index=progress.index,
            started_at=timestamp(progress.since),
            text=step_in_words(steps, progress.index),
            samples=old.step.samples if same_step else _samples(results),
        ),
        weight=progress.weight,
        losses=progress.losses,
        verdict=summary.verdict,
        reason=moved.reason,
        message=moved.message,
        evidence_through=through,
        metrics=results,
        cursor=cursor if progress.state in _RUNNING else "",
    )


def _confirmed_weight(seen: Observed, stable: Revision, candidate: Revision) -> int | None:
    routing = seen.routing
    if routing is None or routing.stable != stable.name or not seen.ready(stable.name):
        return None
    if not confirmed(seen, stable.name):
        return None
    split = routing.candidate
    return split.weight if split is not None and split.revision == candidate.name else 0


def _stopped(seen: Observed, candidate: Revision | None) -> Iterator[tuple[str, Decision]]:
    old = seen.model.status.rollout
    if old is None or old.state not in _RUNNING:
        return
    if candidate is not None and candidate.name == old.revision:
        return
    if old.revision == seen.serving:
        message = "All steps were done: the candidate has become the stable revision."
        done = Decision("Promote", Reason.STEPS_COMPLETED, message, old.weight, 100)
        yield old.revision, done
        return
    if seen.model.spec.suspend:
        reason, message = Reason.SUSPENDED, "spec.suspend is true: the rollout was stopped."
    else:
        wish = candidate.name if candidate else "the stable revision"
        reason, message = Reason.SUPERSEDED, f"The spec now asks for {wish}."
    yield old.revision, Decision("Supersede", reason, message, old.weight, 0)


def _first(
    seen: Observed, stable: Revision | None, now: datetime
) -> Iterator[tuple[str, Decision]]:
    if stable is not None and never_served(seen.model) and seen.ready(stable.name):
        message = "The first revision has nothing to be compared with: it serves all requests."
        yield stable.name, Decision("Promote", Reason.FIRST_REVISION, message, 0, 100)


def _recorded(
    status: ModelStatus,
    decided: list[tuple[str, Decision]],
    rollout: RolloutStatus | None,
    now: datetime,
) -> tuple[DecisionStatus, ...]:
    """Decisions with their numbers; the numbers go on where the kept ones end."""
    last = int(status.decisions[-1].id.removeprefix("d-")) if status.decisions else 0
    return tuple(
        DecisionStatus(
            id=f"d-{last + i:04d}",
            at=timestamp(now),
            action=d.action,
            revision=revision,
            reason=d.reason,
            message=d.message,
            from_weight=d.from_weight,
            to_weight=d.to_weight,
            metrics=rollout.metrics if rollout and d.action in WEIGHED else (),
        )
        for i, (revision, d) in enumerate(decided, start=1)
    )


def _with_rejected(
    rejected: tuple[RejectedStatus, ...],
    candidate: Revision,
    decision: DecisionStatus,
    generation: int,
    now: datetime,
) -> tuple[RejectedStatus, ...]:
    entry = RejectedStatus(
        revision=candidate.name,
        reason=decision.reason,
        decision=decision.id,
        at=timestamp(now),
        generation=generation,
    )
    return (*(r for r in rejected if r.revision != candidate.name), entry)[-REJECTED_KEPT:]


def _previous(seen: Observed, stable: Revision | None, now: datetime) -> PreviousStatus | None:
    """The replaced revision while it is warm; also one whose replacement was not yet noted."""
    status = seen.model.status
    if stable is None:
        return None
    noted = status.stable.revision if status.stable and status.stable.since else stable.name
    if noted != stable.name and noted in seen.deployed:
        warm_until = now + duration(seen.model.spec.delivery.keep_previous_warm)
        return PreviousStatus(revision=noted, warm_until=timestamp(warm_until))
    kept = status.previous
    if kept is None or kept.revision == stable.name or now >= parse_timestamp(kept.warm_until):
        return None
    return kept


def _named(
    seen: Observed,
    stable: Revision | None,
    candidate: Revision | None,
    previous: PreviousStatus | None,
) -> tuple[Revision, ...]:
    warm = seen.revisions.get(previous.revision) if previous else None
    named = [r for r in (stable, candidate, warm) if r is not None]
    return tuple({r.name: r for r in named}.values())


def _routing(
    seen: Observed,
    stable: Revision | None,
    candidate: Revision | None,
    weight: int,
    live: tuple[Revision, ...],
    now: datetime,
) -> Routing | None:
    """The routing document; its generation rises exactly when something in it changes."""
    if stable is None:
        return None
    namespace = seen.model.metadata.namespace
    names = {r.name for r in live}
    feedback = seen.model.spec.monitoring.feedback
    split = None
    if candidate is not None and weight > 0 and seen.ready(candidate.name):
        split = Candidate(candidate.name, address(candidate.name, namespace), weight)
    wanted = Routing(
        model=seen.model.metadata.name,
        generation=seen.routing.generation if seen.routing else 0,
        stable=stable.name,
        stable_address=address(stable.name, namespace),
        candidate=split,
        members=tuple(
            Member(p.uid, p.at(TRAFFIC_PORT), p.revision)
            for p in sorted(seen.pods, key=lambda p: p.uid)
            if p.revision in names
        ),
        prediction_edges=_edges(seen, stable),
        feedback_horizon_seconds=int(duration(feedback.horizon).total_seconds()),
        feedback_enabled=feedback.enabled,
    )
    # A document is pushed before it is stored: pods may act on one that never was. What is far in
    # the future no operator has sent, and a pod that says so must not drag the others along.
    latest = int(now.timestamp()) + FURTHEST_AHEAD_SECONDS
    ahead = max((g for g in seen.confirmed.values() if g <= latest), default=0)
    if wanted == seen.routing and ahead <= wanted.generation:
        return wanted
    # Seconds since 1970 keep the generation rising even when ConfigMap and status are both lost.
    return replace(wanted, generation=max(wanted.generation + 1, ahead + 1, int(now.timestamp())))


def _edges(seen: Observed, stable: Revision) -> tuple[float, ...]:
    """The bins of numeric predictions; the known ones while stable's profile is not read yet."""
    profile = seen.profiles.get(stable.name)
    if profile is not None:
        return profile.predictions.bin_edges or ()
    known = seen.routing is not None and seen.routing.stable == stable.name
    return seen.routing.prediction_edges if seen.routing is not None and known else ()


def address(revision: str, namespace: str) -> str:
    """Where a revision's Service listens."""
    return f"{revision}.{namespace}.svc:80"


def _draining(
    seen: Observed, live: tuple[Revision, ...], routing: Routing | None, now: datetime
) -> Iterator[Revision]:
    """Revisions that are no longer wanted, but that a request may still be on its way to."""
    names = {r.name for r in live}
    for name in sorted(seen.deployed):
        if name in names or name not in seen.revisions:
            continue
        if not _released(seen, names, routing, now):
            yield seen.revisions[name]


def _released(seen: Observed, live: set[str], routing: Routing | None, now: datetime) -> bool:
    """Whether every pod that splits has stopped routing to the revisions that are not live."""
    if routing is None or routing != seen.routing:
        return routing is None
    age = now.timestamp() - routing.generation
    if age >= CONFIG_MAP_SECONDS:
        return True
    return age >= SETTLE_SECONDS and all(confirmed(seen, name) for name in live)


def _requeue_after(
    seen: Observed,
    stable: Revision | None,
    candidate: Revision | None,
    previous: PreviousStatus | None,
    draining: tuple[Revision, ...],
    now: datetime,
) -> timedelta | None:
    if candidate is not None or draining:
        return POLL
    if stable is not None and not seen.ready(stable.name):
        return POLL_UNREADY
    if previous is not None:
        left = parse_timestamp(previous.warm_until) - now
        return max(left, timedelta(seconds=1))
    return None
