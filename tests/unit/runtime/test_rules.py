import pandas as pd
import pytest

from tidegate.api.v1alpha1.training_job import DataRule
from tidegate.runtime.outcome import StageError
from tidegate.runtime.rules import broken

FRAME = pd.DataFrame(
    {
        "age": [18.0, 30.0, None, 200.0],
        "plan": ["pro", "pro", "free", None],
        "id": [1, 2, 2, 3],
        "label": [True, True, True, False],
    }
)


@pytest.mark.parametrize(
    ("rule", "parts"),
    [
        pytest.param({"check": "RowCount", "min": "5"}, ["4 rows", "5 or more"], id="too few rows"),
        pytest.param({"check": "RowCount", "max": "3"}, ["4 rows", "3 or less"], id="many rows"),
        pytest.param(
            {"check": "MissingRate", "column": "age", "max": "0.2"},
            ["1 of 4", "0.2500", "0.2 may be"],
            id="missing values",
        ),
        pytest.param(
            {"check": "Range", "column": "age", "min": "18", "max": "120"},
            ["1 of 4", "18 to 120", "largest 200"],
            id="out of range",
        ),
        pytest.param(
            {"check": "Range", "column": "plan", "min": "0"},
            ["3 values are no numbers", "'pro'"],
            id="text where a range is wanted",
        ),
        pytest.param(
            {"check": "AllowedValues", "column": "plan", "values": ["basic", "pro"]},
            ["1 of 4", "'free'"],
            id="value not allowed",
        ),
        pytest.param({"check": "Unique", "column": "id"}, ["1 values", "2"], id="duplicate"),
        pytest.param(
            {"check": "LabelBalance", "min": "0.3"},
            ["'false'", "1 of 4", "0.2500"],
            id="rare label",
        ),
    ],
)
def test_broken_rule_tells_what_it_measured(rule: dict[str, object], parts: list[str]) -> None:
    finding = broken(DataRule.model_validate(rule), 3, FRAME, "label")
    assert finding is not None
    assert finding.startswith(f"rules[3] ({rule['check']}")
    assert [part for part in parts if part not in finding] == []


@pytest.mark.parametrize(
    "rule",
    [
        {"check": "RowCount", "min": "4", "max": "4"},
        {"check": "MissingRate", "column": "age", "max": "0.25"},
        {"check": "Range", "column": "age", "min": "18", "max": "200"},
        {"check": "AllowedValues", "column": "plan", "values": ["free", "pro"]},
        {"check": "AllowedValues", "column": "label", "values": ["true", "false"]},
        {"check": "AllowedValues", "column": "id", "values": ["1", "2", "3"]},
        {"check": "Unique", "column": "age"},
        {"check": "LabelBalance", "min": "0.25"},
    ],
)
def test_bounds_are_inclusive_and_gaps_are_no_values(rule: dict[str, object]) -> None:
    assert broken(DataRule.model_validate(rule), 0, FRAME, "label") is None


def test_range_takes_decimals_as_written() -> None:
    frame = pd.DataFrame({"x": [0.1, 0.3]})
    rule = DataRule.model_validate({"check": "Range", "column": "x", "min": "0.1", "max": "0.3"})
    assert broken(rule, 0, frame, "x") is None


def test_a_single_label_is_never_balanced() -> None:
    rule = DataRule.model_validate({"check": "LabelBalance", "min": "0"})
    finding = broken(rule, 0, pd.DataFrame({"label": ["a", "a"]}), "label")
    assert finding is not None
    assert "among 1 labels" in finding


def test_rule_on_an_unknown_column_lists_the_columns() -> None:
    rule = DataRule.model_validate({"check": "Unique", "column": "idd"})
    with pytest.raises(StageError, match="age, plan, id, label") as caught:
        broken(rule, 1, FRAME, "label")
    assert caught.value.reason == "ColumnMissing"
    assert caught.value.field == "spec.data.validation.rules[1].column"
