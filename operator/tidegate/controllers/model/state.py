"""What a Model's reconcile knows: plain values, gathered once, before anything is decided."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from tidegate.api.meta import parse_timestamp
from tidegate.api.names import Reason, child_name, short_hash
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.model_status import DriftStatus
from tidegate.evidence.profile import Profile
from tidegate.evidence.values import Values
from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.traffic.routing import Routing


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a Model. What it answers never changes; where it lies may be corrected."""

    name: str
    uri: str
    digest: str
    format: str
    runtime_image: str
    sidecar_image: str
    training_job: str | None = None
    number: int = 0
    trained_at: str = ""
    """When its TrainingJob ended; empty if there was none."""

    def fixed(self) -> dict[str, str]:
        """What never changes: the data of the ControllerRevision."""
        return {
            "digest": self.digest,
            "format": self.format,
            "runtimeImage": self.runtime_image,
            "sidecarImage": self.sidecar_image,
        }

    def to_json(self) -> str:
        """All of it, as the annotation of the objects of the revision holds it."""
        where = {
            "uri": self.uri,
            "number": self.number,
            "trainingJob": self.training_job or "",
            "trainedAt": self.trained_at,
        }
        return json.dumps({**self.fixed(), **where}, sort_keys=True)

    @classmethod
    def from_json(cls, name: str, text: str) -> "Revision":
        data = json.loads(text)
        return cls(
            name=name,
            uri=str(data["uri"]),
            digest=str(data["digest"]),
            format=str(data["format"]),
            runtime_image=str(data["runtimeImage"]),
            sidecar_image=str(data["sidecarImage"]),
            training_job=str(data["trainingJob"]) or None,
            number=int(data["number"]),
            trained_at=str(data["trainedAt"]),
        )


def revision_name(model: str, digest: str, format_: str) -> str:
    """The name of what is served: equal artifacts of a Model have equal names.

    Where the artifact lies and with which credentials it is read is not part of it, and neither
    are replicas, resources or the operator's images: they don't change predictions.
    """
    return child_name(model, short_hash(json.dumps([digest, format_])))


def public_name(model: str) -> str:
    """The name of the Service that clients call."""
    return model


def routing_name(model: str) -> str:
    """The name of the ConfigMap that holds the routing document."""
    return child_name(model, "routing")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a revision."""

    uid: str
    ip: str
    revision: str
    ending: bool = False
    """Whether it was told to end; it is listed until it has."""
    name: str = ""
    node: str = ""

    def at(self, port: int) -> str:
        """`ip:port`, an IPv6 address in brackets."""
        return f"[{self.ip}]:{port}" if ":" in self.ip else f"{self.ip}:{port}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The revision that the spec asks for, or why there is none yet."""

    revision: Revision | None
    reason: Reason
    message: str
    accepted: bool = True
    """False if the spec can't be carried out as it stands."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a Model and everything that belongs to it."""

    model: Model
    wanted: Wanted
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    """The known revisions, by name."""
    deployed: Mapping[str, int] = field(default_factory=dict)
    """Wanted replicas of each revision that has a Deployment."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Why a revision's pods don't start, in words, where it is known."""
    pods: tuple[Pod, ...] = ()
    """The ready pods."""
    unready: tuple[Pod, ...] = ()
    """The other pods: they get no traffic, but what they have counted is evidence."""
    serving: str | None = None
    """The stable revision: see `serving`."""
    routing: Routing | None = None
    """The routing document as it stands in the ConfigMap."""
    confirmed: Mapping[str, int] = field(default_factory=dict)
    """The routing generation that each pod acts on, by uid."""
    windows: Mapping[BlockKey, Counts] = field(default_factory=dict)
    labels: Mapping[BlockKey, Labels] = field(default_factory=dict)
    closed_through: int | None = None
    labels_closed_through: int | None = None
    told: int = 0
    """Requests in all windows that pods have told of."""
    lost: int = 0
    """Requests that pods have counted and could not tell of."""
    skews: Mapping[str, float] = field(default_factory=dict)
    """By how many seconds clocks are ahead, by the uids of the pods that are left out for it."""
    clock_step: timedelta = timedelta()
    """By how much the operator's own clock was set since the last look."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    values: Values = field(default_factory=dict)
    values_closed_through: int | None = None
    asks_prometheus: bool = True
    """Whether the operator knows a Prometheus to ask."""
    unanswered: str = ""
    """Why Prometheus has not told the newest values."""
    mark_key: str = ""
    """What the pods sign their marks with, see `traffic.marks`."""
    drift: DriftStatus | None = None
    drift_window_seconds: float | None = None

    def ready(self, revision: str) -> int:
        """How many pods of a revision are ready."""
        return sum(p.revision == revision for p in self.pods)


def serving(model: Model, routing: Routing | None, selected: str | None) -> str | None:
    """The name of the stable revision.

    The routing document says it, which only the operator can sign. Without one the status does,
    and only a Model that has lost both is told by what its Service selects.
    """
    if routing is not None:
        return routing.stable
    stable = model.status.stable
    return stable.revision if stable is not None else selected


def never_served(model: Model) -> bool:
    """Whether no revision of the Model has ever been ready."""
    stable = model.status.stable
    return stable is None or not stable.since or parse_timestamp(stable.since).year < 2000
