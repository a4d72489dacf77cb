"""What a DriftPolicy's reconcile knows: plain values, gathered once."""

from dataclasses import dataclass
from datetime import datetime

from tidegate.api.names import child_name
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
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


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a policy and all that it watches."""

    policy: DriftPolicy
    watched: tuple[Watched, ...]


def hours_name(model: str) -> str:
    """The name of the ConfigMap that keeps what was learned of a Model's hours."""
    return child_name(model, "hours")
