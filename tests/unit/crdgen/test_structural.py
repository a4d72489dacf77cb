from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from tidegate.api.meta import ApiModel, Rule, validated
from tidegate.crdgen.structural import NotStructuralError, Schema, structural


class Part(ApiModel):
    """A part."""

    size: Annotated[int, Field(ge=1)] = 3
    text: str | None = None


class Whole(ApiModel):
    """A whole."""

    model_config = validated(Rule("has(self.mode)", "mode is required"))

    name: str
    """What it is called."""
    mode: Literal["On"] = "On"
    part: Part = Part()
    maybe: Part | None = None
    """Used if the weather is fine."""
    parts: tuple[Part, ...] = ()
    limits: Annotated[dict[str, str], Field(max_length=2, default_factory=dict)]
    positive: Annotated[int, Field(gt=0)] = 1


def field(name: str) -> Schema:
    found: Schema = structural(Whole)["properties"][name]
    return found


def test_optional_field_is_its_type_and_not_required() -> None:
    assert field("maybe")["type"] == "object"
    assert "default" not in field("maybe")
    assert structural(Whole)["required"] == ["name"]


def test_docstring_of_the_field_wins_over_the_one_of_its_type() -> None:
    assert field("maybe")["description"] == "Used if the weather is fine."
    assert field("part")["description"] == "A part."


def test_single_choice_becomes_an_enum() -> None:
    assert field("mode") == {"type": "string", "enum": ["On"], "default": "On"}


def test_exclusive_bound_becomes_a_flag() -> None:
    want = {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "default": 1}
    assert field("positive") == want


def test_default_of_an_object_names_what_its_rules_look_at_and_no_null() -> None:
    assert field("part")["default"] == {"size": 3}


def test_default_inside_a_list_is_told_in_words_instead() -> None:
    class Item(ApiModel):
        level: Literal["Warn", "Breach"] = "Breach"
        """From which level on."""

    class Holder(ApiModel):
        items: tuple[Item, ...] = ()

    level = structural(Holder)["properties"]["items"]["items"]["properties"]["level"]
    assert "default" not in level
    assert level["description"] == 'From which level on. Default: "Breach".'


def test_map_keeps_the_type_of_its_values_and_its_size() -> None:
    want = {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2}
    assert field("limits") == want


def test_rules_stay_beside_the_type_they_guard() -> None:
    rules = structural(Whole)["x-kubernetes-validations"]
    assert rules == [{"rule": "has(self.mode)", "message": "mode is required"}]


def test_status_gets_no_default_at_all() -> None:
    assert "default" not in str(structural(Whole, defaults=False))


def test_titles_are_dropped() -> None:
    assert "title" not in str(structural(Whole))


class Loop(BaseModel):
    next: "Loop | None" = None


class Union(BaseModel):
    value: int | str


class Float(BaseModel):
    value: float


class AnyValue(BaseModel):
    value: Any


class AnyValues(BaseModel):
    values: dict[str, Any]


class Pair(BaseModel):
    value: tuple[int, str]


class Unique(BaseModel):
    values: set[str]


class Deep(BaseModel):
    parts: list[Float]


@pytest.mark.parametrize(
    ("model", "path"),
    [
        pytest.param(Loop, ".next", id="a cycle"),
        pytest.param(Union, ".value", id="a union"),
        pytest.param(Float, ".value", id="a float"),
        pytest.param(AnyValue, ".value", id="a value of any type"),
        pytest.param(AnyValues, ".values", id="a map of any type"),
        pytest.param(Pair, ".value", id="a pair"),
        pytest.param(Unique, ".values", id="a set"),
        pytest.param(Deep, ".parts[].value", id="deep inside a list"),
    ],
)
def test_refuses_what_a_schema_cannot_say_and_names_the_path(
    model: type[BaseModel], path: str
) -> None:
    with pytest.raises(NotStructuralError) as refusal:
        structural(model)
    assert refusal.value.path == path
    assert str(refusal.value).startswith(path)


def test_values_of_any_type_are_allowed_where_asked_for() -> None:
    class Open(BaseModel):
        values: Annotated[
            dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
        ]

    values = structural(Open)["properties"]["values"]
    assert values == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
