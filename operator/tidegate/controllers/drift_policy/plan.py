"""The decisions of a DriftPolicy's reconcile: levels, and what is done about them. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tidegate.api.meta import duration, parse_timestamp, timestamp
from tidegate.api.names import Reason, child_name, short_hash
from tidegate.api.v1alpha1.drift_policy import (
    Action,
    ActionStatus,
    DriftPolicySpec,
    ModelDrift,
    SignalStatus,
)
from tidegate.api.v1alpha1.model import Model
from tidegate.controllers.drift_policy.looks import NewLook, by_jobs, due, failed, kept, logged
from tidegate.controllers.drift_policy.state import Observed, Watched
from tidegate.rollout.attribution import (
    Cause,
    Reading,
    Seen,
    attribute,
    broken_by,
    of_world,
)
from tidegate.rollout.drift import SEVERITY, Level, assess, broken, complete_through
from tidegate.rollout.season import Learned, learn, season_of

WEEK = timedelta(days=7)
LEVELS: Mapping[int, Level] = {-1: "Unknown", 0: "Ok", 1: "Warn", 2: "Breach"}
POLLS_PER_WINDOW = 6
SHORTEST_POLL, LONGEST_POLL = timedelta(seconds=5), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewRun:
    """A TrainingJob that shall be created."""

    name: str
    model: Model
    reason: str


@dataclass(frozen=True, slots=True)
class NewHours:
    """What is known of a Model's hours from now on."""

    model: Model
    learned: Learned


@dataclass(frozen=True, slots=True)
class Told:
    """Something to say about a Model: an Event."""

    model: Model
    action: ActionStatus


@dataclass(frozen=True, slots=True)
class Plan:
    """What the policy says of its Models, and what shall be done."""

    models: tuple[ModelDrift, ...]
    runs: tuple[NewRun, ...]
    told: tuple[Told, ...]
    requeue_after: timedelta
    looks: tuple[NewLook, ...] = ()
    learned: tuple[NewHours, ...] = ()
    forgotten: tuple[Model, ...] = ()
    """Models whose hours nobody asks for any more."""


def plan(seen: Observed, now: datetime) -> Plan:
    """Assess every watched Model and decide what to do."""
    spec = seen.policy.spec
    before = {m.name: m for m in seen.policy.status.models}
    models: list[ModelDrift] = []
    runs: list[NewRun] = []
    told: list[Told] = []
    for watched in seen.watched:
        name = watched.model.metadata.name
        old = before.get(name, ModelDrift(name=name, level="Unknown"))
        drift = _levels(spec, watched, old)
        if drift is old and SEVERITY[drift.level] < SEVERITY["Warn"]:
            models.append(drift)  # the same window as before, and nothing in it to act on
            continue
        world = _world(spec, watched, drift)
        drift = drift.model_copy(update={"cause": world.cause})
        drift, action, run = _act(seen, watched, drift, world, now)
        models.append(drift)
        if action is not None:
            told.append(Told(watched.model, action))
        if run is not None:
            runs.append(run)
    window = duration(spec.window.size)
    pause = min(max(window / POLLS_PER_WINDOW, SHORTEST_POLL), LONGEST_POLL)
    both = zip(seen.watched, models, strict=True)
    looks = (due(seen, watched, drift.looks, now) for watched, drift in both)
    return Plan(
        tuple(models),
        tuple(runs),
        tuple(told),
        pause,
        tuple(look for look in looks if look is not None),
        tuple(_learned(seen)),
        _forgotten(seen),
    )


def _learned(seen: Observed) -> Iterator[NewHours]:
    for watched in seen.watched:
        if watched.current is not None:
            learned = learn(seen.policy.spec, watched.current, watched.learned)
            if learned is not None:
                yield NewHours(watched.model, learned)


def _forgotten(seen: Observed) -> tuple[Model, ...]:
    if seen.policy.spec.reference.seasonality != "None":
        return ()
    return tuple(w.model for w in seen.watched if w.learned is not None)


def not_kept(step: Plan, model: Model, why: str) -> Plan:
    """The plan after hours could not be written down: said, and tried again at the next look."""
    models = tuple(
        m.model_copy(update={"season": m.season.model_copy(update={"message": why})})
        if m.name == model.metadata.name and m.season is not None
        else m
        for m in step.models
    )
    return replace(step, models=models)


