from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml

from tidegate.api.meta import ApiModel
from tidegate.crdgen.crd import MAX_BYTES, chart_template, crd, crd_yaml, root_schema
from tidegate.crdgen.kinds import KINDS, Kind
from tidegate.crdgen.structural import NotStructuralError, Schema

EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def nodes(
    schema: Schema, path: str = "", *, listed: bool = False
) -> Iterator[tuple[str, Schema, bool]]:
    """Every node below a schema: its path, itself, and whether it is inside a list."""
    yield path, schema, listed
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}", listed=listed)
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]", listed=True)


@EVERY_KIND
def test_names_follow_the_kind(kind: Kind) -> None:
    names = crd(kind)["spec"]["names"]
    assert crd(kind)["metadata"]["name"] == f"{names['plural']}.tidegate.dev"
    assert names["categories"] == ["tidegate"]
    assert names["shortNames"] == [
        {"Model": "mdl", "TrainingJob": "tjob", "DriftPolicy": "dpol"}[kind.name]
    ]


def test_plural_of_a_policy_is_policies() -> None:
    assert [kind.plural for kind in KINDS] == ["models", "trainingjobs", "driftpolicies"]


@EVERY_KIND
def test_every_column_shows_a_field_that_exists(kind: Kind) -> None:
    known = {path for path, _, _ in nodes(root_schema(kind))} | {".metadata.creationTimestamp"}
    for column in kind.columns:
        assert column.path.partition("[")[0] in known


@EVERY_KIND
def test_a_wide_table_says_why(kind: Kind) -> None:
    version = crd(kind)["spec"]["versions"][0]
    wide = [c["name"] for c in version["additionalPrinterColumns"] if c.get("priority")]
    assert wide == ["Reason", "Message"]


@EVERY_KIND
def test_kubectl_explains_every_field_of_a_spec(kind: Kind) -> None:
    fields = [
        path
        for path, schema, _ in nodes(root_schema(kind))
        if path.startswith(".spec") and not path.endswith("[]") and "description" not in schema
    ]
    assert fields == []


@EVERY_KIND
def test_no_default_inside_a_list_nor_in_status(kind: Kind) -> None:
    for path, schema, listed in nodes(root_schema(kind)):
        assert not ("default" in schema and (listed or path.startswith(".status"))), path


@EVERY_KIND
def test_every_kind_has_a_status_subresource(kind: Kind) -> None:
    assert crd(kind)["spec"]["versions"][0]["subresources"] == {"status": {}}


@EVERY_KIND
def test_yaml_says_the_same_as_the_object(kind: Kind) -> None:
    assert yaml.safe_load(crd_yaml(kind)) == crd(kind)


def test_refuses_a_crd_that_client_side_apply_cannot_take() -> None:
    class Spec(ApiModel):
        name: str

    Spec.model_fields["name"].description = "x" * MAX_BYTES
    Spec.model_rebuild(force=True)
    with pytest.raises(NotStructuralError, match="bytes"):
        crd_yaml(replace(KINDS[0], spec=Spec))


def rendered(template: str) -> str:
    """What helm makes of the only expression that a value may become."""
    return template.replace('{{ "{{" }}', "{{")


def test_helm_reads_no_description_as_a_template() -> None:
    class Spec(ApiModel):
        query: str
        """Such as `{{revision}}`."""

    text = chart_template(replace(KINDS[0], spec=Spec))
    assert "`{{revision}}`" not in text
    assert "`{{revision}}`" in rendered(text)


@EVERY_KIND
def test_chart_template_has_the_same_spec(kind: Kind) -> None:
    text = chart_template(kind)
    body: Any = yaml.safe_load(rendered(text[text.index("\nspec:") : text.rindex("{{- end }}")]))
    assert body["spec"] == crd(kind)["spec"]
