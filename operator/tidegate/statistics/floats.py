"""Arrays of float64 as short text, so that a test restored from its state goes on bit for bit."""

from base64 import b64decode, b64encode

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def pack(values: ArrayLike) -> str:
    """The bytes of float64 values (little endian) in base64; the shape is the reader's to know.

    >>> pack([0.0, -0.1])
    'AAAAAAAAAACamZmZmZm5vw=='
    """
    return b64encode(np.asarray(values, dtype="<f8").tobytes()).decode("ascii")


def unpack(text: str) -> Floats:
    """The values that `pack` was given, flat.

    >>> float(unpack(pack([0.1 + 0.2]))[0]) == 0.1 + 0.2
    True
    """
    return np.frombuffer(b64decode(text, validate=True), dtype="<f8").astype(np.float64)


def single(values: ArrayLike) -> Floats:
    """The values rounded to single precision: what `pack_single` keeps, so that it loses nothing.

    >>> float(single(0.1)) == 0.1
    False
    """
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def pack_single(values: ArrayLike) -> str:
    """As `pack`, in half the length, for values that are `single` already.

    >>> pack_single([0.0, 0.5])
    'AAAAAAAAAD8='
    """
    return b64encode(np.asarray(values, dtype="<f4").tobytes()).decode("ascii")


def unpack_single(text: str) -> Floats:
    """The values that `pack_single` was given, flat.

    >>> unpack_single(pack_single([0.0, 0.5])).tolist()
    [0.0, 0.5]
    """
    return np.frombuffer(b64decode(text, validate=True), dtype="<f4").astype(np.float64)
