"""Every CEL rule on a real API server: an object that keeps it, and one that breaks it."""

import pytest
from tests.integration.apiserver import Answer, ApiServer, Manifest
from tests.integration.crds.rules import PAIRS, Edits, Pair, rules_of

pytestmark = pytest.mark.apiserver

EVERY_RULE = pytest.mark.parametrize(
    ("pair", "message"),
    [
        pytest.param(pair, message, id=f"{kind}: {message}")
        for kind, pairs in PAIRS.items()
        for message, pair in pairs.items()
    ],
)


def answer(apiserver: ApiServer, pair: Pair, edits: Edits, namespace: str) -> Answer:
    if not pair.is_update:
        return apiserver.create(pair.manifest(edits, namespace), dry_run=True)
    before = apiserver.create(pair.manifest({}, namespace))
    assert before.accepted, before.refusals
    version = {"metadata.resourceVersion": before.body["metadata"]["resourceVersion"]}
    return apiserver.replace(pair.manifest(edits | version, namespace), dry_run=True)


@EVERY_RULE
def test_object_that_keeps_the_rule_is_accepted(
    pair: Pair, message: str, apiserver: ApiServer, crds: object, namespace: str
) -> None:
    got = answer(apiserver, pair, pair.accepted, namespace)
    assert got.accepted, got.refusals


@EVERY_RULE
def test_object_that_breaks_the_rule_is_refused_with_its_message(
    pair: Pair, message: str, apiserver: ApiServer, crds: object, namespace: str
) -> None:
    got = answer(apiserver, pair, pair.refused, namespace)
    assert got.code == 422
    assert any(message in refusal for refusal in got.refusals), got.refusals


@pytest.mark.parametrize("kind", PAIRS)
def test_every_rule_has_such_a_pair(kind: str, crds: dict[str, Manifest]) -> None:
    assert set(rules_of(crds[kind])) == set(PAIRS[kind])


@pytest.mark.parametrize(
    "edits",
    [
        pytest.param({"spec.modelRef": {"name": "other"}}, id="another Model"),
        pytest.param({"spec.gates": []}, id="without its gates"),
        pytest.param({"spec.crossValidation.folds": 3}, id="other folds"),
        pytest.param({"spec.retries": 3}, id="more retries"),
        pytest.param({"spec.deadline": "5h"}, id="a later deadline"),
        pytest.param({"spec.resources.requests.cpu": "8"}, id="more resources"),
        pytest.param({"spec.data.target": "age"}, id="another target"),
    ],
)
def test_training_job_cannot_be_changed(
    edits: Edits, apiserver: ApiServer, crds: object, namespace: str
) -> None:
    got = answer(apiserver, Pair("trainingjob-full", edits, is_update=True), edits, namespace)
    assert got.code == 422
    assert "create a new TrainingJob" in str(got.refusals)


def test_a_feature_is_named_once(
    apiserver: ApiServer, crds: dict[str, Manifest], namespace: str
) -> None:
    twice = Pair("trainingjob-full", {"spec.data.features": ["tenure", "plan", "tenure"]})
    got = answer(apiserver, twice, twice.refused, namespace)
    assert got.code == 422
    assert got.refusals == ['Duplicate value: "tenure"']
