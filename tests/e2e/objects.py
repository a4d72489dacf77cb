"""The objects that the tests create, small enough for a node with two cores."""

from typing import Any

from tests.integration.apiserver import Manifest

from tidegate.api.v1alpha1.training_job import PublishedOutput

BUCKET = "e2e"
CREDENTIALS = {"name": "s3"}
TREE: Manifest = {
    "estimator": "sklearn.tree.DecisionTreeClassifier",
    "parameters": {"max_depth": 3},
}
LOGISTIC: Manifest = {"estimator": "sklearn.linear_model.LogisticRegression"}
ERRORS: Manifest = {
    "name": "errors",
    "source": "ErrorRate",
    "maxAbsoluteIncrease": "0.02",
    "onBreach": "Rollback",
}
ACCURACY: Manifest = {
    "name": "accuracy",
    "source": "LabelledAccuracy",
    "maxAbsoluteDrop": "0.03",
    "onBreach": "Rollback",
}


def table(key: str) -> str:
    return f"s3://{BUCKET}/tables/{key}.csv"


def training(key: str, estimator: Manifest, **more: Any) -> Manifest:
    """What a TrainingJob does, as a Model's template holds it too."""
    return {
        "data": {
            "inputs": [{"name": "train", "uri": table(key)}],
            "target": "malignant",
            "credentialsRef": CREDENTIALS,
        },
        "trainer": {"sklearn": estimator},
        "output": {"uri": f"s3://{BUCKET}/models/", "referenceRows": 300},
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
    } | more


def training_job(name: str, spec: Manifest, model: str = "") -> Manifest:
    ref = {"modelRef": {"name": model}} if model else {}
    return _object("TrainingJob", name, ref | spec)


def canary(*steps: Manifest, metrics: tuple[Manifest, ...], **analysis: Any) -> Manifest:
    return {
        "strategy": {"canary": {"steps": list(steps)}},
        "analysis": {"minSamples": 100, "metrics": list(metrics)} | analysis,
        "keepPreviousWarm": "5s",
    }


def model(name: str, artifact: Manifest, delivery: Manifest, **more: Any) -> Manifest:
    """A Model whose labels must come within seconds, so that the tests need not wait longer."""
    spec = {
        "artifact": artifact | {"credentialsRef": CREDENTIALS},
        "serving": {
            "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
            "sidecar": {"resources": {"requests": {"cpu": "25m", "memory": "64Mi"}}},
        },
        "delivery": delivery,
    }
    monitoring = {"feedback": {"horizon": "3s"}} | more.pop("monitoring", {})
    return _object("Model", name, spec | {"monitoring": monitoring} | more)


def published(output: PublishedOutput) -> Manifest:
    """The artifact of a Model that serves what a TrainingJob has published."""
    return {"uri": output.uri, "digest": output.digest, "format": output.format}


def drift_policy(name: str, spec: Manifest) -> Manifest:
    return _object("DriftPolicy", name, spec)


def _object(kind: str, name: str, spec: Manifest) -> Manifest:
    version = "tidegate.dev/v1alpha1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
