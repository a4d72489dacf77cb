"""The decisions of a Model's reconcile: what serves, who gets which share, what is kept.

Pure: the same observation at the same time gives the same plan. The rollout's own rules stand in
`tidegate.rollout.machine`; here they are applied to the objects of one Model.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.api.meta import duration, parse_timestamp, timestamp
from tidegate.api.names import Reason
from tidegate.api.v1alpha1.model_status import (
    DecisionStatus,
    PreviousStatus,
    RejectedStatus,
    RolloutStatus,
)
from tidegate.controllers.model import decisions, progress, routing
from tidegate.controllers.model.state import Observed, Revision, never_served
from tidegate.rollout.machine import State
from tidegate.traffic.routing import Routing

POLL = timedelta(seconds=5)
UNPROVEN = (Reason.CANDIDATE_NOT_READY, Reason.ANALYSIS_TIMED_OUT)
POLL_UNREADY = timedelta(seconds=15)  # nothing tells why pods don't start: one has to look


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
    rollout, transition = progress.look(seen, stable, candidate, now)
    promoted = transition is not None and transition.progress.state is State.PROMOTED
    rolled_back = transition is not None and transition.progress.state is State.ROLLED_BACK
    previous = _previous(seen, stable, now)
    decided = [*decisions.stopped(seen, candidate), *decisions.first(seen, stable)]
    if transition is not None and transition.decision is not None and candidate is not None:
        decided.append((candidate.name, transition.decision))
    taken = decisions.recorded(status, decided, rollout, now)
    rejected = status.rejected
    if promoted and candidate is not None and stable is not None:
        warm_until = now + duration(seen.model.spec.delivery.keep_previous_warm)
        previous = PreviousStatus(revision=stable.name, warm_until=timestamp(warm_until))
        stable, candidate = candidate, None
    elif rolled_back and candidate is not None:
        rejected = decisions.with_rejected(
            rejected, candidate, taken[-1], seen.model.metadata.generation, now
        )
        candidate = None
    live = _named(seen, stable, candidate, previous)
    document = routing.routing(seen, stable, candidate, rollout, live, now)
    draining = tuple(routing.draining(seen, live, document, now))
    return Plan(
        stable=stable,
        candidate=candidate,
        previous=previous,
        live=live + draining,
        routing=document,
        rollout=rollout,
        rejected=rejected,
        decisions=taken,
        requeue_after=_requeue_after(seen, stable, candidate, previous, draining, now),
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
    """Whether a rejection still holds: one that proved nothing ends with the next edit."""
    if rejected.revision != wanted.name:
        return False
    same_spec = rejected.generation == seen.model.metadata.generation
    return same_spec or rejected.reason not in UNPROVEN


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
