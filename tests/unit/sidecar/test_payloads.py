import gzip
from collections.abc import Sequence
from math import inf, isnan
from typing import Any

import numpy as np
import orjson
import pytest

from tidegate.sidecar.monitor.payloads import Columns, Decoded, UnparsedError, decode
from tidegate.sidecar.records import Flag, Kind, Record

NAMES = ("age", "plan")


def tensor(name: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": "FP64", "data": data}


def record(question: bytes, answer: bytes = b'{"predictions":[1]}', flags: int = 0) -> Record:
    return Record(Kind.ANSWERED, flags, 200, request=question, response=answer)


def columns_of(question: object, rows: int, names: Sequence[str] = NAMES) -> Columns:
    answer = orjson.dumps({"predictions": [0] * rows})
    content = question if isinstance(question, bytes) else orjson.dumps(question)
    return list(map(list, decode(record(content, answer), names).columns))


def predicted(answer: object) -> list[Any]:
    return decode(record(b"", orjson.dumps(answer)), ()).predicted


@pytest.mark.parametrize(
    ("outputs", "want"),
    [
        ([tensor("predict", [2], [0, 1]), tensor("p", [2, 2], [0.9, 0.1, 0.3, 0.7])], [0.1, 0.7]),
        ([tensor("p", [2, 2], [[0.9, 0.1], [0.3, 0.7]]), tensor("y", [2, 1], [0, 1])], [0.1, 0.7]),
        ([tensor("predict", [2], [0, 1]), tensor("p", [2, 3], [0.1] * 6)], None),
        ([tensor("predict", [2], [0, 1]), tensor("p", [2, 2], [0.1] * 3)], None),
        ([tensor("predict", [2], [0, 1])], None),
    ],
)
def test_scores_are_the_second_label_s_probabilities(
    outputs: list[dict[str, Any]], want: list[float] | None
) -> None:
    copy = record(b"", orjson.dumps({"outputs": outputs}))
    decoded = decode(copy, (), scored=True)
    assert (decoded.predicted, decoded.scores) == ([0, 1], want)
    assert decode(copy, ()).scores is None, "nobody wanted them"


TWO = [[1, 2], ["a", "b"]]


@pytest.mark.parametrize(
    ("question", "want"),
    [
        pytest.param({"instances": [[1, "a"], [2, "b"]]}, TWO, id="v1 lists"),
        pytest.param(
            {"instances": [{"plan": "a", "age": 1}, {"age": 2, "x": 0}]},
            [[1, 2], ["a", None]],
            id="v1 objects",
        ),
        pytest.param({"inputs": [[1, "a"], [2, "b"]]}, TWO, id="v1 inputs"),
        pytest.param({"inputs": [{"age": 1, "plan": "a"}]}, [[1], ["a"]], id="v1 input objects"),
        pytest.param({"inputs": {"plan": ["a", "b"], "age": [[1], [2]]}}, TWO, id="tf columns"),
        pytest.param({"inputs": {"dense": [[1, "a"], [2, "b"]]}}, TWO, id="tf one tensor"),
        pytest.param({"inputs": [tensor("x", [2, 2], [1, 2, 3, 4])]}, [[1, 3], [2, 4]], id="flat"),
        pytest.param(
            {"inputs": [tensor("x", [2, 2], [[1, 2], [3, 4]])]}, [[1, 3], [2, 4]], id="nested"
        ),
        pytest.param(
            {"inputs": [tensor("age", [1, 2], [[1, 2]])]}, [[1], [2]], id="a feature's name"
        ),
        pytest.param(
            {"inputs": [tensor("plan", [2, 1], [["a"], ["b"]]), tensor("age", [2], [1, 2])]},
            TWO,
            id="a tensor for each column",
        ),
        pytest.param(
            {"inputs": [tensor("plan", [1], ["a"])]}, [[None], ["a"]], id="one of the columns"
        ),
        pytest.param(
            {"dataframe_split": {"columns": ["plan", "x", "age"], "data": [["a", 0, 1]]}},
            [[1], ["a"]],
            id="mlflow split",
        ),
        pytest.param(
            {"dataframe_split": {"columns": [0, 1], "index": [0], "data": [[1, "a"]]}},
            [[1], ["a"]],
            id="mlflow split without names",
        ),
        pytest.param({"dataframe_split": {"data": [[1, "a"]]}}, [[1], ["a"]], id="no header"),
        pytest.param({"dataframe_records": [{"age": 1}]}, [[1], [None]], id="mlflow records"),
        pytest.param(b"plan,x,age\na,0,1\n\nb,0,2\n", TWO, id="csv"),
        pytest.param(b'"age","plan"\r\n1.5,"a, ""b"""', [[1.5], ['a, "b"']], id="quoted csv"),
        pytest.param(b"age,plan\nNaN,True\n,\n", [[None] * 2, [True, None]], id="csv missing"),
        pytest.param(b"plan,age\n1,x\n2,3\n", [["x", "3"], [1, 2]], id="csv types by column"),
        pytest.param({"instances": []}, [[], []], id="no rows"),
    ],
)
def test_features_come_as_columns_in_the_profiles_order(
    question: object, want: list[list[Any]]
) -> None:
    columns = columns_of(question, len(want[0]))
    assert columns == want
    assert [list(map(type, c)) for c in columns] == [list(map(type, c)) for c in want]


def test_bare_values_are_rows_of_a_model_with_one_feature() -> None:
    assert columns_of({"instances": [1, None, 2]}, 3, ["age"]) == [[1, None, 2]]


def test_fp32_counts_as_the_decimal_that_it_stands_for() -> None:
    values = [0.7, 1234.56, -3e-8, 0.0, 16777217.0, 1 / 3]
    data = np.array(values, np.float32).tolist()
    question = {"inputs": [{**tensor("age", [6], data), "datatype": "FP32"}]}
    (found,) = columns_of(question, 6, ["age"])
    assert found[:4] == values[:4]
    assert found[4:] == data[4:]


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ({"instances": [[1]]}, "feature_count"),
        ({"instances": [[1, 2], [1, 2, 3]]}, "feature_count"),
        ({"instances": [[1, 2], {"age": 1}]}, "feature_count"),
        ({"instances": [1, 2]}, "feature_count"),
        ({"instances": [{"x": 1}]}, "feature_names"),
        ({"inputs": {"x": [1], "y": [1]}}, "feature_names"),
        ({"inputs": {"x": 1}}, "format"),
        ({"inputs": {"age": [1, 2], "plan": ["a"]}}, "row_count"),
        ({"inputs": [tensor("x", [2, 3], [1] * 6)]}, "feature_count"),
        ({"inputs": [tensor("age", [1, 3], [1] * 3)]}, "feature_count"),
        ({"inputs": [tensor("age", [], [1])]}, "feature_count"),
        ({"inputs": [tensor("x", [2, 2], [1] * 3)]}, "shape"),
        ({"inputs": [tensor("x", [-1, 2], [])]}, "shape"),
        ({"inputs": [tensor("age", [2], [1, 2]), tensor("plan", [1], ["a"])]}, "row_count"),
        ({"inputs": [tensor("age", [1], [1]), tensor("age", [1], [2])]}, "feature_names"),
        ({"inputs": [tensor("p", [1], [1]), tensor("q", [1], [2])]}, "feature_names"),
        ({"inputs": [{"name": "x", "shape": [2, 1], "data": 1}]}, "format"),
        ({"inputs": [{"name": "x", "shape": "2", "data": 1}]}, "feature_names"),
        ({"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}}, "feature_names"),
        ({"dataframe_split": {"columns": ["age", "x"], "data": [[1]]}}, "feature_count"),
        ({"dataframe_split": {"columns": "age", "data": [[1]]}}, "feature_names"),
        ({"dataframe_split": [1]}, "format"),
        (b"age,plan\n1\n", "feature_count"),
        (b"a text, and no table\n", "json"),
        (b'age\n"' + b"x" * 200_000, "json"),
        ({"prompt": "hello"}, "format"),
    ],
)
def test_what_is_no_table_is_named(question: object, reason: str) -> None:
    with pytest.raises(UnparsedError) as caught:
        columns_of(question, 1)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        ({"predictions": [1, "b", 0.5, None]}, [1, "b", 0.5, None]),
        ({"predictions": [[1], [0]]}, [1, 0]),
        ({"outputs": []}, []),
        ({"predictions": [{"label": "a"}, {"label": "b"}]}, ["a", "b"]),
        ({"predictions": {"label": ["a", "b"]}}, ["a", "b"]),
        ({"outputs": {"y": [[0.5], [1.5]]}}, [0.5, 1.5]),
        ({"outputs": [[0.5], [1.5]]}, [0.5, 1.5]),
        ({"outputs": [tensor("label", [2], [1, 0]), tensor("p", [2, 2], [0.1] * 4)]}, [1, 0]),
        ({"outputs": [tensor("p", [2, 2], [0.1] * 4), tensor("label", [2], [1, 0])]}, [1, 0]),
        ({"outputs": [tensor("y", [2, 1], [[0.5], [1.5]])]}, [0.5, 1.5]),
    ],
)
def test_predictions(answer: object, want: list[Any]) -> None:
    assert predicted(answer) == want


