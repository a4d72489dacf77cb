"""Tensors of the gRPC protocol, to lists of values and back.

A tensor's values come in a list of their type, or as raw little-endian bytes beside the tensors. An
answer comes as its request did.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tidegate.evidence.datatypes import NUMPY_TYPES
from tidegate.evidence.encode import label_text
from tidegate.runtime.serve.payload import PayloadError

_LENGTH = struct.Struct("<I")  # in front of each text in raw contents
_TYPED = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def values_of_raw(name: str, datatype: str, raw: bytes) -> list[Any]:
    """The values of a tensor whose bytes stand in raw_input_contents."""
    if datatype == "BYTES":
        return _texts(name, _split(name, raw))
    if datatype not in NUMPY_TYPES:
        raise _unknown(name, datatype, NUMPY_TYPES)
    try:
        found: list[Any] = np.frombuffer(raw, NUMPY_TYPES[datatype]).tolist()
    except ValueError as error:
        message = f"the tensor {name!r} has {len(raw)} bytes, no whole number of {datatype}"
        raise PayloadError(message) from error
    return found


def values_of_contents(name: str, datatype: str, contents: Any) -> list[Any]:
    """The values of a tensor that stand in the list of their type."""
    if datatype not in _TYPED:
        raise _unknown(name, datatype, _TYPED)
    found = list(getattr(contents, _TYPED[datatype]))
    return _texts(name, found) if datatype == "BYTES" else found


def raw_of(datatype: str, values: Sequence[Any]) -> bytes:
    """An output's values as they stand in raw_output_contents."""
    if datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(text)) + text for text in map(_encoded, values))
    return np.array(values, dtype=NUMPY_TYPES[datatype]).tobytes()


def fill(contents: Any, datatype: str, values: Sequence[Any]) -> None:
    """Put an output's values into the list of their type."""
    ready = map(_encoded, values) if datatype == "BYTES" else values
    getattr(contents, _TYPED[datatype]).extend(ready)


def _encoded(value: object) -> bytes:
    return (label_text(value) or "").encode()


def _split(name: str, raw: bytes) -> list[bytes]:
    found = []
    at = 0
    while at < len(raw):
        start = at + _LENGTH.size
        end = start + _LENGTH.unpack_from(raw, at)[0] if start <= len(raw) else len(raw) + 1
        if end > len(raw):
            raise PayloadError(f"the raw contents of the tensor {name!r} break off in a text")
        found.append(raw[start:end])
        at = end
    return found


def _texts(name: str, values: list[bytes]) -> list[str]:
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise PayloadError(f"a text of the tensor {name!r} is no UTF-8") from error


def _unknown(name: str, datatype: str, known: Mapping[str, str]) -> PayloadError:
    given = datatype[:40]
    listed = ", ".join(dict.fromkeys((*known, "BYTES")))
    return PayloadError(f"the tensor {name!r} has the datatype {given!r}; known are {listed}")