def not_begun(step: Plan, look: NewLook, why: str) -> Plan:
    """The plan after the API server has refused a look's Job."""
    said = failed(look, f"The API server refuses the Job: {why}")
    models = tuple(
        m.model_copy(update={"looks": (*m.looks, said)})
        if m.name == look.model.metadata.name
        else m
        for m in step.models
    )
    return replace(step, models=models)


def refused(step: Plan, run: NewRun, why: str) -> Plan:
    """The plan after the API server has refused a run: said, and tried again after the cooldown."""
    name = run.model.metadata.name
    changes = {
        "reason": Reason.INVALID_SPEC,
        "message": f"The API server refuses the TrainingJob: {why}",
        "training_job": None,
    }
    models = tuple(
        m.model_copy(update={"last_action": m.last_action.model_copy(update=changes)})
        if m.name == name and m.last_action is not None
        else m
        for m in step.models
    )
    told = tuple(
        replace(t, action=t.action.model_copy(update=changes))
        if t.model.metadata.name == name
        else t
        for t in step.told
    )
    return replace(step, models=models, told=told)


def _levels(spec: DriftPolicySpec, watched: Watched, old: ModelDrift) -> ModelDrift:
    """The Model's levels after the newest complete window."""
    current = watched.current
    if current is None:  # what is remembered stays: an operator that restarts is blind at first
        unknown = tuple(
            SignalStatus(name=s.name, level="Unknown", message=watched.missing)
            for s in spec.signals
        )
        return old.model_copy(update={"level": "Unknown", "signals": unknown})
    old = _of_revision(old, current.revision)
    through = complete_through(spec, current.closed_through)
    recorded = bool(old.recent) and int(old.recent[-1].split()[0]) >= through
    same_signals = [s.name for s in old.signals] == [s.name for s in spec.signals]
    looks = kept(spec, watched, current.revision, old.looks)
    if recorded and same_signals and looks == old.looks and old.level != "Unknown":
        return old
    current, season = season_of(spec, current, watched.learned)
    session = watched.model.spec.delivery.analysis.max_requests_per_session
    found = assess(spec, current, session, looks)
    jobs = by_jobs(spec)
    windows = [s for s in found.signals if s.name not in jobs]
    entry = _record(found.through, current.revision, windows)
    recent = old.recent if recorded else (*old.recent, entry)
    recent = recent[-spec.sustain.of :]
    signals = tuple(
        logged(watched, s) if s.name in jobs else _sustained(spec, s, recent) for s in found.signals
    )
    level = LEVELS[max(SEVERITY[s.level] for s in signals)]
    update = {
        "level": level,
        "signals": signals,
        "season": season,
        "recent": recent,
        "looks": looks,
    }
    return old.model_copy(update=update)


def _of_revision(old: ModelDrift, revision: str) -> ModelDrift:
    """What is remembered of this revision: another one's drift says nothing about it."""
    if all(entry.split()[1] == revision for entry in old.recent):
        return old
    return old.model_copy(update={"level": "Unknown", "season": None, "recent": (), "active": ""})


def _record(through: int, revision: str, signals: Iterable[SignalStatus]) -> str:
    levels = (f"{s.name}={s.level}" for s in signals)
    return " ".join([str(through), revision, *levels])


def _sustained(spec: DriftPolicySpec, signal: SignalStatus, recent: Sequence[str]) -> SignalStatus:
    """The signal at the highest level that enough of the newest evaluations have reached."""
    past = [dict(p.split("=") for p in entry.split()[2:]).get(signal.name) for entry in recent]
    reached = [SEVERITY[level] for level in past if level is not None]
    for level in ("Breach", "Warn"):
        if sum(r >= SEVERITY[level] for r in reached) >= spec.sustain.breaches:
            return signal.model_copy(update={"level": level})
    calm = "Unknown" if signal.level == "Unknown" else "Ok"
    return signal.model_copy(update={"level": calm})


def _world(spec: DriftPolicySpec, watched: Watched, drift: ModelDrift) -> Reading:
    """What has happened to the world, by all signals together."""
    inputs, quality = of_world(spec.signals, drift.signals)
    lost = broken(spec, watched.current) if watched.current else ""
    lost = lost or broken_by(spec.signals, drift.signals)
    return attribute(Seen(inputs=inputs, quality=quality, broken=lost)).world


