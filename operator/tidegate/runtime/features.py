"""From columns of values to the matrix that a model takes: one way for training and serving."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.evidence.encode import Column, label_text, numbers
from tidegate.evidence.profile import Kind

MISSING_TEXT = ""
"""What a model sees for a missing category: a level of its own, which every format can hold."""


class UnusableValueError(ValueError):
    """A value that does not fit its feature's kind; the message names feature and row."""


def matrix(
    columns: Mapping[str, Column], features: Sequence[str], kinds: Mapping[str, Kind]
) -> NDArray[Any]:
    """The rows as an array: float64 if all features are numbers, objects otherwise."""
    ready = [
        _numbers(name, columns[name]) if kinds[name] == "number" else _texts(name, columns[name])
        for name in features
    ]
    if all(kind == "number" for kind in kinds.values()):
        return np.column_stack(ready)
    table = np.empty((len(ready[0]), len(ready)), dtype=np.object_)
    for index, column in enumerate(ready):
        table[:, index] = column
    return table


def _numbers(name: str, values: Column) -> NDArray[np.float64]:
    found, invalid = numbers(values)
    if invalid.any():
        row = int(invalid.argmax())
        raise UnusableValueError(
            f"feature {name!r} takes numbers; row {row} has {_shown(values[row])}"
        )
    return found


def _texts(name: str, values: Column) -> list[str]:
    texts = []
    for row, value in enumerate(values):
        try:
            text = label_text(value)
        except TypeError as error:
            message = f"feature {name!r} takes categories; row {row} has {_shown(value)}"
            raise UnusableValueError(message) from error
        texts.append(MISSING_TEXT if text is None else text)
    return texts


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
