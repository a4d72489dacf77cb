"""The Job of a TrainingJob: a complete manifest, made from values alone."""

import json
from typing import Any

from tidegate.api import names
from tidegate.api.meta import LocalRef, duration
from tidegate.api.v1alpha1.training_job import TrainingJob
from tidegate.controllers.manifests import RESTRICTED, RESTRICTED_POD, Manifest, child
from tidegate.controllers.training_job.state import Stage, job_name

VARIABLE = "TIDEGATE_JOB"
WORK_DIR = "/work"
DEFAULT_RESOURCES: Manifest = {"requests": {"cpu": "250m", "memory": "512Mi"}}
# Then the pod ends and another tries: only pods that have ended say what hindered them.
FETCH_PATIENCE = ("--patience=20s",)
GRACE_SECONDS = 5  # a stage keeps nothing that would have to be put away


def desired(job: TrainingJob, image: str, pull_policy: str) -> Manifest:
    """The Job; it is created once and never changed, as its template can't be."""
    head = child(
        names.TRAINING_JOB,
        job.metadata,
        api_version="batch/v1",
        kind="Job",
        name=job_name(job),
        labels=_labels(job),
    )
    seconds = int(duration(job.spec.deadline).total_seconds())
    return {
        **head,
        "spec": {
            "backoffLimit": job.spec.retries,
            "activeDeadlineSeconds": max(seconds, 1),
            "podFailurePolicy": {"rules": _pod_failure_rules()},
            "template": {
                "metadata": {"labels": _labels(job)},
                "spec": _pod(job, image, pull_policy),
            },
        },
    }


def _labels(job: TrainingJob) -> dict[str, str]:
    return {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_TRAINING_JOB: job_name(job)}


def _pod_failure_rules() -> list[Manifest]:
    """The first rule that fits decides; what fits none counts as one of the tries."""
    permanent = {"operator": "In", "values": [names.EXIT_PERMANENT]}
    outage = {"operator": "In", "values": [names.EXIT_TRANSIENT]}
    disrupted = {"type": "DisruptionTarget", "status": "True"}
    return [
        {"action": "FailJob", "onExitCodes": permanent},
        # Nothing is lost by fetching again, so an outage is waited for until the deadline; a
        # stage that works for hours before it can publish has a bounded number of tries.
        {"action": "Ignore", "onExitCodes": {"containerName": Stage.FETCH.value, **outage}},
        # A drained node or a preemption is no fault of the job.
        {"action": "Ignore", "onPodConditions": [disrupted]},
    ]


def _pod(job: TrainingJob, image: str, pull_policy: str) -> Manifest:
    stages = [_container(job, stage, image, pull_policy) for stage in Stage]
    return {
        **RESTRICTED_POD,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "initContainers": stages[:-1],
        "containers": stages[-1:],
        "volumes": [{"name": "work", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
    }


def _container(job: TrainingJob, stage: Stage, image: str, pull_policy: str) -> Manifest:
    secret = _credentials(job, stage)
    given = job.spec.resources
    return {
        "name": stage.value,
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": ["job", stage.value, *(FETCH_PATIENCE if stage is Stage.FETCH else ())],
        "env": [{"name": VARIABLE, "value": _told(job)}],
        "envFrom": [{"secretRef": {"name": secret.name}}] if secret is not None else [],
        # The same for all: they run one after the other, so that a pod asks for what the largest
        # needs, and validate holds the same tables as train.
        "resources": given.to_api() if given.requests or given.limits else DEFAULT_RESOURCES,
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": "work", "mountPath": WORK_DIR},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # a volume of the pod's own
        ],
    }


def _credentials(job: TrainingJob, stage: Stage) -> LocalRef | None:
    """The Secret that a stage gets; those that run the user's choice of code get none."""
    read = job.spec.data.credentials_ref
    match stage:
        case Stage.FETCH:
            return read
        case Stage.PUBLISH:
            return job.spec.output.credentials_ref or read
        case Stage.VALIDATE | Stage.TRAIN:
            return None


def _told(job: TrainingJob) -> str:
    """The job as its programs read it."""
    meta = job.metadata
    facts: dict[str, Any] = {
        "name": meta.name,
        "namespace": meta.namespace,
        "uid": meta.uid,
        "spec": job.spec.to_api(),
        "triggeredBy": meta.annotations.get(names.ANNOTATION_TRIGGERED_BY, ""),
    }
    # The kubelet puts variables in the place of $(NAME), and makes one dollar of two.
    return json.dumps(facts, separators=(",", ":")).replace("$", "$$")
