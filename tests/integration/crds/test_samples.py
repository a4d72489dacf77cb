"""The samples on a real API server, and that pydantic and the server judge alike."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.integration.apiserver import ApiServer, Manifest
from tests.integration.crds.rules import rules_of
from tests.integration.crds.samples import ABSENT, SAMPLES, Path_, inside, replaced

from tidegate.api.meta import ApiModel
from tidegate.crdgen.crd import root_schema
from tidegate.crdgen.kinds import KINDS, Kind
from tidegate.crdgen.structural import Schema

pytestmark = pytest.mark.apiserver

BY_NAME = {kind.name: kind for kind in KINDS}
EVERY_SAMPLE = pytest.mark.parametrize("sample", SAMPLES)


def spec_of(manifest: Manifest) -> ApiModel:
    return BY_NAME[manifest["kind"]].spec.model_validate(manifest["spec"])


def placed(manifest: Manifest, namespace: str) -> Manifest:
    return replaced(manifest, {("metadata", "namespace"): namespace})


@EVERY_SAMPLE
def test_server_takes_the_sample_and_fills_in_what_pydantic_does(
    sample: str, apiserver: ApiServer, crds: object, namespace: str
) -> None:
    manifest = placed(SAMPLES[sample], namespace)
    answer = apiserver.create(manifest, dry_run=True)
    assert answer.accepted, answer.refusals
    assert spec_of(answer.body) == spec_of(manifest)


@EVERY_SAMPLE
def test_server_takes_what_pydantic_writes(
    sample: str, apiserver: ApiServer, crds: object, namespace: str
) -> None:
    manifest = placed(SAMPLES[sample], namespace)
    answer = apiserver.create(manifest | {"spec": spec_of(manifest).to_api()}, dry_run=True)
    assert answer.accepted, answer.refusals


def fields(schema: Schema, path: str = "") -> set[str]:
    found: set[str] = set()
    for name, child in schema.get("properties", {}).items():
        found |= {f"{path}.{name}"} | fields(child.get("items", child), f"{path}.{name}")
    return found


def given(value: Any, path: str = "") -> set[str]:
    if isinstance(value, list):
        return {name for item in value for name in given(item, path)}
    if not isinstance(value, dict):
        return set()
    below = {name for key, child in value.items() for name in given(child, f"{path}.{key}")}
    return below | {f"{path}.{key}" for key in value}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_samples_show_every_field(kind: Kind) -> None:
    shown: set[str] = set()
    for manifest in SAMPLES.values():
        shown |= given(manifest["spec"]) if manifest["kind"] == kind.name else set()
        if kind.name == "Model" and manifest["kind"] == "TrainingJob":
            shown |= given(manifest["spec"], ".training.template.spec")
    assert fields(root_schema(kind)["properties"]["spec"]) - shown == set()


# What a value is replaced by, to see whether pydantic and the server judge alike.
CHANGES: dict[str, Any] = {
    "absent": ABSENT,
    "list": ["x"],
    "odd text": "% %",
    "long text": "x" * 2000,
    "negative": -1,
    "huge": 10**9,
}


@EVERY_SAMPLE
@pytest.mark.parametrize("change", CHANGES)
def test_pydantic_and_server_refuse_the_same(
    sample: str, change: str, apiserver: ApiServer, crds: dict[str, Manifest], namespace: str
) -> None:
    manifest = placed(SAMPLES[sample], namespace)
    rules = set(rules_of(crds[manifest["kind"]]))
    disagreements: list[tuple[Path_, str, list[str]]] = []
    for path, _ in inside(manifest["spec"], ("spec",)):
        mutant = replaced(manifest, {path: CHANGES[change]})
        answer = apiserver.create(mutant, dry_run=True)
        # Rules are the server's alone: pydantic knows the types only.
        refused = [text for text in answer.refusals if not any(rule in text for rule in rules)]
        ours = refusal(mutant)
        if bool(ours) != (not answer.accepted and bool(refused)):
            disagreements.append((path, ours, answer.refusals))
    assert disagreements == []


def refusal(manifest: Manifest) -> str:
    try:
        BY_NAME[manifest["kind"]].spec.model_validate(manifest.get("spec"))
    except ValidationError as error:
        return str(error)
    return ""
