"""What is put on record about a look: the decisions that were taken, and what they rest on."""

from collections.abc import Iterator
from datetime import datetime

from tidegate.api.meta import timestamp
from tidegate.api.names import Reason
from tidegate.api.v1alpha1.model_status import (
    DecisionStatus,
    ModelStatus,
    RejectedStatus,
    RolloutStatus,
)
from tidegate.controllers.model.progress import RUNNING
from tidegate.controllers.model.state import Observed, Revision, never_served
from tidegate.rollout.machine import Decision

REJECTED_KEPT = 20
DECISIONS_KEPT = 20
DETAILED_KEPT = 5  # older ones keep their sentence: a status is read by everybody, all the time
WEIGHED = ("Advance", "Hold", "Promote", "RollBack")  # these rest on evidence and show it


def remembered(decisions: tuple[DecisionStatus, ...]) -> tuple[DecisionStatus, ...]:
    """What the status keeps of all decisions so far, oldest first."""
    kept = decisions[-DECISIONS_KEPT:]
    detailed = {d.id for d in [d for d in kept if d.metrics][-DETAILED_KEPT:]}
    return tuple(
        d
        if d.id in detailed or not d.metrics
        else d.model_copy(update={"metrics": (), "evidence": None})
        for d in kept
    )


def stopped(seen: Observed, candidate: Revision | None) -> Iterator[tuple[str, Decision]]:
    """The end of a rollout that is not gone on with."""
    old = seen.model.status.rollout
    if old is None or old.state not in RUNNING:
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
        reason, message = Reason.SUPERSEDED, _wish(seen, candidate)
    yield old.revision, Decision("Supersede", reason, message, old.weight, 0)


def _wish(seen: Observed, candidate: Revision | None) -> str:
    if candidate is not None:
        return f"The spec now asks for {candidate.name}."
    if seen.wanted.revision is None:
        return f"The spec no longer names a revision that can serve. {seen.wanted.message}"
    return "The spec now asks for the stable revision."


def first(seen: Observed, stable: Revision | None) -> Iterator[tuple[str, Decision]]:
    """The first revision of a Model, once it serves."""
    if stable is not None and never_served(seen.model) and seen.ready(stable.name):
        message = "The first revision has nothing to be compared with: it serves all requests."
        yield stable.name, Decision("Promote", Reason.FIRST_REVISION, message, 0, 100)


def recorded(
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
            evidence=rollout.evidence if rollout and d.action in WEIGHED else None,
        )
        for i, (revision, d) in enumerate(decided, start=1)
    )


def with_rejected(
    rejected: tuple[RejectedStatus, ...],
    candidate: Revision,
    decision: DecisionStatus,
    generation: int,
    now: datetime,
) -> tuple[RejectedStatus, ...]:
    """The rejected revisions with one more, so that it is not tried again."""
    entry = RejectedStatus(
        revision=candidate.name,
        reason=decision.reason,
        decision=decision.id,
        at=timestamp(now),
        generation=generation,
    )
    return (*(r for r in rejected if r.revision != candidate.name), entry)[-REJECTED_KEPT:]