@pytest.mark.parametrize(
    "answer",
    [
        {"predictions": [[0.1, 0.9]]},
        {"predictions": [{"label": 1, "score": 0.9}]},
        {"predictions": {"label": [1], "score": [0.9]}},
        {"outputs": [tensor("p", [2, 2], [0.1] * 4)]},
        {},
    ],
)
def test_answers_without_one_prediction_a_row_are_unparsed(answer: dict[str, Any]) -> None:
    with pytest.raises(UnparsedError, match="predictions"):
        predicted(answer)


def test_wrapped_bodies_are_unwrapped() -> None:
    question = gzip.compress(b'{"instances":[[1,"a"]]}')
    answer = b'8\r\n{"predic\r\nb\r\ntions":[1]}\r\n0\r\n\r\n'
    flags = Flag.REQUEST_GZIP | Flag.RESPONSE_CHUNKED
    assert decode(record(question, answer, flags), NAMES) == Decoded([(1,), ("a",)], [1], 23)


def test_nan_is_read_though_it_is_no_json() -> None:
    columns = columns_of(b'{"instances":[[NaN,"a"],[-Infinity,"b"]]}', 2)
    assert isnan(columns[0][0])
    assert columns[0][1] == -inf


def test_without_a_profile_the_request_is_not_read() -> None:
    assert decode(record(b"not json"), ()) == Decoded([], [1], 0)


