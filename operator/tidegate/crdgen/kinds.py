"""What a CRD says of a kind beyond its schema: names, and the columns of `kubectl get`."""

from dataclasses import dataclass
from typing import NamedTuple

from tidegate.api.meta import ApiModel
from tidegate.api.v1alpha1.drift_policy import DriftPolicy, DriftPolicySpec, DriftPolicyStatus
from tidegate.api.v1alpha1.model import Model, ModelSpec
from tidegate.api.v1alpha1.model_status import ModelStatus
from tidegate.api.v1alpha1.training_job import TrainingJob, TrainingJobSpec, TrainingJobStatus


class Column(NamedTuple):
    """A column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"


@dataclass(frozen=True, slots=True)
class Kind:
    """A custom resource."""

    root: type[ApiModel]
    spec: type[ApiModel]
    status: type[ApiModel]
    short_name: str
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return self.root.__name__

    @property
    def singular(self) -> str:
        return self.name.lower()

    @property
    def plural(self) -> str:
        return f"{self.singular[:-1]}ies" if self.singular.endswith("y") else f"{self.singular}s"


_AGE = Column("Age", ".metadata.creationTimestamp", "date")

KINDS = (
    Kind(
        Model,
        ModelSpec,
        ModelStatus,
        "mdl",
        (
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Stable", ".status.stable.revision"),
            Column("Candidate", ".status.candidate.revision"),
            Column("Weight", ".status.candidate.weight", "integer"),
            Column("Step", ".status.rollout.step.text"),
            Column("Verdict", ".status.rollout.verdict"),
            Column("Drift", ".status.drift.level"),
            _AGE,
        ),
    ),
    Kind(
        TrainingJob,
        TrainingJobSpec,
        TrainingJobStatus,
        "tjob",
        (
            Column("State", ".status.state"),
            Column("Metric", ".status.metric"),
            Column("Duration", ".status.duration"),
            _AGE,
        ),
    ),
    Kind(
        DriftPolicy,
        DriftPolicySpec,
        DriftPolicyStatus,
        "dpol",
        (
            Column("Mode", ".spec.mode"),
            Column("Models", ".status.watched", "integer"),
            Column("Level", ".status.level"),
            Column("LastAction", ".status.lastAction"),
            _AGE,
        ),
    ),
)
