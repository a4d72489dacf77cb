"""What can't be trained or served is told with its reason, and harms nothing that runs.

The crash-looping candidate has its two minutes while the other tests do their work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hack.demo.world import tables
from tests.e2e.load import Load
from tests.e2e.objects import ERRORS, TREE, canary, model, training, training_job
from tests.e2e.operator import Operator
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import clients, decided, revision, served, trained
from tests.e2e.store import Store
from tests.integration.apiserver import Manifest

from tidegate.api.v1alpha1.training_job import TrainingJob

MODEL = "broken"
DELIVERY = canary({"setWeight": 50}, {"analysis": {}}, metrics=(ERRORS,)) | {
    "progressDeadline": "2m"  # a busy node takes most of a minute to start a pod
}
WRONG_DIGEST = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class Broken:
    """A Model that serves, and a candidate of it that can't."""

    stable: str
    candidate: str
    load: Load


@pytest.fixture(scope="module", autouse=True)
def broken(operator: Operator, store: Store, artifacts: dict[str, Manifest]) -> Iterator[Broken]:
    # The digest is right, so that the pod fetches it: only the server finds that it can't load it.
    bad = store.republished(artifacts["tree"], "broken", {"model.skops": b"no model at all"})
    good = model(MODEL, artifacts["tree"], DELIVERY)
    with served(store.place, good) as stable, clients(store.place, MODEL, rate=20) as load:
        store.place.apply(model(MODEL, bad, DELIVERY))
        yield Broken(stable, revision(MODEL, bad), load)


def test_outage_of_the_object_store_is_waited_for(outage: Store) -> None:
    place = outage.place
    outage.put({"first": tables.stored()["first.csv"]})
    with outage.outage():
        place.apply(training_job("patient", training("first", TREE)))
        told = eventually(lambda: _outage(place), "a word about the outage")
        assert "tries again" in told

    artifact = trained(place, "patient")

    assert artifact["uri"] == "s3://e2e/models/patient/"
    published = {key.rpartition("/")[2] for key in outage.keys("models/patient/")}
    assert published == {
        "metrics.json", "model.skops", "profile.json", "reference.parquet", "tidegate.json"
    }  # fmt: skip


def _outage(place: Place) -> str | None:
    ready = place.job("patient").status.condition("Ready")
    return ready.message if ready is not None and "s3." in ready.message else None


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
        job = eventually(partial(_failed, delivery, name), f"TrainingJob {name} to fail")
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


def test_crash_looping_candidate_never_gets_weight(delivery: Place, broken: Broken) -> None:
    taken = decided(delivery, MODEL, "RollBack", broken.candidate)
    status = delivery.model(MODEL).status

    assert taken.reason == "CandidateNotReady"
    assert "model.skops" in taken.message, "the message says why"
    rejected = [(r.revision, r.reason) for r in status.rejected]
    assert rejected == [(broken.candidate, "CandidateNotReady")]
    about_it = [d for d in status.decisions if d.revision == broken.candidate]
    assert [(d.action, d.to_weight) for d in about_it] == [("RollBack", 0)]
    assert status.stable is not None
    assert (status.stable.revision, status.stable.weight) == (broken.stable, 100)
    broken.load.stop()
    assert len(broken.load.answers) > 100
    assert broken.load.failures == []