@pytest.mark.parametrize(
    ("unreadable", "reason"),
    [
        (record(b"{"), "json"),
        (record(b"[" * 200_000), "json"),
        (record(b"\xff"), "json"),
        (record(b""), "json"),
        (record(b"[1]"), "format"),
        (record(b'{"instances":[[1,2],[3,4]]}'), "row_count"),
        (record(b"xx", flags=Flag.REQUEST_GZIP), "encoding"),
        (record(gzip.compress(b"{}")[:-3], flags=Flag.REQUEST_GZIP), "encoding"),
        (record(gzip.compress(b"{}") + b"x", flags=Flag.REQUEST_GZIP), "encoding"),
        (record(b"zz\r\n", flags=Flag.REQUEST_CHUNKED), "incomplete"),
        (record(gzip.compress(b"0" * (9 << 20)), flags=Flag.REQUEST_GZIP), "too_large"),
        (record(b"", flags=Flag.TOO_LARGE), "too_large"),
        (record(b"", flags=Flag.INCOMPLETE), "incomplete"),
        (record(b"", flags=Flag.OTHER_ENCODING), "encoding"),
        (record(orjson.dumps({"instances": [[1, 2]] * 70_000})), "too_large"),
    ],
)
def test_unreadable_payloads_are_told_apart(unreadable: Record, reason: str) -> None:
    with pytest.raises(UnparsedError) as caught:
        decode(unreadable, NAMES)
    assert caught.value.reason == reason
