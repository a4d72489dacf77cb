"""TrainingJobs, Jobs and pods as the API server shows them, for the tests of each stage."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tidegate.api.meta import Condition, ObjectMeta, timestamp
from tidegate.api.names import EXIT_PERMANENT, Reason
from tidegate.api.v1alpha1.training_job import TrainingJob, TrainingJobSpec, TrainingJobStatus
from tidegate.controllers.training_job.state import (
    Child,
    Container,
    Ended,
    GivenUp,
    Observed,
    Pod,
    Running,
    Stage,
    Summary,
    Waiting,
)

Manifest = dict[str, Any]

STARTED = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ENDED = STARTED + timedelta(seconds=192)
NOW = STARTED + timedelta(seconds=200)
DIGEST = f"sha256:{'d' * 64}"
PROFILE = f"sha256:{'e' * 64}"
INPUT = f"sha256:{'a' * 64}"
METRICS = {"accuracy": 0.95321, "roc_auc": 0.9912}
FOLDER = "s3://models/churn/churn-1/"

SPEC: Manifest = {
    "data": {
        "inputs": [{"name": "train", "uri": "s3://features/churn/train.csv"}],
        "target": "churned",
        "credentialsRef": {"name": "s3-read"},
    },
    "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}},
    "output": {"uri": "s3://models/churn/"},
}
GATES = [{"name": "floor", "metrics": [{"name": "roc_auc", "min": "0.9"}]}]


def training_job(
    *,
    status: TrainingJobStatus | None = None,
    annotations: Mapping[str, str] | None = None,
    generation: int = 1,
    **spec: Any,
) -> TrainingJob:
    return TrainingJob(
        metadata=ObjectMeta(
            name="churn-1",
            namespace="growth",
            uid="uid-tj",
            generation=generation,
            annotations=dict(annotations or {}),
        ),
        spec=TrainingJobSpec.model_validate({**SPEC, **spec}),
        status=status or TrainingJobStatus(),
    )


def finished(state: str = "Succeeded", *, generation: int = 1) -> TrainingJobStatus:
    """The status of a job that ended earlier."""
    good = state == "Succeeded"
    return TrainingJobStatus(
        observed_generation=generation,
        state=state,
        completion_time=timestamp(ENDED),
        conditions=(
            condition("Ready", "True" if good else "False", Reason(state), generation=generation),
        ),
    )


def condition(
    kind: str, state: str, reason: Reason, message: str = "", *, generation: int = 1
) -> Condition:
    return Condition.model_validate(
        {
            "type": kind,
            "status": state,
            "reason": reason.value,
            "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": timestamp(STARTED),
        }
    )


def lines() -> dict[Stage, Manifest]:
    """What the stages of a run without a fault leave behind."""
    published = {
        "uri": FOLDER,
        "digest": DIGEST,
        "profile": PROFILE,
        "format": "Skops",
        "metrics": METRICS,
        "inputs": {"train": INPUT},
        "seed": 42,
        "packages": "sha256:cc",
    }
    told: dict[Stage, Manifest] = {
        Stage.FETCH: {"inputs": {"train": INPUT}},
        Stage.VALIDATE: {"rows": 569, "warnings": []},
        Stage.TRAIN: {"metrics": METRICS},
        Stage.PUBLISH: published,
    }
    return {stage: {"stage": stage.value, "ok": True, **line} for stage, line in told.items()}


def well(stage: Stage, **changes: Any) -> Ended:
    line = {k: v for k, v in {**lines()[stage], **changes}.items() if v is not None}
    return Ended(0, "Completed", Summary.model_validate(line))


def badly(
    stage: Stage,
    reason: str,
    message: str = "It went wrong.",
    *,
    field: str = "",
    exit_code: int = EXIT_PERMANENT,
) -> Ended:
    line = {"stage": stage, "ok": False, "reason": reason, "field": field, "message": message}
    return Ended(exit_code, "Error", Summary.model_validate(line))


def pod(
    at: Stage | None = None, container: Container | None = None, name: str = "p1", **facts: Any
) -> Pod:
    """A pod whose stages before `at` went well, and that stage is as given; all, without `at`."""
    containers: dict[Stage, Container] = {}
    for stage in Stage:
        if stage is at:
            containers[stage] = container or Running()
            break
        containers[stage] = well(stage)
    return Pod(name, containers, image="runtime@sha256:ff", **facts)


def waiting(reason: str = "", message: str = "", **facts: Any) -> Pod:
    return pod(Stage.FETCH, Waiting(reason, message), **facts)


def child(**facts: Any) -> Child:
    return Child(name="churn-1", started=STARTED, **facts)


def running(*pods: Pod, failures: int = 0, **spec: Any) -> Observed:
    return Observed(training_job(**spec), child(failures=failures), pods)


def complete(*pods: Pod, **spec: Any) -> Observed:
    return Observed(training_job(**spec), child(succeeded_at=ENDED), pods)


def given_up(
    *pods: Pod, reason: str = "PodFailurePolicy", failures: int = 1, **spec: Any
) -> Observed:
    ended = GivenUp(reason, "Kubernetes says so.", ENDED)
    return Observed(training_job(**spec), child(given_up=ended, failures=failures), pods)


# As the API server shows them


def job_manifest(**status: Any) -> Manifest:
    return {
        "kind": "Job",
        "metadata": {
            "name": "churn-1",
            "namespace": "growth",
            "uid": "uid-job",
            "creationTimestamp": timestamp(STARTED),
        },
        "status": status,
    }


def job_condition(kind: str, reason: str = "", state: str = "True") -> Manifest:
    return {
        "type": kind,
        "status": state,
        "reason": reason,
        "message": "Kubernetes says so.",
        "lastTransitionTime": timestamp(ENDED),
    }


def pod_manifest(
    *containers: Manifest, name: str = "churn-1-abcde", owner: str = "uid-job", **status: Any
) -> Manifest:
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "growth",
            "creationTimestamp": timestamp(STARTED),
            "labels": {"tidegate.dev/training-job": "churn-1"},
            "ownerReferences": [{"kind": "Job", "name": "x", "uid": owner, "controller": True}],
        },
        "status": {
            "initContainerStatuses": [c for c in containers if c["name"] != "publish"],
            "containerStatuses": [c for c in containers if c["name"] == "publish"],
            **status,
        },
    }


def ended_container(stage: Stage, exit_code: int = 0, message: str | None = None) -> Manifest:
    text = json.dumps(lines()[stage]) if message is None else message
    terminated = {"exitCode": exit_code, "reason": "Completed", "message": text}
    return {
        "name": stage.value,
        "imageID": f"sha256:{stage.value}",
        "state": {"terminated": terminated},
    }
