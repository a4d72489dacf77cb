"""Payloads of somebody who wants to bring the monitor down, or who can't help it."""

import gzip
import json
import struct
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.evidence.encode import prediction_keys
from tidegate.evidence.profile import Category, Number, Predictions, Profile
from tidegate.evidence.ranking import Ranking
from tidegate.sidecar.monitor.payloads import Decoded, UnparsedError, decode
from tidegate.sidecar.monitor.payloads.table import VALUES_LIMIT
from tidegate.sidecar.records import Flag, Kind, Record

NAMES = ("age", "plan")
RANKING = Ranking(("0", "1"), (0.5,), (2, 1), (1, 2))
PROFILE = Profile(
    "classification",
    0,
    (Number("age", (0.0, 1.0), -9.0, 9.0), Category("plan", ("a", "b"), ("c",))),
    Predictions("category", ("0", "1")),
)
REASONS = {
    "json", "format", "shape", "feature_count", "feature_names", "row_count", "predictions",
    "encoding", "too_large", "no_room", "incomplete",
}  # fmt: skip
WORDS = st.sampled_from(
    [
        *("age", "plan", "x", "instances", "inputs", "outputs", "predictions", "NaN", "1e999"),
        *("dataframe_split", "dataframe_records", "columns", "data", "name", "shape", "datatype"),
        *("parameters", "binary_data_size", "BYTES", "FP32", "FP16", "BF16", "BOOL", "INT64"),
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.integers(),
    st.floats(),
    st.just(10**400),
    WORDS,
    st.text(max_size=5),
)
VALUES = st.recursive(
    LEAVES,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(WORDS, parts, max_size=5),
    max_leaves=12,
)
TENSORS = st.fixed_dictionaries(
    {"name": WORDS, "shape": st.lists(st.integers(-1, 3) | LEAVES, max_size=3), "datatype": WORDS},
    optional={
        "data": VALUES,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(0, 9) | LEAVES}),
    },
)
DOCUMENTS = st.one_of(
    VALUES,
    st.dictionaries(WORDS, VALUES),
    st.builds(lambda part: {"inputs": part, "outputs": part}, st.lists(TENSORS, max_size=3)),
    st.builds(lambda rows: {"instances": rows, "predictions": rows}, st.lists(VALUES)),
)
CSV = st.lists(st.sampled_from(["age", "plan", ",", "\n", '"', "\r", "1", "NaN", "x", "\0"]))
BODIES = st.one_of(
    st.binary(),
    st.builds(lambda found, rest: json.dumps(found).encode() + rest, DOCUMENTS, st.binary()),
    st.builds(lambda found: json.dumps(found).encode(), DOCUMENTS),
    CSV.map(lambda parts: "".join(["age,plan\n", *parts]).encode()),
)
WRAPPED = BODIES | BODIES.map(gzip.compress)


def record(question: bytes, answer: bytes, flags: int = 0) -> Record:
    return Record(Kind.ANSWERED, flags, 200, request=question, response=answer)


def reason_of(question: bytes, answer: bytes = b'{"predictions":[0]}', flags: int = 0) -> str:
    with pytest.raises(UnparsedError) as caught:
        decode(record(question, answer, flags), NAMES)
    return caught.value.reason


def outcome(copy: Record, names: tuple[str, ...]) -> tuple[Decoded | None, str | None]:
    try:
        return decode(copy, names, scored=True), None
    except UnparsedError as error:
        return None, error.reason


@given(
    question=WRAPPED,
    answer=WRAPPED | st.just(b'{"predictions":[0]}') | st.just(b'{"predictions":[0,1]}'),
    flags=st.integers(0, 15) | st.integers(0, 255),
    names=st.sampled_from([NAMES, NAMES[:1], ()]),
)
def test_any_bytes_are_rows_that_add_up_or_a_reason(
    question: bytes, answer: bytes, flags: int, names: tuple[str, ...]
) -> None:
    decoded, reason = outcome(record(question, answer, flags), names)
    assert (decoded is None) == (reason in REASONS)
    if decoded is None:
        return
    columns, predicted, *_ = decoded
    rows = len(predicted)
    assert [len(column) for column in columns] == [rows] * len(names)
    assert len(prediction_keys(predicted, None)) == rows
    assert len(prediction_keys(predicted, (0.0,))) == rows
    assert len(RANKING.bins(decoded.scores or [None] * rows)) == rows
    counts = PROFILE.encode(dict(zip(names, columns, strict=True)))
    assert [int(c.sum()) for c in counts] == [rows if names else 0] * len(counts)


