"""The status of a Model: what was seen and decided, for people and for the next look."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from tidegate.api.meta import Condition, merge_conditions, parse_timestamp, timestamp
from tidegate.api.names import ConditionType, Reason
from tidegate.api.v1alpha1.model_status import ModelStatus, RevisionStatus, RolloutStatus
from tidegate.controllers.model.clocks import skewed
from tidegate.controllers.model.decisions import remembered
from tidegate.controllers.model.plan import Plan
from tidegate.controllers.model.routing import confirmed
from tidegate.controllers.model.state import Observed, Revision
from tidegate.errors import TerminalError
from tidegate.evidence.windows import SLOT_SECONDS
from tidegate.rollout.analysis import metrics_of
from tidegate.rollout.machine import steps_of

State = Literal["True", "False", "Unknown"]

# Between decisions the evidence is written down this often: each write wakes every watcher, so a
# young rollout, which somebody looks at, tells each slot, and one of days tells each minute.
MOST_OFTEN, LEAST_OFTEN = timedelta(seconds=SLOT_SECONDS), timedelta(minutes=1)
OFTEN_AS_AGE = 20


def status(
    seen: Observed, plan: Plan, now: datetime, refused: TerminalError | None = None
) -> ModelStatus:
    """The whole status; equal to the old one where nothing is new.

    `refused`: why the objects that the plan asks for can't be made.
    """
    old = seen.model.status
    conditions = merge_conditions(old.conditions, tuple(_conditions(seen, plan, refused)), now)
    new = ModelStatus(
        observed_generation=seen.model.metadata.generation,
        stable=_stable(seen, plan, now),
        candidate=_candidate(seen, plan, now),
        previous=plan.previous,
        rejected=plan.rejected,
        rollout=plan.rollout,
        drift=seen.drift,
        decisions=remembered((*old.decisions, *plan.decisions)),
        conditions=conditions,
    )
    return _throttled(old, new)


def _throttled(old: ModelStatus, new: ModelStatus) -> ModelStatus:
    """The old status where only the evidence grew, and not yet for long."""
    before, after = old.rollout, new.rollout
    if before is None or after is None or not before.evidence_through:
        return new
    if not after.evidence_through or _without_evidence(new) != _without_evidence(old):
        return new
    grown = parse_timestamp(after.evidence_through) - parse_timestamp(before.evidence_through)
    age = parse_timestamp(after.evidence_through) - parse_timestamp(after.started_at)
    return new if grown >= min(max(age / OFTEN_AS_AGE, MOST_OFTEN), LEAST_OFTEN) else old


def _without_evidence(status: ModelStatus) -> ModelStatus:
    """Without what grows from look to look, and without the words for it."""
    rollout = status.rollout and status.rollout.model_copy(
        update={
            "metrics": (),
            "cursor": "",
            "evidence": None,
            "evidence_through": "",
            "message": "",
        }
    )
    conditions = tuple(c.model_copy(update={"message": ""}) for c in status.conditions)
    return status.model_copy(update={"rollout": rollout, "conditions": conditions})


def _stable(seen: Observed, plan: Plan, now: datetime) -> RevisionStatus | None:
    if plan.stable is None:
        return None
    old = _of(plan.stable, seen.model.status.stable)
    ready = seen.ready(plan.stable.name)
    since = (old.since if old is not None else "") or (_at(now) if ready else "")
    return _revision(seen, plan.stable, since, old.weight if old is not None else 100, 100)


def _candidate(seen: Observed, plan: Plan, now: datetime) -> RevisionStatus | None:
    if plan.candidate is None:
        return None
    old = _of(plan.candidate, seen.model.status.candidate)
    since = old.since if old is not None else _at(now)
    return _revision(seen, plan.candidate, since, old.weight if old is not None else 0, 0)


def _of(revision: Revision, old: RevisionStatus | None) -> RevisionStatus | None:
    """What was said before, if it was about this revision."""
    return old if old is not None and old.revision == revision.name else None


def _revision(
    seen: Observed, revision: Revision, since: str, shown: int, unsplit: int
) -> RevisionStatus:
    return RevisionStatus(
        revision=revision.name,
        digest=revision.digest,
        weight=_share(seen, revision, shown, unsplit),
        ready_replicas=seen.ready(revision.name),
        training_job=revision.training_job,
        since=since,
    )


def _share(seen: Observed, revision: Revision, shown: int, unsplit: int) -> int:
    """What the pods act on, by their own word: what was `shown` before while some have not said it.

    `unsplit`: what it is while they send nothing to a candidate.
    """
    routing = seen.routing
    if routing is None or routing.candidate is None:
        return unsplit
    if not confirmed(seen, routing.stable):
        return shown
    if routing.candidate.revision == revision.name:
        return routing.candidate.weight
    return 100 - routing.candidate.weight if routing.stable == revision.name else 0


def _at(now: datetime) -> str:
    return timestamp(now)


def _conditions(seen: Observed, plan: Plan, refused: TerminalError | None) -> Iterator[Condition]:
    parts = [
        _condition(seen, ConditionType.ACCEPTED, *_accepted(seen, refused)),
        _condition(
            seen,
            ConditionType.ARTIFACT_RESOLVED,
            _true(seen.wanted.revision is not None),
            seen.wanted.reason,
            seen.wanted.message,
        ),
        _available(seen, plan),
        _promoted(seen, plan),
    ]
    broken = next((c for c in parts if c.status != "True"), None)
    if broken is not None:
        yield broken.model_copy(update={"type": ConditionType.READY.value})
    else:
        yield _condition(seen, ConditionType.READY, "True", Reason.SERVING, parts[2].message)
    yield from parts
    yield _guarded(seen)
    if seen.drift is not None or seen.model.spec.monitoring.drift_policy_ref is not None:
        yield _within_policy(seen)


def _condition(
    seen: Observed, kind: ConditionType, state: State, reason: Reason, message: str
) -> Condition:
    return Condition(
        type=kind.value,
        status=state,
        reason=reason.value,
        message=message,
        observed_generation=seen.model.metadata.generation,
    )


def _true(good: bool) -> State:  # noqa: FBT001  # it translates a bool
    return "True" if good else "False"


def _accepted(seen: Observed, refused: TerminalError | None) -> tuple[State, Reason, str]:
    if refused is not None:
        known = refused.reason == Reason.NAME_TAKEN
        return "False", Reason.NAME_TAKEN if known else Reason.INVALID_SPEC, str(refused)
    if seen.wanted.accepted:
        return "True", Reason.VALID, "The spec can be carried out."
    return "False", seen.wanted.reason, seen.wanted.message


def _available(seen: Observed, plan: Plan) -> Condition:
    if plan.stable is None:
        return _condition(
            seen, ConditionType.AVAILABLE, "False", seen.wanted.reason, seen.wanted.message
        )
    name = plan.stable.name
    ready, wanted = seen.ready(name), seen.model.spec.serving.scaling.min_replicas
    message = f"{ready} of {wanted} pods of {name} are ready."
    if ready:
        return _condition(seen, ConditionType.AVAILABLE, "True", Reason.SERVING, message)
    why = seen.failures.get(name, "")
    return _condition(
        seen, ConditionType.AVAILABLE, "False", Reason.NOT_READY, f"{message} {why}".strip()
    )


def _promoted(seen: Observed, plan: Plan) -> Condition:
    wanted, kind = seen.wanted.revision, ConditionType.PROMOTED
    if wanted is None or plan.stable is None:
        return _condition(seen, kind, "False", seen.wanted.reason, seen.wanted.message)
    if wanted.name == plan.stable.name:
        message = f"{wanted.name} is what the spec asks for, and it is the stable revision."
        return _condition(seen, kind, "True", Reason.PROMOTED, message)
    rejected = next((r for r in plan.rejected if r.revision == wanted.name), None)
    if rejected is not None and plan.candidate is None:  # else it is being tried again
        decided = (*seen.model.status.decisions, *plan.decisions)
        why = next((d.message for d in decided if d.id == rejected.decision), rejected.reason)
        message = f"{wanted.name} was rolled back ({rejected.decision}): {why}"
        return _condition(seen, kind, "False", Reason.ROLLED_BACK, message)
    if seen.model.spec.suspend:
        message = f"spec.suspend is true: {wanted.name} waits."
        return _condition(seen, kind, "False", Reason.SUSPENDED, message)
    return _condition(seen, kind, "False", Reason.PROGRESSING, _in_words(wanted, plan.rollout))


def _in_words(wanted: Revision, rollout: RolloutStatus | None) -> str:
    if rollout is None:
        return f"{wanted.name} is about to start."
    return f"{wanted.name} at {rollout.weight} % (step {rollout.step.text}): {rollout.message}"


def _guarded(seen: Observed) -> Condition:
    if seen.model.spec.serving.protocol == "GRPC":
        message = "serving.protocol is GRPC: no request is counted, so nothing can be compared."
        return _condition(seen, ConditionType.GUARDED, "False", Reason.NOTHING_COUNTED, message)
    spec = seen.model.spec.delivery.analysis
    analysed = any(step.analysis is not None for step in steps_of(seen.model.spec.delivery))
    if not metrics_of(spec) or not steps_of(seen.model.spec.delivery):
        message = "No evidence is asked for: set delivery.analysis.metrics and a canary strategy."
        return _condition(seen, ConditionType.GUARDED, "False", Reason.NO_ANALYSIS, message)
    asking = ", ".join(m.name for m in metrics_of(spec) if m.source == "Prometheus")
    if asking and not seen.asks_prometheus:
        message = (
            f"{asking}: the operator knows no Prometheus to ask, so there will be no verdict; set "
            "prometheus.url in the values of its chart."
        )
        return _condition(seen, ConditionType.GUARDED, "False", Reason.NO_PROMETHEUS, message)
    if asking and seen.unanswered:
        reason = Reason.METRIC_UNANSWERED
        return _condition(seen, ConditionType.GUARDED, "False", reason, seen.unanswered)
    told = skewed(seen)
    if told:
        return _condition(seen, ConditionType.GUARDED, "False", Reason.CLOCK_SKEWED, told)
    listed = ", ".join(m.name for m in metrics_of(spec))
    waits = "and an analysis step waits for a Pass" if analysed else "in the background only"
    reason = Reason.DEFAULT_ANALYSIS if spec.metrics is None else Reason.ANALYSIS_CONFIGURED
    message = f"A new revision is compared by {listed}, {waits}."
    return _condition(seen, ConditionType.GUARDED, "True", reason, message)


def _within_policy(seen: Observed) -> Condition:
    drift, kind = seen.drift, ConditionType.WITHIN_POLICY
    if seen.model.spec.serving.protocol == "GRPC":
        message = "serving.protocol is GRPC: no request is counted, so no policy can judge."
        return _condition(seen, kind, "Unknown", Reason.NOTHING_COUNTED, message)
    ref = seen.model.spec.monitoring.drift_policy_ref
    if drift is None and ref is not None:
        message = (
            f"Nothing watches this Model: spec.monitoring.driftPolicyRef names {ref.name}, and "
            f"there is no such DriftPolicy in namespace {seen.model.metadata.namespace}."
        )
        return _condition(seen, kind, "Unknown", Reason.NO_POLICY, message)
    if drift is None or drift.level == "Unknown":
        message = "The drift policy has too little evidence yet."
        return _condition(seen, kind, "Unknown", Reason.AWAITING_EVIDENCE, message)
    if drift.level == "Breach":
        return _condition(seen, kind, "False", Reason.DRIFT_DETECTED, drift.message)
    message = drift.message or f"DriftPolicy {drift.policy} sees no breach."
    return _condition(seen, kind, "True", Reason.WITHIN_POLICY, message)
