import gzip
from math import isnan
from typing import Any

import orjson
import pytest

from tidegate.sidecar.monitor.payloads import UnparsedError, decode, features, predictions
from tidegate.sidecar.records import Flag, Kind, Record

NAMES = ("age", "plan")


def tensor(name: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": "FP64", "data": data}


@pytest.mark.parametrize(
    ("document", "want"),
    [
        pytest.param({"instances": [[1, "a"], [2, "b"]]}, [[1, 2], ["a", "b"]], id="v1 lists"),
        pytest.param(
            {"instances": [{"plan": "a", "age": 1}, {"age": 2, "x": 0}]},
            [[1, 2], ["a", None]],
            id="v1 objects",
        ),
        pytest.param({"inputs": [tensor("x", [2, 2], [1, 2, 3, 4])]}, [[1, 3], [2, 4]], id="flat"),
        pytest.param(
            {"inputs": [tensor("x", [2, 2], [[1, 2], [3, 4]])]}, [[1, 3], [2, 4]], id="nested"
        ),
        pytest.param(
            {"inputs": [tensor("plan", [2, 1], [["a"], ["b"]]), tensor("age", [2], [1, 2])]},
            [[1, 2], ["a", "b"]],
            id="columns",
        ),
        pytest.param(
            {"inputs": [tensor("plan", [1], ["a"])]}, [[None], ["a"]], id="one of the columns"
        ),
        pytest.param({"instances": []}, [[], []], id="no rows"),
    ],
)
def test_features_come_as_columns_in_the_profiles_order(
    document: dict[str, Any], want: list[list[Any]]
) -> None:
    assert features(document, NAMES) == want


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"instances": [[1]]}, "feature_count"),
        ({"instances": [[1, 2], {"age": 1}]}, "feature_count"),
        ({"instances": [{"x": 1}]}, "feature_names"),
        ({"inputs": [tensor("x", [2, 3], [1] * 6)]}, "feature_count"),
        ({"inputs": [tensor("x", [2, 2], [1] * 3)]}, "row_count"),
        ({"inputs": [tensor("age", [2], [1, 2]), tensor("plan", [1], ["a"])]}, "row_count"),
        ({"inputs": [tensor("p", [1], [1]), tensor("q", [1], [2])]}, "feature_names"),
        ({"inputs": [{"name": "x", "shape": "2", "data": 1}]}, "format"),
        ({"inputs": [tensor("x", [-1, 2], [])]}, "format"),
        ({"prompt": "hello"}, "format"),
    ],
)
def test_what_is_no_table_is_named(document: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnparsedError) as caught:
        features(document, NAMES)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("document", "want"),
    [
        ({"predictions": [1, "b", 0.5, None]}, [1, "b", 0.5, None]),
        ({"predictions": [[1], [0]]}, [1, 0]),
        ({"outputs": [tensor("label", [2], [1, 0]), tensor("p", [2, 2], [0.1] * 4)]}, [1, 0]),
        ({"outputs": [tensor("y", [2, 1], [[0.5], [1.5]])]}, [0.5, 1.5]),
    ],
)
def test_predictions(document: dict[str, Any], want: list[Any]) -> None:
    assert predictions(document) == want


@pytest.mark.parametrize(
    "document",
    [
        {"predictions": [[0.1, 0.9]]},
        {"predictions": [{"label": 1}]},
        {"outputs": [tensor("p", [2, 2], [0.1] * 4)]},
        {"outputs": []},
        {},
    ],
)
def test_answers_without_one_prediction_a_row_are_unparsed(document: dict[str, Any]) -> None:
    with pytest.raises(UnparsedError, match="predictions"):
        predictions(document)


def record(question: bytes, answer: bytes = b'{"predictions":[1]}', flags: int = 0) -> Record:
    return Record(Kind.ANSWERED, flags, 200, request=question, response=answer)


def test_wrapped_bodies_are_unwrapped() -> None:
    question = gzip.compress(b'{"instances":[[1,"a"]]}')
    answer = b'8\r\n{"predic\r\nb\r\ntions":[1]}\r\n0\r\n\r\n'
    flags = Flag.REQUEST_GZIP | Flag.RESPONSE_CHUNKED
    assert decode(record(question, answer, flags), NAMES) == ([[1], ["a"]], [1])


def test_nan_is_read_though_it_is_no_json() -> None:
    columns, _ = decode(record(b'{"instances":[[NaN,"a"]]}'), NAMES)
    assert isnan(columns[0][0])


def test_without_a_profile_the_request_is_not_read() -> None:
    assert decode(record(b"not json"), ()) == ([], [1])


@pytest.mark.parametrize(
    ("unreadable", "reason"),
    [
        (record(b"{"), "json"),
        (record(b"[" * 200_000), "json"),
        (record(b"\xff"), "json"),
        (record(b"[1]"), "format"),
        (record(b'{"instances":[[1,2],[3,4]]}'), "row_count"),
        (record(b"xx", flags=Flag.REQUEST_GZIP), "encoding"),
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
