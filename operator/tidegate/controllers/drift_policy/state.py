"""What a DriftPolicy's reconcile knows: plain values, gathered once."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import Field, FiniteFloat

from tidegate.api.meta import ApiModel
from tidegate.api.names import child_name
from tidegate.api.v1alpha1.drift_policy import DriftPolicy, Look
from tidegate.api.v1alpha1.model import Model
from tidegate.rollout.drift import Current
from tidegate.rollout.season import Learned

HOURS_FILE = "hours.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A TrainingJob of a Model, as far as retraining cares."""

    name: str
    created: datetime
    finished: bool
    by_this_policy: bool


class Answer(ApiModel):
    """The line that a Job's program leaves behind."""

    auc: FiniteFloat | None = None
    samples: int = 0
    clustering: FiniteFloat = 1.0
    top: tuple[tuple[str, FiniteFloat], ...] = Field(default=())
    message: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A Job that looks, and what it has found out; None while it runs."""

    found: Look | None


@dataclass(frozen=True, slots=True)
class Published:
    """Where the stable revision's model lies, with its reference rows."""

    uri: str
    digest: str


@dataclass(frozen=True, slots=True)
class Watched:
    """A Model that the policy watches."""

    model: Model
    current: Current | None
    """None while nothing can be compared; `missing` says why."""
    missing: str = ""
    runs: tuple[Run, ...] = ()
    learned: Learned | None = None
    """What is known of its traffic, hour by hour."""
    asked: tuple[Asked, ...] = ()
    """The Jobs whose findings are not written down yet."""
    published: Published | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a policy and all that it watches."""

    policy: DriftPolicy
    watched: tuple[Watched, ...]


def hours_name(model: str) -> str:
    """The name of the ConfigMap that keeps what was learned of a Model's hours."""
    return child_name(model, "hours")
