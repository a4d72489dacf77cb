"""What a Model's reconcile knows: plain values, gathered once, before anything is decided."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.api.meta import LocalRef, parse_timestamp
from tidegate.api.names import Reason, child_name, short_hash
from tidegate.api.v1alpha1.model import DriftStatus, Model
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.traffic.routing import Routing


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a Model; it never changes, and a ControllerRevision keeps it."""

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

    def to_data(self) -> dict[str, Any]:
        return {
            "uri": self.uri,
            "digest": self.digest,
            "format": self.format,
            "runtimeImage": self.runtime_image,
            "sidecarImage": self.sidecar_image,
            "trainingJob": self.training_job or "",
            "trainedAt": self.trained_at,
        }

    @classmethod
    def from_data(cls, name: str, number: int, data: Mapping[str, Any]) -> "Revision":
        return cls(
            name=name,
            uri=str(data["uri"]),
            digest=str(data["digest"]),
            format=str(data["format"]),
            runtime_image=str(data["runtimeImage"]),
            sidecar_image=str(data["sidecarImage"]),
            training_job=str(data.get("trainingJob", "")) or None,
            number=number,
            trained_at=str(data.get("trainedAt", "")),
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
    """A ready pod of a revision."""

    uid: str
    ip: str
    revision: str


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
    selected: str | None = None
    """The revision that the Model's Service selects: the stable one."""
    routing: Routing | None = None
    """The routing document as it stands in the ConfigMap."""
    confirmed: Mapping[str, int] = field(default_factory=dict)
    """The routing generation that each pod acts on, by uid."""
    windows: Mapping[BlockKey, Counts] = field(default_factory=dict)
    labels: Mapping[BlockKey, Labels] = field(default_factory=dict)
    closed_through: int | None = None
    labels_closed_through: int | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    drift: DriftStatus | None = None
    drift_window_seconds: float | None = None

    def ready(self, revision: str) -> int:
        """How many pods of a revision are ready."""
        return sum(p.revision == revision for p in self.pods)


def credentials(model: Model) -> LocalRef | None:
    """The Secret with which the pods fetch."""
    return model.spec.artifact.credentials_ref


def never_served(model: Model) -> bool:
    """Whether no revision of the Model has ever been ready."""
    stable = model.status.stable
    return stable is None or not stable.since or parse_timestamp(stable.since).year < 2000
