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
