"""Which looks are kept, and which one is due. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tidegate.api.meta import timestamp
from tidegate.api.names import child_name, short_hash
from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec, Look, Signal, SignalStatus
from tidegate.api.v1alpha1.model import Model, PredictionLog
from tidegate.controllers.drift_policy.state import Observed, Published, Watched
from tidegate.rollout.multivariate_drift import interval_seconds

# A sidecar uploads its lines at least once a minute, and tries again where that fails.
UPLOADED_AFTER = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class NewLook:
    """A Job that shall be created."""

    name: str
    model: Model
    signal: Signal
    log: PredictionLog
    published: Published
    revision: str
    after: datetime
    through: datetime


def by_jobs(spec: DriftPolicySpec) -> dict[str, Signal]:
    """The signals that Jobs look for."""
    return {s.name: s for s in spec.signals if s.type == "MultivariateDrift"}


def kept(
    spec: DriftPolicySpec, watched: Watched, revision: str, old: Sequence[Look]
) -> tuple[Look, ...]:
    """The newest looks at this revision, with those that have come in; as many as decide."""
    ended = [a.found for a in watched.asked if a.found is not None]
    known = {_key(look): look for look in (*old, *ended)}
    mine = sorted(
        (k for k in known.values() if k.revision == revision), key=lambda k: (k.signal, k.through)
    )
    return tuple(
        look
        for name in sorted(by_jobs(spec))
        for look in [k for k in mine if k.signal == name][-spec.sustain.of :]
    )


def logged(watched: Watched, signal: SignalStatus) -> SignalStatus:
    """The signal, or why nobody can look."""
    if watched.model.spec.serving.sidecar.log is not None:
        return signal
    message = "The Model writes no prediction log to compare with: set spec.serving.sidecar.log."
    return SignalStatus(name=signal.name, level="Unknown", message=message)


def due(seen: Observed, watched: Watched, looks: Iterable[Look], now: datetime) -> NewLook | None:
    """The look that is to begin now, if any: one at a time for each Model.

    An interval is looked at once, soon after its end; intervals end at multiples of their length,
    so that an operator that starts anew asks for the same Job.
    """
    log, published = watched.model.spec.serving.sidecar.log, watched.published
    if watched.current is None or log is None or published is None:
        return None
    if any(a.found is None for a in watched.asked):
        return None
    done = {_key(look) for look in looks}
    revision = watched.current.revision
    for signal in by_jobs(seen.policy.spec).values():
        length = timedelta(seconds=interval_seconds(signal))
        epoch = datetime.fromtimestamp(0, UTC)
        through = epoch + (now - UPLOADED_AFTER - epoch) // length * length
        if (signal.name, revision, timestamp(through)) not in done:
            name = _name(seen, watched.model, signal, revision, through)
            return NewLook(
                name, watched.model, signal, log, published, revision, through - length, through
            )
    return None


def failed(look: NewLook, why: str) -> Look:
    """What is remembered of a look that could not begin; the next interval has another."""
    through = timestamp(look.through)
    return Look(signal=look.signal.name, revision=look.revision, through=through, message=why)


def _key(look: Look) -> tuple[str, str, str]:
    return look.signal, look.revision, look.through


def _name(seen: Observed, model: Model, signal: Signal, revision: str, through: datetime) -> str:
    """Named after what is asked: a crash after the creation can't lead to a second Job."""
    uids = seen.policy.metadata.uid, model.metadata.uid
    asked = "/".join([*uids, signal.name, revision, timestamp(through)])
    return child_name(model.metadata.name, "look", short_hash(asked))
