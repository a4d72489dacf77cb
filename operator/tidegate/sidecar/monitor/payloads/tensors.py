"""Open Inference Protocol v2: tensors in JSON, flat or nested, or as bytes behind the JSON."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from tidegate.sidecar.monitor.payloads.datatypes import unpacked, written
from tidegate.sidecar.monitor.payloads.table import (
    VALUES_LIMIT,
    Columns,
    UnparsedError,
    check_size,
    from_columns,
)

_DIMENSIONS_LIMIT = 8


class Tensor(NamedTuple):
    """One tensor of a request or an answer; `data` is bytes if it came behind the JSON."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[Any] | bytes


def is_tensors(listed: list[Any]) -> bool:
    """Whether a list holds tensors, and not rows as objects: a row's cell is no list."""
    return bool(listed) and all(
        isinstance(part, dict) and isinstance(part.get("shape"), list) for part in listed
    )


def features(listed: list[Any], rest: bytes, names: Sequence[str]) -> Columns:
    """One tensor [rows, features] in the profile's order, or a tensor for each column."""
    tensors = _tensors(listed, rest)
    shape = tensors[0].shape
    if len(tensors) == 1 and len(shape) == 2 and shape[1] == len(names):
        check_size(*shape)
        values = _values(tensors[0])
        return [values[index :: len(names)] for index in range(len(names))]
    wanted = set(names)
    columns = [tensor for tensor in tensors if tensor.name in wanted]
    if len(tensors) == 1 and not columns:
        raise UnparsedError("feature_count")
    if len({tensor.name for tensor in columns}) < len(columns):
        raise UnparsedError("feature_names")
    if not all(map(_single_column, columns)):
        raise UnparsedError("feature_count")
    return from_columns({tensor.name: _values(tensor) for tensor in columns}, names)


def predictions(listed: list[Any], rest: bytes) -> list[Any]:
    """The first output with one value for each row: classifiers give probabilities as well."""
    for tensor in _tensors(listed, rest):
        if _single_column(tensor):
            return _values(tensor)
    raise UnparsedError("predictions")


def scores(listed: list[Any], rest: bytes, rows: int) -> list[Any] | None:
    """Of the first output with two values for each row the second one; None if none can be read.

    A classifier of two labels gives both probabilities, that of the positive label last.
    """
    both = next((t for t in _tensors(listed, rest) if t.shape == (rows, 2)), None)
    try:
        return None if both is None else _values(both)[1::2]
    except UnparsedError:  # the predictions still count
        return None


def _single_column(tensor: Tensor) -> bool:
    return len(tensor.shape) > 0 and prod(tensor.shape[1:]) == 1


def _tensors(listed: list[Any], rest: bytes) -> list[Tensor]:
    """The tensors, each with its part of the bytes, which lie behind the JSON in their order."""
    if not rest:
        return [_tensor(part, part.get("data")) for part in listed]
    sizes = [_binary_size(part) for part in listed]
    at = len(rest) - sum(sizes)
    if at < 0 or rest[:at].strip():
        raise UnparsedError("shape")
    found = []
    for part, size in zip(listed, sizes, strict=True):
        data = rest[at : at + size] if _is_binary(part) else part.get("data")
        found.append(_tensor(part, data))
        at += size
    return found


def _tensor(part: dict[str, Any], data: Any) -> Tensor:
    shape = part["shape"]
    if not isinstance(data, (list, bytes)) or len(shape) > _DIMENSIONS_LIMIT:
        raise UnparsedError("format")
    if not all(type(n) is int and 0 <= n <= VALUES_LIMIT for n in shape):
        raise UnparsedError("shape")
    return Tensor(str(part.get("name")), tuple(shape), str(part.get("datatype")), data)


def _parameters(part: dict[str, Any]) -> dict[str, Any]:
    parameters = part.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


def _is_binary(part: dict[str, Any]) -> bool:
    return "binary_data_size" in _parameters(part)


def _binary_size(part: dict[str, Any]) -> int:
    size = _parameters(part).get("binary_data_size", 0)
    if type(size) is not int or size < 0:
        raise UnparsedError("format")
    return size


def _values(tensor: Tensor) -> list[Any]:
    """A tensor's values in row order."""
    check_size(tensor.shape[0], 1)
    if isinstance(tensor.data, list):
        values = written(_flat(tensor.data, len(tensor.shape)), tensor.datatype)
    else:
        values = unpacked(tensor.data, tensor.datatype)
    if len(values) != prod(tensor.shape):
        raise UnparsedError("shape")
    return values


def _flat(data: list[Any], dimensions: int) -> list[Any]:
    for _ in range(dimensions - 1):
        if data and all(isinstance(part, list) for part in data):
            data = [value for part in data for value in part]
    return data