def tensors(*parts: dict[str, Any]) -> bytes:
    return json.dumps(
        {"inputs": [{"name": "age", "datatype": "FP64", **p} for p in parts]}
    ).encode()


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        pytest.param(b'{"a":' * 100_000, "json", id="deep objects"),
        pytest.param(b'{"instances":' + b"[" * 100_000 + b"]" * 100_000, "json", id="deep lists"),
        pytest.param(b'{"instances":[%b0]}' % (b"[]," * 300_000), "too_large", id="empty lists"),
        pytest.param(b'{"instances":[%b0]}' % (b"1," * 1_100_000), "too_large", id="values"),
        pytest.param(b'{"instances":[%b]}' % (b"9" * 900_000), "json", id="a long number"),
        pytest.param(b'{"instances":[NaN,%b]}' % (b"9" * 900_000), "json", id="and a NaN"),
        pytest.param(tensors({"shape": [10**18] * 8, "data": []}), "shape", id="huge shape"),
        pytest.param(tensors({"shape": [1 << 20] * 8, "data": []}), "shape", id="8 axes"),
        pytest.param(tensors({"shape": [1] * 500_000, "data": [1]}), "format", id="long shape"),
        pytest.param(tensors({"shape": [1.0], "data": [1]}), "shape", id="fractional shape"),
        pytest.param(tensors({"shape": [70_000], "data": [1] * 70_000}), "too_large", id="rows"),
        pytest.param(
            tensors({"shape": [1], "parameters": {"binary_data_size": 10**30}}), "format", id="size"
        ),
        pytest.param(
            tensors({"shape": [1], "parameters": {"binary_data_size": -8}}) + b"x" * 8,
            "format",
            id="negative size",
        ),
        pytest.param(
            tensors({"shape": [1], "parameters": {"binary_data_size": 8}}) + b"x" * 9,
            "shape",
            id="more bytes than told",
        ),
        pytest.param(b"age\n" + b"1\n" * 70_000, "too_large", id="long csv"),
        pytest.param(b"age" + b"," * 2_000_000, "too_large", id="wide csv"),
        pytest.param(b'age\n"' + b"\n" * 900_000, "json", id="csv that never closes"),
    ],
)
def test_what_would_cost_too_much_is_refused(question: bytes, reason: str) -> None:
    assert reason_of(question) == reason


def test_lengths_inside_of_bytes_are_not_believed() -> None:
    for blob in (struct.pack("<I", 1 << 31), struct.pack("<I", 2) + b"a", b"\1\0\0"):
        part = {"shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}
        assert reason_of(tensors(part) + blob) == "shape"


def test_a_row_of_few_bytes_does_not_become_a_thousand_columns() -> None:
    names = tuple(f"f{n}" for n in range(1000))
    rows = VALUES_LIMIT // 1000 + 1
    question = orjson.dumps({"inputs": {"f0": [0] * rows}})
    answer = orjson.dumps({"predictions": [0] * rows})
    with pytest.raises(UnparsedError, match="too_large"):
        decode(record(question, answer), names)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"instances":[%b0]}' % (b"[]," * 1_300_000), id="lists"),
        pytest.param(b'{"instances":[%b0]}' % (b'{"":0},' * 590_000), id="objects"),
        pytest.param(b'{"instances":[%b[1,2]]}' % (b"[12345678.5,1]," * 65_000), id="a table"),
        pytest.param(b'{"instances":[%b1]}' % (b"1.5," * 1_000_000), id="numbers"),
        pytest.param(b'{"instances":["%b"]}' % ("😀".encode() + b"x" * 4_000_000), id="text"),
        pytest.param(b'{"instances":[%b1]}' % (b'"",' * 1_000_000), id="no text"),
        pytest.param(b"age\n" + b"1\n" * 2_000_000, id="csv"),
        pytest.param(b"age," + b"," * 1_000_000, id="csv header"),
        pytest.param(b" " * (64 << 20), id="nothing"),
    ],
)
def test_a_bomb_takes_bounded_memory(content: bytes) -> None:
    bomb = record(gzip.compress(content, 1), b'{"predictions":[0]}', Flag.REQUEST_GZIP)
    del content
    tracemalloc.start()
    try:
        with pytest.raises(UnparsedError):
            decode(bomb, NAMES)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 72 << 20


def test_one_long_text_among_numbers_takes_bounded_memory() -> None:
    data = ["1." + "0" * 20_000, *[0.5] * 9_999]
    question = tensors({"shape": [10_000], "datatype": "FP32", "data": data})
    answer = orjson.dumps({"predictions": [0] * 10_000})
    tracemalloc.start()
    try:
        (ages,), *_ = decode(record(question, answer), NAMES[:1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ages == data
    assert peak < 8 << 20
