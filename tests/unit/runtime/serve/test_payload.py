from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.runtime.artifact import Manifest
from tidegate.runtime.predictor import Answer
from tidegate.runtime.serve.payload import (
    PayloadError,
    columns_of_instances,
    columns_of_tensors,
    parse,
    tensors_of,
    wanted_outputs,
)

MANIFEST = Manifest(
    format="Skops",
    task="classification",
    features=("age", "plan"),
    kinds={"age": "number", "plan": "category"},
    target="y",
    classes=("no", "yes"),
)
WANT = {"age": [1, None], "plan": ["a", "b"]}


def tensor(name: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": "BYTES", "data": data}


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param([tensor("x", [2, 2], [1, "a", None, "b"])], id="one flat tensor"),
        pytest.param([tensor("x", [2, 2], [[1, "a"], [None, "b"]])], id="one nested tensor"),
        pytest.param(
            [tensor("plan", [2], ["a", "b"]), tensor("age", [2], [1, None])], id="by column"
        ),
        pytest.param(
            [tensor("age", [2, 1], [[1], [None]]), tensor("plan", [2, 1], ["a", "b"])],
            id="by column of one",
        ),
    ],
)
def test_tensors_in_every_form_give_the_same_columns(inputs: list[dict[str, Any]]) -> None:
    assert columns_of_tensors({"inputs": inputs}, MANIFEST, 10) == WANT


@pytest.mark.parametrize(
    "rows",
    [
        [[1, "a"], [None, "b"]],
        [{"age": 1, "plan": "a"}, {"plan": "b", "age": None}],
    ],
)
def test_instances_in_every_form_give_the_same_columns(rows: list[Any]) -> None:
    assert columns_of_instances({"instances": rows}, MANIFEST, 10) == WANT


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, '"inputs" must be a list'),
        ({"inputs": []}, '"inputs" must be a list'),
        ({"inputs": [1]}, "name, shape, datatype and data"),
        ({"inputs": [tensor("x", [0, 2], [])]}, "from 1 up"),
        ({"inputs": [tensor("x", [1, 2, 1], [1, 2])]}, "one or two numbers"),
        ({"inputs": [tensor("x", [True, 2], [1, 2])]}, "one or two numbers"),
        ({"inputs": [tensor("x", [1, 3], [1, 2, 3])]}, "[rows, 2] with 2 features (age, plan)"),
        ({"inputs": [tensor("x", [1, 2], [1])]}, "has 1 values, its shape [1, 2] wants 2"),
        ({"inputs": [tensor("x", [2, 2], [[1, 2], [3]])]}, "has not the shape [2, 2]"),
        ({"inputs": [tensor("x", [1, 2], "ab")]}, "data as a JSON list"),
        ({"inputs": [tensor("age", [1], [1])]}, "missing: plan"),
        (
            {"inputs": [tensor("age", [1], [1]), tensor("pln", [1], ["a"])]},
            "missing: plan; unknown: pln",
        ),
        (
            {"inputs": [tensor("age", [2], [1, 2]), tensor("plan", [1], ["a"])]},
            "'plan' has the shape [1], wanted [2] or [2, 1]",
        ),
        ({"inputs": [tensor("x", [11, 2], [0] * 22)]}, "11 rows in one request; at most 10"),
    ],
)
def test_tensors_that_do_not_fit_are_told_what_is_wanted(data: Any, words: str) -> None:
    with pytest.raises(PayloadError) as caught:
        columns_of_tensors(data, MANIFEST, 10)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, '"instances" must be a list'),
        ({"instances": [[1]]}, "row 0 must be a list of 2 features (age, plan)"),
        ({"instances": [[1, "a"], {"age": 1, "plan": "a"}]}, "row 1 must be a list"),
        ({"instances": [{"age": 1}]}, "missing: plan"),
        ({"instances": [{"age": 1, "plan": "a", "x": 2}]}, "unknown: x"),
        ({"instances": [[1, "a"]] * 11}, "11 rows"),
    ],
)
def test_instances_that_do_not_fit_are_told_what_is_wanted(data: Any, words: str) -> None:
    with pytest.raises(PayloadError) as caught:
        columns_of_instances(data, MANIFEST, 10)
    assert words in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "shape", "data", "age", "plan"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["inputs", "instances", "outputs"]), JSON))
def test_no_request_breaks_the_parser(data: dict[str, Any]) -> None:
    for decode in (columns_of_tensors, columns_of_instances):
        try:
            columns = decode(data, MANIFEST, 10)
        except PayloadError:
            continue
        assert set(columns) == {"age", "plan"}


@given(st.binary(max_size=200))
def test_no_body_breaks_the_parser(body: bytes) -> None:
    with suppress(PayloadError):
        assert isinstance(parse(body), dict)


def test_nan_is_understood_though_it_is_no_json() -> None:
    parsed = parse(b'{"inputs": [NaN, 1]}')["inputs"]
    assert np.isnan(parsed[0])


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(PayloadError):
        parse(b"[" * 100_000)


@pytest.mark.parametrize(
    ("values", "datatype"),
    [
        (np.array([1, 2]), "INT64"),
        (np.array([1.5]), "FP64"),
        (np.array([1.5], dtype=np.float32), "FP64"),
        (np.array([True]), "BOOL"),
        (np.array(["a"]), "BYTES"),
        (np.array(["a"], dtype=object), "BYTES"),
    ],
)
def test_labels_have_the_protocol_s_datatype(values: Any, datatype: str) -> None:
    (said,) = tensors_of(Answer(values, None))
    assert said == {
        "name": "predict",
        "datatype": datatype,
        "shape": [len(values)],
        "data": values.tolist(),
    }


def test_outputs_can_be_chosen() -> None:
    assert wanted_outputs({}) is None
    assert wanted_outputs({"outputs": [{"name": "predict"}]}) == {"predict"}
    with pytest.raises(PayloadError, match="no output 'logits'"):
        wanted_outputs({"outputs": [{"name": "logits"}]})
