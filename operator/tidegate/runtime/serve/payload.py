"""Requests in, answers out: JSON of the two protocols to columns of features and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tidegate.evidence.encode import Column
from tidegate.runtime.artifact import Manifest
from tidegate.runtime.predictor import Answer

Columns = dict[str, Column]
LABELS, PROBABILITIES = "predict", "predict_proba"
NAMES_SHOWN = 20
_DATATYPES = {"b": "BOOL", "i": "INT64", "u": "INT64", "f": "FP64"}


class PayloadError(ValueError):
    """What the client sent is no request for this model; the message says what is expected."""


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a request; NaN and Infinity, which are no JSON, are understood."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = _lenient(body)
    if not isinstance(data, dict):
        raise PayloadError("the body must be a JSON object")
    return data


def _lenient(body: bytes) -> Any:
    try:
        data = json.loads(body)
        json.dumps(data, ensure_ascii=False).encode()  # no answer could hold half of a character
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"the body is no JSON: {error}") from error
    return data


def columns_of_instances(data: Mapping[str, Any], manifest: Manifest, max_rows: int) -> Columns:
    """KServe V1: `instances` as rows in feature order, or as objects by feature name."""
    rows = data.get("instances")
    if not isinstance(rows, list) or not rows:
        raise PayloadError('"instances" must be a list with at least one row')
    _check_rows(len(rows), max_rows)
    features = manifest.features
    if all(isinstance(row, dict) for row in rows):
        for row in rows:
            _check_names(row, features)
        return {name: [row[name] for row in rows] for name in features}
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(features):
            raise PayloadError(f"row {index} must be a list of {_expected(features)}, or an object")
    return dict(zip(features, map(list, zip(*rows, strict=True)), strict=True))


def columns_of_tensors(data: Mapping[str, Any], manifest: Manifest, max_rows: int) -> Columns:
    """OIP v2: one tensor [rows, features] in feature order, or one tensor for each feature."""
    tensors = data.get("inputs")
    if not isinstance(tensors, list) or not tensors:
        raise PayloadError('"inputs" must be a list with at least one tensor')
    shapes = [_shape(t) for t in tensors]
    _check_rows(shapes[0][0], max_rows)
    features = manifest.features
    if len(tensors) == 1 and len(shapes[0]) == 2 and shapes[0][1] == len(features):
        return _split(_flat(tensors[0], shapes[0]), features)
    if len(tensors) == 1 and tensors[0]["name"] not in features:
        raise PayloadError(
            f"the tensor {tensors[0]['name']!r} has the shape {list(shapes[0])}; wanted is "
            f"[rows, {len(features)}] with {_expected(features)}, or one tensor for each of them"
        )
    by_name = {t["name"]: (t, shape) for t, shape in zip(tensors, shapes, strict=True)}
    _check_names(by_name, features)
    for name, (_, shape) in by_name.items():
        if shape not in ((shapes[0][0],), (shapes[0][0], 1)):
            wanted = f"[{shapes[0][0]}] or [{shapes[0][0]}, 1]"
            raise PayloadError(f"the tensor {name!r} has the shape {list(shape)}, wanted {wanted}")
    return {name: _flat(*by_name[name]) for name in features}


def wanted_outputs(data: Mapping[str, Any]) -> set[str] | None:
    """The names of the outputs that an OIP v2 request asks for; None for all."""
    if "outputs" not in data:
        return None
    outputs = data["outputs"]
    if not isinstance(outputs, list) or not all(isinstance(o, dict) for o in outputs):
        raise PayloadError('"outputs" must be a list of objects with a name')
    names = {str(o.get("name")) for o in outputs}
    if unknown := names - {LABELS, PROBABILITIES}:
        raise PayloadError(
            f"there is no output {min(unknown)!r}, only {LABELS} and {PROBABILITIES}"
        )
    return names


def tensors_of(answer: Answer) -> list[dict[str, Any]]:
    """The outputs of OIP v2: labels first, then probabilities if there are any."""
    tensors = [
        {
            "name": LABELS,
            "datatype": datatype_of(answer.values),
            "shape": [len(answer.values)],
            "data": answer.values.tolist(),
        }
    ]
    if answer.probabilities is not None:
        tensors.append(
            {
                "name": PROBABILITIES,
                "datatype": "FP64",
                "shape": list(answer.probabilities.shape),
                "data": answer.probabilities.ravel().tolist(),
            }
        )
    return tensors


def datatype_of(values: NDArray[Any]) -> str:
    """The protocol's name for the type of an array; text is BYTES."""
    return _DATATYPES.get(values.dtype.kind, "BYTES")


def _shape(tensor: Any) -> tuple[int, ...]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise PayloadError("each of inputs must be an object with name, shape, datatype and data")
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) not in (1, 2)
        or not all(type(n) is int and n >= 1 for n in shape)
    ):
        message = f"the tensor {tensor['name']!r} needs a shape of one or two numbers from 1 up"
        raise PayloadError(message)
    return tuple(shape)


def _flat(tensor: Mapping[str, Any], shape: tuple[int, ...]) -> list[Any]:
    """The values in row order; the protocol lets a client send them nested or flat."""
    data = tensor.get("data")
    if not isinstance(data, list):
        raise PayloadError(f"the tensor {tensor['name']!r} needs data as a JSON list")
    if data and isinstance(data[0], list):
        if len(data) != shape[0] or not all(
            isinstance(row, list) and len(row) * len(data) == _size(shape) for row in data
        ):
            raise PayloadError(f"the data of {tensor['name']!r} has not the shape {list(shape)}")
        data = [value for row in data for value in row]
    if len(data) != _size(shape):
        raise PayloadError(
            f"the tensor {tensor['name']!r} has {len(data)} values, its shape {list(shape)} "
            f"wants {_size(shape)}"
        )
    return data


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _split(flat: list[Any], features: Sequence[str]) -> Columns:
    return {name: flat[i :: len(features)] for i, name in enumerate(features)}


def _check_rows(rows: int, max_rows: int) -> None:
    if rows > max_rows:
        raise PayloadError(f"{rows} rows in one request; at most {max_rows} are allowed")


def _check_names(given: Mapping[str, Any], features: Sequence[str]) -> None:
    missing = [name for name in features if name not in given]
    unknown = [name for name in given if name not in features]
    if missing or unknown:
        parts = [f"missing: {_some(missing)}"] * bool(missing)
        parts += [f"unknown: {_some(unknown)}"] * bool(unknown)
        raise PayloadError(f"wanted are {_expected(features)}; {'; '.join(parts)}")


def _expected(features: Sequence[str]) -> str:
    return f"{len(features)} features ({_some(features)})"


def _some(names: Sequence[str]) -> str:
    tail = ", …" if len(names) > NAMES_SHOWN else ""
    return ", ".join(str(name)[:100] for name in names[:NAMES_SHOWN]) + tail
