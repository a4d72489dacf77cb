"""`backtest`: what a DriftPolicy would have decided on recorded windows, by the operator's plan."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegate.api.meta import ObjectMeta
from tidegate.api.v1alpha1.drift_policy import (
    ActionStatus,
    DriftPolicy,
    DriftPolicyStatus,
    ModelDrift,
    SignalStatus,
)
from tidegate.api.v1alpha1.model import Artifact, FromTraining, Model, ModelSpec
from tidegate.controllers.drift_policy.plan import plan
from tidegate.controllers.drift_policy.state import Observed, Run, Watched
from tidegate.errors import TerminalError
from tidegate.evidence.hours import HOUR_SLOTS
from tidegate.evidence.recording import Recording
from tidegate.evidence.windows import SLOT_SECONDS, BlockKey
from tidegate.rollout.drift import WINDOWS_WEIGHED, Current, window_slots
from tidegate.rollout.season import Learned


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the policy says at the end of one of its windows."""

    at: datetime
    level: str
    signals: tuple[SignalStatus, ...]


@dataclass(frozen=True, slots=True)
class Alarm:
    """An action that the policy would have taken."""

    at: datetime
    action: ActionStatus


@dataclass(frozen=True, slots=True)
class Backtest:
    """A policy's whole life on a recording."""

    policy: str
    model: str
    evaluations: tuple[Evaluation, ...]
    alarms: tuple[Alarm, ...]

    @property
    def signals(self) -> list[str]:
        """The names of the policy's signals."""
        return [s.name for s in self.evaluations[-1].signals] if self.evaluations else []


def backtested(policy: DriftPolicy, recording: Recording) -> Backtest:
    """Evaluate every complete window of the recording, in its order, as the operator would.

    A run that the policy starts is taken to be finished at once, so that its cooldown counts and
    the model that it trains does not: what would have been served then is not known.
    """
    if recording.slots is None:
        message = f"the recording of {recording.namespace}/{recording.model} has no windows"
        raise TerminalError("NotFound", message)
    model = recording.snapshots[-1] if recording.snapshots else _unknown_model(recording)
    known = ModelDrift(name=model.metadata.name, level="Unknown")
    evaluations: list[Evaluation] = []
    alarms: list[Alarm] = []
    runs: list[Run] = []
    learned: Learned | None = None
    for now, current, missing in _looks(policy, recording):
        status = DriftPolicyStatus(models=(known,))
        asked = policy.model_copy(update={"status": status})
        watched = Watched(model, current, missing, tuple(runs), learned)
        step = plan(Observed(asked, (watched,)), now)
        (known,) = step.models
        learned = next((new.learned for new in step.learned), learned)
        evaluations.append(Evaluation(now, known.level, known.signals))
        alarms += [Alarm(now, told.action) for told in step.told]
        runs += [Run(r.name, now, finished=True, by_this_policy=True) for r in step.runs]
    name = policy.metadata.name
    return Backtest(name, model.metadata.name, tuple(evaluations), tuple(alarms))


def _looks(
    policy: DriftPolicy, recording: Recording
) -> Iterator[tuple[datetime, Current | None, str]]:
    """Each moment when one more window was complete, with what was known by then."""
    size = window_slots(policy.spec)
    first, last = recording.slots or (0, -1)
    windows, labels = sorted(recording.windows), sorted(recording.labels)
    for end in range((first // size + 1) * size - 1, last + 1, size):
        # Hours are learned whole, however short the windows are.
        after = end - max(WINDOWS_WEIGHED * size, HOUR_SLOTS + size)
        kept = {k: recording.windows[k] for k in _between(windows, after, end)}
        now = datetime.fromtimestamp((end + 1) * SLOT_SECONDS, tz=UTC)
        newest = [k for k in kept if k.slot > end - size]
        revision = _stable(newest, recording)
        if revision is None:
            yield now, None, "No requests in this window."
            continue
        profile = recording.profiles.get(revision)
        if profile is None:
            yield now, None, f"{revision} has no recorded reference profile."
            continue
        told = {k: recording.labels[k] for k in _between(labels, after, end)}
        yield now, Current(revision, profile, kept, told, end), ""


def _between(keys: Sequence[BlockKey], after: int, through: int) -> Sequence[BlockKey]:
    low = bisect_left(keys, (after + 1, -1, ""))
    return keys[low : bisect_left(keys, (through + 1, -1, ""))]


def _stable(keys: Sequence[BlockKey], recording: Recording) -> str | None:
    """The revision that answered most of these blocks' requests: a canary's share is smaller."""
    requests: dict[str, int] = {}
    for key in keys:
        requests[key.revision] = requests.get(key.revision, 0) + recording.windows[key].requests
    return max(requests, key=lambda r: requests[r], default=None)


def _unknown_model(recording: Recording) -> Model:
    spec = ModelSpec(artifact=Artifact(from_training=FromTraining()))
    return Model(
        metadata=ObjectMeta(name=recording.model, namespace=recording.namespace), spec=spec
    )
