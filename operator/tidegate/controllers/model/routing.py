"""Which revision gets which share of a Model's requests, and who may still be asked."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from tidegate.api.meta import duration
from tidegate.api.names import TRAFFIC_PORT
from tidegate.api.v1alpha1.model import Canary
from tidegate.api.v1alpha1.model_status import RolloutStatus
from tidegate.controllers.model.state import Observed, Revision
from tidegate.rollout.machine import State
from tidegate.traffic.routing import Candidate, Match, Member, Routing

SETTLE_SECONDS = 5  # requests on their way to a revision end before its pods are told to stop
CONFIG_MAP_SECONDS = 120  # by then a mounted ConfigMap has reached also a pod that can't be pushed
FURTHEST_AHEAD_SECONDS = 3600  # clocks of two operators differ by less, and pushes are seldom


def routing(
    seen: Observed,
    stable: Revision | None,
    candidate: Revision | None,
    rollout: RolloutStatus | None,
    live: tuple[Revision, ...],
    now: datetime,
) -> Routing | None:
    """The routing document; its generation rises exactly when something in it changes."""
    if stable is None:
        return None
    namespace = seen.model.metadata.namespace
    names = {r.name for r in live}
    feedback = seen.model.spec.monitoring.feedback
    wanted = Routing(
        model=seen.model.metadata.name,
        generation=seen.routing.generation if seen.routing else 0,
        stable=stable.name,
        stable_address=address(stable.name, namespace),
        candidate=_split(seen, candidate, rollout),
        members=tuple(
            Member(p.uid, p.at(TRAFFIC_PORT), p.revision)
            for p in sorted(seen.pods, key=lambda p: p.uid)
            if p.revision in names
        ),
        prediction_edges=_edges(seen, stable),
        feedback_horizon_seconds=int(duration(feedback.horizon).total_seconds()),
        feedback_enabled=feedback.enabled,
        mark_key=seen.mark_key,
    )
    # A document is pushed before it is stored: pods may act on one that never was. What is far in
    # the future no operator has sent, and a pod that says so must not drag the others along.
    latest = int(now.timestamp()) + FURTHEST_AHEAD_SECONDS
    ahead = max((g for g in seen.confirmed.values() if g <= latest), default=0)
    if wanted == seen.routing and (ahead <= wanted.generation or _is_blind(seen, rollout)):
        return wanted
    # Seconds since 1970 keep the generation rising even when ConfigMap and status are both lost.
    return replace(wanted, generation=max(wanted.generation + 1, ahead + 1, int(now.timestamp())))


def _split(
    seen: Observed, candidate: Revision | None, rollout: RolloutStatus | None
) -> Candidate | None:
    """What the candidate gets; None while it gets nothing at all."""
    if candidate is None or rollout is None or not seen.ready(candidate.name):
        return None
    known = seen.routing.candidate if seen.routing is not None else None
    if _is_blind(seen, rollout) and (known is None or known.revision != candidate.name):
        return None
    split = Candidate(
        revision=candidate.name,
        address=address(candidate.name, seen.model.metadata.namespace),
        weight=rollout.weight,
    )
    strategy = seen.model.spec.delivery.strategy
    if strategy is not None and strategy.canary is not None and rollout.state == State.STEPPING:
        split = _ruled(split, strategy.canary, rollout.step.index)
    return split if split.weight or split.match or split.shadow else None


def _is_blind(seen: Observed, rollout: RolloutStatus | None) -> bool:
    """Whether there is evidence that nobody here has read yet.

    An operator that has just begun does not know why its predecessor took a weight away: it gives
    none back before it has heard the pods.
    """
    return rollout is not None and bool(rollout.cursor) and seen.closed_through is None


def _ruled(split: Candidate, canary: Canary, index: int) -> Candidate:
    """The share, with what the canary has to say beside the weight."""
    step = canary.steps[index] if index < len(canary.steps) else None
    return replace(
        split,
        sticky=canary.sticky.header if canary.sticky is not None else "",
        match=tuple(Match(m.header, m.value) for m in canary.match),
        shadow=step.shadow.percent if step is not None and step.shadow is not None else 0,
    )


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


def draining(
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


def confirmed(seen: Observed, revision: str) -> bool:
    """Whether every ready pod of a revision acts on the routing document as it stands."""
    routing = seen.routing
    pods = [p for p in seen.pods if p.revision == revision]
    return routing is not None and all(
        seen.confirmed.get(p.uid, -1) >= routing.generation for p in pods
    )
