"""The values of a tensor by its datatype: little-endian bytes, or JSON that stands for them."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.evidence.datatypes import NUMPY_TYPES
from tidegate.sidecar.monitor.payloads.table import UnparsedError

_LENGTH = struct.Struct("<I")
_DIGITS = {"FP32": 6, "FP16": 3, "BF16": 2}
"""How many significant decimal digits each of the narrow floats carries from end to end."""
_NUMBERS = frozenset({bool, int, float})


def unpacked(data: bytes, datatype: str) -> list[Any]:
    """The values of a tensor that came as bytes."""
    if datatype == "BYTES":
        return _texts(data)
    try:
        if datatype in _DIGITS:
            return _decimals(_narrow(data, datatype), datatype)
        found: list[Any] = np.frombuffer(data, NUMPY_TYPES[datatype]).tolist()
    except KeyError as error:
        raise UnparsedError("format") from error
    except ValueError as error:  # not a whole number of values
        raise UnparsedError("shape") from error
    return found


def written(values: list[Any], datatype: str) -> list[Any]:
    """The values of a tensor that came in JSON; narrow floats are often written as wide ones."""
    # Of numbers alone: an array that holds a text gives each value as much room as the longest.
    if datatype not in ("FP32", "FP16") or not _NUMBERS.issuperset(map(type, values)):
        return values
    wide = np.asarray(values)
    if wide.dtype != np.float64:
        return values
    with np.errstate(over="ignore"):
        return _decimals(wide.astype(NUMPY_TYPES[datatype]), datatype)


def _texts(data: bytes) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH.size
        if start > len(data):
            raise UnparsedError("shape")
        (length,) = _LENGTH.unpack_from(data, at)
        at = start + length
        found.append(data[start:at].decode(errors="replace"))
    if at > len(data):
        raise UnparsedError("shape")
    return found


def _narrow(data: bytes, datatype: str) -> NDArray[Any]:
    if datatype == "BF16":  # the upper half of an FP32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, NUMPY_TYPES[datatype])


def _decimals(narrow: NDArray[Any], datatype: str) -> list[float]:
    """The short decimals that the values stand for, as far as they do.

    0.7 as FP32 is 0.699999988: it would fall below the bin of the 0.7 that training saw.
    """
    wide = narrow.astype(np.float64)
    with np.errstate(all="ignore"):
        exponent = np.floor(np.log10(np.abs(wide)))
        scale = np.maximum(10.0 ** (_DIGITS[datatype] - 1 - exponent), 1.0)
        short = np.rint(wide * scale) / scale
        if datatype == "BF16":
            same = (short.astype("<f4").view("<u4") + 0x8000) >> 16 == narrow.view("<u4") >> 16
        else:
            same = short.astype(narrow.dtype) == narrow
    found: list[float] = np.where(same, short, wide).tolist()
    return found
