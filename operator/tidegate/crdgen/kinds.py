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
    priority: int = 0
    """1: shown by `-o wide` only."""


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
_WHY = (
    Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', priority=1),
    Column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
)

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
            *_WHY,
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
            *_WHY,
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
            *_WHY,
        ),
    ),
)
