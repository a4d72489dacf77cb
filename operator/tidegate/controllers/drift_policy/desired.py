"""The TrainingJobs that a plan asks for."""

import json
from typing import Any

from tidegate.api import names
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.controllers.drift_policy.plan import NewHours, NewRun
from tidegate.controllers.drift_policy.state import HOURS_FILE, hours_name
from tidegate.controllers.manifests import child

Manifest = dict[str, Any]


def training_job(policy: DriftPolicy, run: NewRun) -> Manifest:
    """A TrainingJob from the Model's template; it belongs to the Model and goes with it."""
    model = run.model
    template = model.spec.training.template.spec.to_api() if model.spec.training else {}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.TRAINING_JOB,
        "metadata": {
            "name": run.name,
            "namespace": model.metadata.namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_MODEL: names.child_name(model.metadata.name),
                names.LABEL_POLICY: names.child_name(policy.metadata.name),
            },
            "annotations": {
                names.ANNOTATION_TRIGGERED_BY: f"DriftPolicy {policy.metadata.name}: {run.reason}"
            },
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.MODEL,
                    "name": model.metadata.name,
                    "uid": model.metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {**template, "modelRef": {"name": model.metadata.name}},
    }


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
