"""The objects that a plan asks for."""

import json
from typing import Any

from tidegate.api import names
from tidegate.api.meta import LocalRef, timestamp
from tidegate.api.v1alpha1.drift_policy import DriftPolicy, FeatureFilter
from tidegate.controllers.drift_policy.looks import NewLook
from tidegate.controllers.drift_policy.plan import NewHours, NewRun
from tidegate.controllers.drift_policy.state import HOURS_FILE, hours_name
from tidegate.controllers.manifests import RESTRICTED, RESTRICTED_POD, child

Manifest = dict[str, Any]

LOOK_VARIABLE = "TIDEGATE_LOOK"
STORE_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
)
LOOK_SECONDS = 1800  # a look that takes longer has a sick node
LOOK_KEPT_SECONDS = 3600  # an operator that is away for longer looks again
LOOK_RESOURCES: Manifest = {
    "requests": {"cpu": "250m", "memory": "512Mi"},
    "limits": {"memory": "2Gi"},
}


def training_job(policy: DriftPolicy, run: NewRun) -> Manifest:
    """A TrainingJob from the Model's template; it belongs to the Model and goes with it."""
    model = run.model
    template = model.spec.training.template.spec.to_api() if model.spec.training else {}
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_MODEL: names.child_name(model.metadata.name),
        names.LABEL_POLICY: names.child_name(policy.metadata.name),
    }
    manifest = child(
        names.MODEL,
        model.metadata,
        api_version=names.API_VERSION,
        kind=names.TRAINING_JOB,
        name=run.name,
        labels=labels,
    )
    told = f"DriftPolicy {policy.metadata.name}: {run.reason}"
    manifest["metadata"]["annotations"] = {names.ANNOTATION_TRIGGERED_BY: told}
    return {**manifest, "spec": {**template, "modelRef": {"name": model.metadata.name}}}


def hours_config(hours: NewHours) -> Manifest:
    """What was learned of a Model's hours; it belongs to the Model, and outlives the policy."""
    meta = hours.model.metadata
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_MODEL: names.child_name(meta.name),
    }
    manifest = child(
        names.MODEL,
        meta,
        api_version="v1",
        kind="ConfigMap",
        name=hours_name(meta.name),
        labels=labels,
    )
    return {**manifest, "data": {HOURS_FILE: json.dumps(hours.learned.to_json())}}


def look_job(policy: DriftPolicy, look: NewLook, image: str, pull_policy: str) -> Manifest:
    """The Job that compares logged rows with reference rows; it belongs to the policy."""
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_POLICY: names.child_name(policy.metadata.name),
    }
    head = child(
        names.DRIFT_POLICY,
        policy.metadata,
        api_version="batch/v1",
        kind="Job",
        name=look.name,
        labels=labels,
    )
    asked = {
        "model": look.model.metadata.name,
        "signal": look.signal.name,
        "revision": look.revision,
        "through": timestamp(look.through),
    }
    head["metadata"]["annotations"] = {names.ANNOTATION_LOOK: json.dumps(asked)}
    permanent = {"operator": "In", "values": [names.EXIT_PERMANENT]}
    return {
        **head,
        "spec": {
            "backoffLimit": 1,
            "activeDeadlineSeconds": LOOK_SECONDS,
            "ttlSecondsAfterFinished": LOOK_KEPT_SECONDS,
            "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": permanent}]},
            "template": {
                "metadata": {"labels": labels},
                "spec": _look_pod(policy, look, image, pull_policy),
            },
        },
    }


def _look_pod(policy: DriftPolicy, look: NewLook, image: str, pull_policy: str) -> Manifest:
    model = look.model.spec.artifact.credentials_ref
    log = look.signal.credentials_ref or look.log.credentials_ref
    every: Manifest = {
        "image": image,
        "imagePullPolicy": pull_policy,
        "resources": LOOK_RESOURCES,
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": "model", "mountPath": names.MODEL_DIR},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # a volume of the pod's own
        ],
    }
    fetch = [
        "fetch-model",
        f"--uri={look.published.uri}",
        f"--digest={look.published.digest}",
        f"--out={names.MODEL_DIR}",
    ]
    question = {"name": LOOK_VARIABLE, "value": _question(policy, look)}
    return {
        **RESTRICTED_POD,
        "restartPolicy": "Never",
        "initContainers": [{**every, "name": "fetch", "args": fetch, "env": _keys(model)}],
        "containers": [{**every, "name": "look", "args": ["look"], "env": [question, *_keys(log)]}],
        "volumes": [{"name": "model", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
    }


def _keys(secret: LocalRef | None) -> list[Manifest]:
    """What a store needs of a Secret, such as no salt; the program says what is missing."""
    if secret is None:
        return []
    return [
        {
            "name": key,
            "valueFrom": {"secretKeyRef": {"name": secret.name, "key": key, "optional": True}},
        }
        for key in STORE_KEYS
    ]


def _question(policy: DriftPolicy, look: NewLook) -> str:
    """What the program is asked; pseudonyms are in no training row, and can't be compared."""
    model, chosen = look.model.metadata.name, look.signal.features or FeatureFilter()
    question = {
        "folder": f"{look.log.uri}model={model}/revision={look.revision}/",
        "after": timestamp(look.after),
        "through": timestamp(look.through),
        "minSamples": policy.spec.window.min_samples,
        "include": chosen.include,
        "exclude": [*chosen.exclude, *look.log.hashed],
    }
    # The kubelet puts variables in the place of $(NAME), and makes one dollar of two.
    return json.dumps(question).replace("$", "$$")
