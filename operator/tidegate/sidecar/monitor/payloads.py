"""From copied bodies to columns: KServe V1 and Open Inference Protocol v2, as JSON."""

import json
import zlib
from collections.abc import Sequence
from math import prod
from typing import Any

import orjson

from tidegate.sidecar.framing import unchunked
from tidegate.sidecar.records import Flag, Record

CONTENT_LIMIT_BYTES = 8 << 20  # what a compressed body may grow to
ROWS_LIMIT = 1 << 16

Columns = list[list[Any]]
"""The values of each feature, in the profile's order."""


class UnparsedError(Exception):
    """The payload is none that can be counted; `reason` is the label of the metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(record: Record, names: Sequence[str]) -> tuple[Columns, list[Any]]:
    """The columns of the features `names` and the predictions, equally many rows of each.

    Raise UnparsedError if either can't be told; without names only the predictions are read.
    """
    flags = record.flags
    for flag, reason in _REASONS:
        if flags & flag:
            raise UnparsedError(reason)
    answer = _content(record.response, flags & Flag.RESPONSE_CHUNKED, flags & Flag.RESPONSE_GZIP)
    predicted = predictions(_json(answer))
    if not names:
        return [], predicted
    question = _content(record.request, flags & Flag.REQUEST_CHUNKED, flags & Flag.REQUEST_GZIP)
    columns = features(_json(question), names)
    if columns and len(columns[0]) != len(predicted):
        raise UnparsedError("row_count")
    return columns, predicted


_REASONS = (
    (Flag.TOO_LARGE, "too_large"),
    (Flag.NO_ROOM, "no_room"),
    (Flag.INCOMPLETE, "incomplete"),
    (Flag.OTHER_ENCODING, "encoding"),
)


def _content(body: bytes, chunked: int, gzipped: int) -> bytes:
    if chunked:
        body = unchunked(body)
    if not gzipped:
        return body
    try:
        unpacker = zlib.decompressobj(wbits=31)  # with a gzip header
        content = unpacker.decompress(body, CONTENT_LIMIT_BYTES)
    except zlib.error as error:
        raise UnparsedError("encoding") from error
    if unpacker.unconsumed_tail:
        raise UnparsedError("too_large")
    return content


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _lenient_json(body)
    if not isinstance(document, dict):
        raise UnparsedError("format")
    return document


def _lenient_json(body: bytes) -> Any:
    """Slower, but takes NaN for a missing number, as many clients write it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnparsedError("json") from error


def features(document: dict[str, Any], names: Sequence[str]) -> Columns:
    """The columns of a request's features; one that is absent is None in every row."""
    match document:
        case {"instances": [*rows]}:
            columns = _from_rows(rows, names)
        case {"inputs": [dict(tensor)]} if tensor.get("name") not in names:
            columns = _from_matrix(tensor, names)
        case {"inputs": [*tensors]}:
            columns = _from_tensors(tensors, names)
        case _:
            raise UnparsedError("format")
    if len(columns[0]) > ROWS_LIMIT:
        raise UnparsedError("too_large")
    return columns


def _from_rows(rows: list[Any], names: Sequence[str]) -> Columns:
    if all(isinstance(row, dict) for row in rows):
        if rows and not any(name in row for row in rows for name in names):
            raise UnparsedError("feature_names")
        return [[row.get(name) for row in rows] for name in names]
    if all(isinstance(row, list) and len(row) == len(names) for row in rows):
        return [list(column) for column in zip(*rows, strict=True)]
    raise UnparsedError("feature_count")


def _from_matrix(tensor: dict[str, Any], names: Sequence[str]) -> Columns:
    shape, data = _shape_and_data(tensor)
    if len(shape) != 2 or shape[1] != len(names):
        raise UnparsedError("feature_count")
    values = _flat(data, shape)
    return [values[index :: len(names)] for index in range(len(names))]


def _from_tensors(tensors: list[Any], names: Sequence[str]) -> Columns:
    found: dict[str, list[Any]] = {}
    for tensor in tensors:
        if isinstance(tensor, dict) and tensor.get("name") in names:
            shape, data = _shape_and_data(tensor)
            if not shape or prod(shape[1:]) != 1:
                raise UnparsedError("feature_count")
            found[tensor["name"]] = _flat(data, shape)
    lengths = {len(values) for values in found.values()}
    if not found:
        raise UnparsedError("feature_names")
    if len(lengths) > 1:
        raise UnparsedError("row_count")
    absent = [None] * lengths.pop()
    return [found.get(name, absent) for name in names]


def _shape_and_data(tensor: dict[str, Any]) -> tuple[list[int], list[Any]]:
    shape, data = tensor.get("shape"), tensor.get("data")
    if not isinstance(data, list) or not isinstance(shape, list):
        raise UnparsedError("format")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise UnparsedError("format")
    return shape, data


def _flat(data: list[Any], shape: list[int]) -> list[Any]:
    """A tensor's values in row order, whether they came nested or flat."""
    for _ in shape[1:]:
        if data and all(isinstance(part, list) for part in data):
            data = [value for part in data for value in part]
    if len(data) != prod(shape):
        raise UnparsedError("row_count")
    return data


def predictions(document: dict[str, Any]) -> list[Any]:
    """One prediction for each row of an answer."""
    match document:
        case {"predictions": [*rows]}:
            values = [_single(row) for row in rows]
        case {"outputs": [dict(tensor), *_]}:
            shape, data = _shape_and_data(tensor)
            if not shape or prod(shape[1:]) != 1:
                raise UnparsedError("predictions")
            values = _flat(data, shape)
        case _:
            raise UnparsedError("predictions")
    if any(isinstance(value, (list, dict)) for value in values):
        raise UnparsedError("predictions")
    return values


def _single(row: Any) -> Any:
    return row[0] if isinstance(row, list) and len(row) == 1 else row