def _act(
    seen: Observed, watched: Watched, drift: ModelDrift, world: Reading, now: datetime
) -> tuple[ModelDrift, ActionStatus | None, NewRun | None]:
    """Take the first action that matches, once; retrain only within the policy's bounds."""
    spec = seen.policy.spec
    if watched.current is None:
        return drift, None, None
    action, signal = _matching(spec, drift)
    if action is None or signal is None:
        return drift.model_copy(update={"active": ""}), None, None
    wants_retrain = action.do == "Retrain" and spec.mode == "Enforce"
    held: tuple[Reason, str] | None = None
    if wants_retrain:
        held = _held_back(seen, watched, drift, world, now)
    if wants_retrain and held is None:
        run = NewRun(_run_name(seen, watched, drift), watched.model, signal.message)
        done = ActionStatus(
            do=action.do,
            at=timestamp(now),
            reason=Reason.RETRAIN_STARTED,
            message=f"{signal.name}: {signal.message}",
            training_job=run.name,
        )
        allowed = timestamp(now + duration(spec.retrain.cooldown)) if spec.retrain else None
        update = {
            "last_action": done,
            "active": f"{action.do}/{signal.name}",
            "next_retrain_allowed_at": allowed,
        }
        return drift.model_copy(update=update), done, run
    reason, why = held or _notified(action, spec)
    active = f"{action.do}/{signal.name}/{reason}"
    if drift.active in (active, f"{action.do}/{signal.name}"):
        return drift, None, None
    done = ActionStatus(
        do=action.do,
        at=timestamp(now),
        reason=reason,
        message=" ".join(filter(None, [f"{signal.name}: {signal.message}", why or world.message])),
    )
    return drift.model_copy(update={"last_action": done, "active": active}), done, None


def _matching(
    spec: DriftPolicySpec, drift: ModelDrift
) -> tuple[Action | None, SignalStatus | None]:
    for action in spec.actions:
        for signal in drift.signals:
            named = not action.when.signals or signal.name in action.when.signals
            if named and SEVERITY[signal.level] >= SEVERITY[action.when.level]:
                return action, signal
    return None, None


def _notified(action: Action, spec: DriftPolicySpec) -> tuple[Reason, str]:
    if action.do == "Retrain" and spec.mode == "Advise":
        return Reason.ADVISED, "Mode Advise: nothing was started; mode Enforce would retrain."
    return Reason.DRIFT_DETECTED, ""


def _held_back(
    seen: Observed, watched: Watched, drift: ModelDrift, world: Reading, now: datetime
) -> tuple[Reason, str] | None:
    """Why no retraining may start now; None if one may."""
    retrain = seen.policy.spec.retrain
    if watched.model.spec.training is None or retrain is None:
        message = "The Model has no spec.training.template to retrain from."
        return Reason.NO_TRAINING_TEMPLATE, message
    if world.cause is Cause.BROKEN_DATA:
        return Reason.BROKEN_DATA, f"Not retraining. {world.message}"
    running = next((r for r in watched.runs if not r.finished), None)
    if running is not None:
        return Reason.RETRAIN_RUNNING, f"TrainingJob {running.name} is still running."
    # Another run's model would take its place, and begin the rollout anew, again and again.
    candidate = watched.model.status.candidate
    trained = {r.name for r in watched.runs if r.by_this_policy}
    if candidate is not None and candidate.training_job in trained:
        rolled_out = f"{candidate.revision} of TrainingJob {candidate.training_job}"
        return Reason.RETRAIN_RUNNING, f"{rolled_out} is still being rolled out."
    mine = sorted(r.created for r in watched.runs if r.by_this_policy)
    ends = [mine[-1] + duration(retrain.cooldown)] if mine else []
    if drift.next_retrain_allowed_at is not None:  # also when somebody has deleted the run
        ends.append(parse_timestamp(drift.next_retrain_allowed_at))
    if ends and now < max(ends):
        until = timestamp(max(ends))
        return Reason.COOLING_DOWN, f"The cooldown of {retrain.cooldown} lasts until {until}."
    if sum(now - at < WEEK for at in mine) >= retrain.max_per_week:
        message = f"{retrain.max_per_week} retrainings in seven days are the policy's maximum."
        return Reason.BUDGET_SPENT, message
    return None


def _run_name(seen: Observed, watched: Watched, drift: ModelDrift) -> str:
    """Named after the evidence: a crash after the creation can't lead to a second run."""
    evidence = [seen.policy.metadata.uid, watched.model.metadata.uid, *drift.recent]
    return child_name(watched.model.metadata.name, "retrain", short_hash("/".join(evidence)))
