"""What a TrainingJob's reconcile knows: plain values, gathered once, before anything is decided."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import Field, FiniteFloat, ValidationError

from tidegate.api.meta import ApiModel, Digest, S3Uri
from tidegate.api.names import EXIT_TRANSIENT, Reason, child_name
from tidegate.api.v1alpha1.training_job import Format, TrainingJob


class Stage(StrEnum):
    """What a job's pod does, in this order; each stage is the container of that name."""

    FETCH = "fetch"
    VALIDATE = "validate"
    TRAIN = "train"
    PUBLISH = "publish"

    @property
    def state(self) -> Reason:
        """What the job is doing while this stage runs."""
        return STATES[self]


STATES = {
    Stage.FETCH: Reason.FETCHING,
    Stage.VALIDATE: Reason.VALIDATING,
    Stage.TRAIN: Reason.TRAINING,
    Stage.PUBLISH: Reason.PUBLISHING,
}


class Summary(ApiModel):
    """The line that a stage leaves behind; what a stage does not say has its default."""

    stage: Stage
    ok: bool
    reason: str = ""
    field: str = ""
    message: str = ""
    inputs: Mapping[str, Digest] = Field(default={})
    rows: int = 0
    warnings: tuple[str, ...] = ()
    metrics: Mapping[str, FiniteFloat] = Field(default={})
    uri: S3Uri | None = None
    digest: Digest | None = None
    profile: Digest | None = None
    format: Format | None = None
    seed: int | None = None
    packages: str = ""


def summary_of(text: str) -> Summary | None:
    """The line as a value; None if it is none: programs are killed before they can write it."""
    try:
        return Summary.model_validate_json(text)
    except ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A container that has not started, and why, where that is worth telling."""

    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A container that runs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A container that has run."""

    exit_code: int
    reason: str = ""
    summary: Summary | None = None


Container = Waiting | Running | Ended


@dataclass(frozen=True, slots=True)
class Pod:
    """One try of the job."""

    name: str
    containers: Mapping[Stage, Container] = field(default_factory=dict)
    image: str = ""
    """The image that ran, by digest where the node tells it."""
    unschedulable: str = ""
    """Why no node takes the pod."""
    evicted: str = ""
    """Why the pod was ended from outside."""

    def stages(self) -> Iterator[tuple[Stage, Container]]:
        """The containers in the order in which they run."""
        return ((stage, self.containers.get(stage, Waiting())) for stage in Stage)

    def failure(self) -> tuple[Stage, Ended] | None:
        """The stage that ended this try, if one did."""
        for stage, container in self.stages():
            if isinstance(container, Ended) and container.exit_code:
                return stage, container
        return None

    def outage(self) -> Ended | None:
        """How this try ended, if the inputs' store was out of reach; such a try is not counted."""
        failure = self.failure()
        if failure is None or failure[0] is not Stage.FETCH:
            return None
        return failure[1] if failure[1].exit_code == EXIT_TRANSIENT else None

    @property
    def counted(self) -> bool:
        """Whether this is a try that failed by its own fault."""
        return self.failure() is not None and not self.evicted and self.outage() is None

    def result(self, stage: Stage) -> Summary | None:
        """What a stage that went well says of itself."""
        match self.containers.get(stage):
            case Ended(exit_code=0, summary=summary) if summary is not None and summary.ok:
                return summary
            case _:
                return None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Why Kubernetes tries a Job no longer."""

    reason: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Child:
    """The Job that runs the pods."""

    name: str
    started: datetime
    succeeded_at: datetime | None = None
    given_up: GivenUp | None = None
    failures: int = 0
    """How many tries have failed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the API server takes no Job."""

    reason: Reason
    message: str
    final: bool
    """Whether asking again can't change the answer."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a TrainingJob and everything that belongs to it."""

    job: TrainingJob
    child: Child | None = None
    pods: tuple[Pod, ...] = ()
    """The tries, oldest first."""
    refusal: Refusal | None = None


def job_name(job: TrainingJob) -> str:
    """The name of the Job; a second one under another name is never made."""
    return child_name(job.metadata.name)


def output_folder(job: TrainingJob) -> str:
    """Where the job publishes, and nowhere else."""
    return f"{job.spec.output.uri}{job.metadata.name}/"
