"""The status of a TrainingJob: what was seen and decided, for people and for the next look."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal, assert_never

from tidegate.api.meta import Condition, in_words, merge_conditions, timestamp
from tidegate.api.names import ANNOTATION_TRIGGERED_BY, ConditionType, Reason
from tidegate.api.v1alpha1.training_job import (
    Lineage,
    PublishedOutput,
    TrainingJob,
    TrainingJobStatus,
)
from tidegate.controllers.training_job.plan import Failure, Finished, Plan, Progress, Success
from tidegate.controllers.training_job.state import Observed, Pod, Stage

State = Literal["True", "False", "Unknown"]
Told = tuple[State, Reason, str]
"""A condition without its type: status, reason, message."""

# What the user must put right in the spec; all else is the data's, the cluster's or the model's.
SPEC_REASONS = (Reason.INVALID_SPEC, Reason.ESTIMATOR_UNKNOWN, Reason.PARAMETER_INVALID)
GATE_REASONS = (Reason.GATE_FAILED, Reason.METRICS_MISSING)
WRITTEN_DIGITS = ".6g"


def status(seen: Observed, plan: Plan, now: datetime) -> TrainingJobStatus:
    """The whole status; equal to the old one where nothing is new."""
    old, outcome = seen.job.status, plan.outcome
    if isinstance(outcome, Finished):
        return _kept(seen.job)
    new = TrainingJobStatus(
        observed_generation=seen.job.metadata.generation,
        state=_state(outcome),
        start_time=timestamp(seen.child.started) if seen.child else None,
    )
    told = {**_stages(seen, outcome), ConditionType.READY: _ready(outcome)}
    pod = outcome.pod
    if pod is None and isinstance(outcome, Failure):
        # Nothing is left of the pod: what earlier looks have found still holds.
        new = new.model_copy(update={"metrics": old.metrics, "lineage": old.lineage})
        told = {kind: _known(old, kind) or this for kind, this in told.items()}
    elif pod is not None:
        new = new.model_copy(update=_found(seen.job, pod))
    if isinstance(outcome, Success):
        new = new.model_copy(update={"output": _output(outcome)})
    if isinstance(outcome, Success | Failure):
        new = new.model_copy(update=_times(seen, outcome))
    conditions = tuple(_conditions(seen.job, told))
    return new.model_copy(update={"conditions": merge_conditions(old.conditions, conditions, now)})


def _kept(job: TrainingJob) -> TrainingJobStatus:
    """What was written at the end, for the newest generation: only its time to live can differ."""
    generation = {"observed_generation": job.metadata.generation}
    conditions = tuple(c.model_copy(update=generation) for c in job.status.conditions)
    return job.status.model_copy(update={**generation, "conditions": conditions})


def _known(old: TrainingJobStatus, kind: ConditionType) -> Told | None:
    """What an earlier look has proved of the data and the model, if not of the job's end."""
    before = old.condition(kind)
    if before is None or before.status != "True" or kind in _OF_THE_END:
        return None
    return before.status, Reason(before.reason), before.message


def _state(outcome: Progress | Success | Failure) -> str:
    match outcome:
        case Success():
            return Reason.SUCCEEDED.value
        case Failure():
            return Reason.FAILED.value
        case Progress(stage=stage):
            return (stage.state if stage is not None else Reason.PENDING).value
        case _:
            assert_never(outcome)


def _times(seen: Observed, outcome: Success | Failure) -> dict[str, str]:
    began = seen.child.started if seen.child else outcome.at
    return {"completion_time": timestamp(outcome.at), "duration": in_words(outcome.at - began)}


def _found(job: TrainingJob, pod: Pod) -> dict[str, object]:
    """What the stages of a pod have found so far."""
    fetched, trained = pod.result(Stage.FETCH), pod.result(Stage.TRAIN)
    published = pod.result(Stage.PUBLISH)
    measured = published or trained
    metrics = measured.metrics if measured else {}
    found: dict[str, object] = {
        "metrics": {name: format(value, WRITTEN_DIGITS) for name, value in metrics.items()},
        "metric": _first(job, metrics),
    }
    if fetched is not None:
        found["lineage"] = Lineage(
            inputs=dict(fetched.inputs),
            image=pod.image,
            seed=published.seed if published else job.spec.reproducibility.seed,
            packages=published.packages if published else "",
            triggered_by=job.metadata.annotations.get(ANNOTATION_TRIGGERED_BY, ""),
        )
    return found


def _first(job: TrainingJob, metrics: Mapping[str, float]) -> str | None:
    """The metric that the first gate looks at, or else the first one measured."""
    gated = [m.name for gate in job.spec.gates for m in gate.metrics if m.name in metrics]
    name = next(iter((*gated, *metrics)), None)
    return f"{name} {_short(metrics[name])}" if name is not None else None


def _short(value: float) -> str:
    """A metric for people.

    >>> _short(0.95321), _short(12345.6)
    ('0.953', '1.23e+04')
    """
    return f"{value:.3f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.3g}"


def _output(outcome: Success) -> PublishedOutput:
    result = outcome.result
    return PublishedOutput(
        uri=outcome.uri,
        digest=outcome.digest,
        profile=result.profile or "",
        format=result.format or "Skops",
    )


