"""What a payload is decoded to, the limits of it, and the rules by which rows become columns."""

from collections.abc import Mapping, Sequence
from typing import Any

ROWS_LIMIT = 1 << 16
VALUES_LIMIT = 1 << 19  # of one payload: a row of few bytes must not become a thousand columns

Columns = Sequence[Sequence[Any]]
"""The values of each feature, in the profile's order."""


class UnparsedError(Exception):
    """The payload is none that can be counted; `reason` is the label of the metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check_size(rows: int, features: int) -> None:
    """Raise UnparsedError before so many values are laid out."""
    if rows > ROWS_LIMIT or rows * features > VALUES_LIMIT:
        raise UnparsedError("too_large")


def from_rows(rows: Sequence[Any], names: Sequence[str]) -> Columns:
    """Rows as lists in the profile's order, as objects by name, or bare values of one feature."""
    check_size(len(rows), len(names))
    kinds = set(map(type, rows))
    if not kinds:
        return [[] for _ in names]
    if kinds == {list}:
        if set(map(len, rows)) != {len(names)}:
            raise UnparsedError("feature_count")
        return list(zip(*rows, strict=True))
    if kinds == {dict}:
        if not any(name in row for row in rows for name in names):
            raise UnparsedError("feature_names")
        return [[row.get(name) for row in rows] for name in names]
    if len(names) == 1 and not kinds & {list, dict}:
        return [list(rows)]
    raise UnparsedError("feature_count")


def from_columns(found: Mapping[str, list[Any]], names: Sequence[str]) -> Columns:
    """Columns by name; one that is absent is None in every row, one of no feature is ignored."""
    known = [found[name] for name in names if name in found]
    if not known:
        raise UnparsedError("feature_names")
    rows = len(known[0])
    if any(len(values) != rows for values in known):
        raise UnparsedError("row_count")
    check_size(rows, len(names))
    absent = [None] * rows
    return [found.get(name, absent) for name in names]


def from_named_rows(header: Sequence[Any], rows: Sequence[Any], names: Sequence[str]) -> Columns:
    """Rows as lists under a header in any order."""
    check_size(len(rows), len(names))
    wanted = set(names)
    places = [(name, place) for place, name in enumerate(header) if name in wanted]
    if len(dict(places)) < len(places):  # which of two columns the model read is unknown
        raise UnparsedError("feature_names")
    if not all(isinstance(row, list) and len(row) == len(header) for row in rows):
        raise UnparsedError("feature_count")
    return from_columns({name: [row[place] for row in rows] for name, place in places}, names)
