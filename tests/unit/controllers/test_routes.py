from typing import Any

import pytest

from tidegate.api.meta import ObjectKey
from tidegate.api.names import (
    API_VERSION,
    DRIFT_POLICY,
    LABEL_MODEL,
    LABEL_POLICY,
    MODEL,
    TRAINING_JOB,
)
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import (
    DEPLOYMENTS,
    DRIFT_POLICIES,
    ENDPOINT_SLICES,
    JOBS,
    MODELS,
    SERVICES,
    TRAINING_JOBS,
    Resource,
)
from tidegate.controllers.routes import wakes
from tidegate.controllers.store import Store

CHURN = ObjectKey(MODEL, "growth", "churn")
EGGS = ObjectKey(MODEL, "growth", "eggs")
SPAM = ObjectKey(MODEL, "growth", "spam")
POLICY = ObjectKey(DRIFT_POLICY, "growth", "tabular")
OTHER_POLICY = ObjectKey(DRIFT_POLICY, "growth", "images")
LAST_POLICY = ObjectKey(DRIFT_POLICY, "growth", "zebra")
JOB = ObjectKey(TRAINING_JOB, "growth", "churn-1")


def meta(name: str, owner: ObjectKey | None = None, **labels: str) -> Manifest:
    found: dict[str, Any] = {"name": name, "namespace": "growth", "labels": labels}
    if owner is not None:
        found["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": owner.kind,
                "name": owner.name,
                "uid": "1",
                "controller": True,
            }
        ]
    return found


def model(name: str, policy: str | None = None, **labels: str) -> Manifest:
    monitoring = {"driftPolicyRef": {"name": policy}} if policy else {}
    artifact = {"uri": "s3://models/churn/", "digest": f"sha256:{'0' * 64}"}
    return {
        "metadata": meta(name, None, **labels),
        "spec": {"artifact": artifact, "monitoring": monitoring},
    }


def policy(name: str, **labels: str) -> Manifest:
    signal = {"name": "inputs", "type": "DataDrift", "breach": "0.25"}
    spec: dict[str, Any] = {"signals": [signal]}
    if labels:
        spec["selector"] = {"matchLabels": labels}
    return {"metadata": meta(name), "spec": spec}


def watching(name: str, model: str, **labels: str) -> Manifest:
    """A policy whose status still names a Model."""
    status = {"models": [{"name": model, "level": "Ok"}]}
    return {**policy(name, **labels), "status": status}


def job(**labels: str) -> Manifest:
    inputs = [{"name": "train", "uri": "s3://data/train.csv"}]
    return {
        "metadata": {**meta("churn-1"), "labels": labels},
        "spec": {
            "modelRef": {"name": "churn"},
            "data": {"inputs": inputs, "target": "churned"},
            "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}},
            "output": {"uri": "s3://models/churn/"},
        },
    }


def store() -> Store:
    made = Store()
    for number, (resource, obj) in enumerate([
        (MODELS, model("churn", policy="tabular", tier="prod")),
        (MODELS, model("spam", tier="prod")),
        (DRIFT_POLICIES, policy("tabular")),
        (DRIFT_POLICIES, policy("images", tier="prod")),
        (DRIFT_POLICIES, watching("zebra", "spam", tier="prod")),
    ], start=1):  # fmt: skip
        obj["metadata"] |= {"uid": str(number), "resourceVersion": str(number)}
        made.put(resource, obj)
    return made


@pytest.mark.parametrize(
    ("resource", "obj", "want"),
    [
        pytest.param(DEPLOYMENTS, {"metadata": meta("x", CHURN)}, {CHURN}, id="a child"),
        pytest.param(JOBS, {"metadata": meta("x", JOB)}, {JOB}, id="a job's child"),
        pytest.param(SERVICES, {"metadata": meta("x")}, set(), id="nobody's"),
        pytest.param(
            ENDPOINT_SLICES,
            {"metadata": meta("x") | {"labels": {LABEL_MODEL: "churn"}}},
            {CHURN},
            id="a slice, by its label",
        ),
        pytest.param(
            MODELS, model("churn", policy="tabular", tier="prod"), {CHURN, POLICY},
            id="the policy that a Model names, not the one that selects it",
        ),
        pytest.param(
            MODELS, model("spam", tier="prod"), {SPAM, OTHER_POLICY, LAST_POLICY},
            id="the policies that select a Model",
        ),
        pytest.param(
            MODELS, model("spam"), {SPAM, LAST_POLICY}, id="a policy that has watched a Model"
        ),
        pytest.param(MODELS, model("eggs"), {EGGS}, id="a Model that nobody watches"),
        pytest.param(DRIFT_POLICIES, policy("tabular"), {POLICY, CHURN}, id="who names it"),
        pytest.param(
            DRIFT_POLICIES, policy("images", tier="prod"), {OTHER_POLICY, SPAM, LAST_POLICY},
            id="whom it selects, and who else does",
        ),
        pytest.param(
            DRIFT_POLICIES, watching("text", "spam"),
            {ObjectKey(DRIFT_POLICY, "growth", "text"), SPAM, OTHER_POLICY, LAST_POLICY},
            id="whom it has watched, and who does now",
        ),
        pytest.param(
            TRAINING_JOBS, job(**{LABEL_POLICY: "tabular"}), {JOB, CHURN, POLICY},
            id="the Model and the policy that wait for a TrainingJob",
        ),
        pytest.param(
            MODELS, {"metadata": meta("churn"), "spec": {}}, {CHURN}, id="one that can't be read"
        ),
    ],
)  # fmt: skip
def test_wakes(resource: Resource, obj: Manifest, want: set[ObjectKey]) -> None:
    assert set(wakes(resource, obj, store())) == want