def _conditions(job: TrainingJob, told: Mapping[ConditionType, Told]) -> Iterator[Condition]:
    order = (
        ConditionType.READY,
        ConditionType.ACCEPTED,
        ConditionType.DATA_VALIDATED,
        ConditionType.TRAINED,
        ConditionType.GATES_PASSED,
        ConditionType.PUBLISHED,
    )
    for kind in order:
        state, reason, message = told[kind]
        yield Condition(
            type=kind.value,
            status=state,
            reason=reason.value,
            message=message,
            observed_generation=job.metadata.generation,
        )


def _ready(outcome: Progress | Success | Failure) -> Told:
    match outcome:
        case Success(result=result, uri=uri, digest=digest):
            told = f"Published {digest} to {uri}: {_measured(result.metrics)}."
            return "True", Reason.SUCCEEDED, told
        case Failure(reason=reason, message=message):
            return "False", reason, message
        case Progress(stage=stage, obstacle=obstacle):
            reason = stage.state if stage is not None else Reason.PENDING
            if obstacle:
                return "False", reason, obstacle
            return "Unknown", reason, _doing(stage)
        case _:
            assert_never(outcome)


def _doing(stage: Stage | None) -> str:
    match stage:
        case None:
            return "The job's pod is about to start."
        case Stage.FETCH:
            return "The inputs are being fetched, each verified by its digest."
        case Stage.VALIDATE:
            return "The data is being checked against its rules."
        case Stage.TRAIN:
            return "The model is being trained and measured on held-out rows."
        case Stage.PUBLISH:
            return "The model is being uploaded."


def _stages(seen: Observed, outcome: Progress | Success | Failure) -> dict[ConditionType, Told]:
    """How far the job has come: what has ended well, what has failed, what is not known yet."""
    done = dict(_achieved(seen.job, outcome.pod)) if outcome.pod is not None else {}
    told = {kind: done.get(kind) or _open(outcome) for kind in _KINDS}
    told[ConditionType.ACCEPTED] = "True", Reason.VALID, "The spec can be carried out."
    if seen.refusal is not None:
        told[ConditionType.ACCEPTED] = "False", seen.refusal.reason, seen.refusal.message
    if isinstance(outcome, Failure):
        told[ConditionType.PUBLISHED] = "False", outcome.reason, "No model was published."
        for kind in _failing(outcome):
            told[kind] = "False", outcome.reason, outcome.message
    return told


_KINDS = (
    ConditionType.DATA_VALIDATED,
    ConditionType.TRAINED,
    ConditionType.GATES_PASSED,
    ConditionType.PUBLISHED,
)

_OF_THE_END = (ConditionType.READY, ConditionType.ACCEPTED, ConditionType.PUBLISHED)


def _open(outcome: Progress | Success | Failure) -> Told:
    if isinstance(outcome, Failure):
        return "Unknown", Reason.FAILED, "The job ended before this was known."
    return "Unknown", Reason.PENDING, "The job has not come this far yet."


def _failing(outcome: Failure) -> Iterator[ConditionType]:
    """Which conditions a failure makes false."""
    if outcome.reason in SPEC_REASONS:
        yield ConditionType.ACCEPTED
    match outcome.stage:
        case Stage.FETCH | Stage.VALIDATE:
            yield ConditionType.DATA_VALIDATED
        case Stage.TRAIN if outcome.reason in GATE_REASONS:
            yield ConditionType.GATES_PASSED
        case Stage.TRAIN:
            yield ConditionType.TRAINED
        case Stage.PUBLISH:
            yield ConditionType.PUBLISHED
        case None:
            return


def _achieved(job: TrainingJob, pod: Pod) -> Iterator[tuple[ConditionType, Told]]:
    """What the stages that ended well have shown."""
    validated, trained = pod.result(Stage.VALIDATE), pod.result(Stage.TRAIN)
    if validated is not None:
        yield ConditionType.DATA_VALIDATED, _data(job, validated.rows, validated.warnings)
    failure = pod.failure()
    gated = failure is not None and failure[1].summary is not None and failure[1].summary.reason
    if trained is not None:
        yield ConditionType.TRAINED, _good(f"Trained and measured: {_measured(trained.metrics)}.")
        yield ConditionType.GATES_PASSED, _good(_gates(job, trained.metrics))
    elif gated in GATE_REASONS:
        yield ConditionType.TRAINED, _good("The model was trained and measured.")
    if pod.result(Stage.PUBLISH) is not None:
        yield ConditionType.PUBLISHED, _good("The model is in the object store.")


def _good(message: str) -> Told:
    return "True", Reason.SUCCEEDED, message


def _data(job: TrainingJob, rows: int, warnings: tuple[str, ...]) -> Told:
    rules = len(job.spec.data.validation.rules)
    if warnings:
        broken = "; ".join(warnings)
        told = f"{rows} rows; spec.data.validation.onFailure is Warn, so the job went on: {broken}"
        return "False", Reason.DATA_INVALID, told
    return _good(f"{rows} rows keep all {rules} rules." if rules else f"{rows} rows, no rules.")


def _gates(job: TrainingJob, metrics: Mapping[str, float]) -> str:
    gated = {m.name for gate in job.spec.gates for m in gate.metrics}
    if not gated:
        return "The job has no gates."
    held = {name: value for name, value in metrics.items() if name in gated}
    return f"Within the bounds of {', '.join(g.name for g in job.spec.gates)}: {_measured(held)}."


def _measured(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in metrics.items())
