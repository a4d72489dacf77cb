"""What a TrainingJob makes of trouble: it waits where that helps, and says what to do elsewhere."""

from functools import partial
from typing import Any

import pytest
from hack.demo.world import tables
from tests.e2e.objects import TREE, training, training_job
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import trained
from tests.e2e.store import Store
from tests.integration.apiserver import Manifest

from tidegate.api.v1alpha1.training_job import TrainingJob

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

WRONG_DIGEST = "sha256:" + "0" * 64


def test_outage_of_the_object_store_is_waited_for(outage: Store) -> None:
    place = outage.place
    with outage.outage():
        place.apply(training_job("patient", training("first", TREE)))
        told = eventually(lambda: _tries_again(place), "a word about the outage", 60)
        assert "trying again" in told
        assert place.job("patient").status.state == "Fetching"
    outage.put({"first": tables.stored()["first.csv"]})

    artifact = trained(place, "patient")

    assert artifact["uri"] == "s3://e2e/models/patient/"
    assert len(outage.keys("models/patient/")) == 4


def _tries_again(place: Place) -> str | None:
    pods = place.all("pods", "tidegate.dev/training-job=patient")
    logs = (place.log(p["metadata"]["name"], "fetch", lines=5) for p in pods)
    return next((log for log in logs if "trying again" in log), None)


def with_data(**more: Any) -> Manifest:
    spec = training("first", TREE)
    return spec | {"data": spec["data"] | more}


def with_input(**more: Any) -> Manifest:
    (only,) = training("first", TREE)["data"]["inputs"]
    return with_data(inputs=[only | more])


MISTAKES = {
    "bad-estimator": (
        training("first", {"estimator": "sklearn.tree.DecisionBush"}),
        "Trained",
        "EstimatorUnknown",
        ("sklearn.tree.DecisionBush",),
    ),
    "bad-parameter": (
        training("first", TREE | {"parameters": {"max_dept": 3}}),
        "Trained",
        "ParameterInvalid",
        ("max_dept",),
    ),
    "missing-column": (with_data(target="benign"), "DataValidated", "ColumnMissing", ("benign",)),
    "digest-mismatch": (
        with_input(digest=WRONG_DIGEST),
        "DataValidated",
        "DigestMismatch",
        ("spec.data.inputs", WRONG_DIGEST),
    ),
}


def test_mistakes_are_named_and_publish_nothing(delivery: Place, store: Store) -> None:
    for name, (spec, *_) in MISTAKES.items():
        delivery.apply(training_job(name, spec))

    for name, (_, condition, reason, words) in MISTAKES.items():
        job = eventually(partial(_failed, delivery, name), f"TrainingJob {name} to fail", 90)
        ready = job.status.condition("Ready")
        told = job.status.condition(condition)
        assert ready is not None
        assert told is not None, job.status.conditions
        assert (told.status, told.reason, ready.reason) == ("False", reason, reason)
        assert all(word in told.message for word in words), told.message
        assert job.status.output is None
        assert store.keys(f"models/{name}/") == []


def _failed(place: Place, name: str) -> TrainingJob | None:
    job = place.job(name)
    return job if job.status.state == "Failed" else None
