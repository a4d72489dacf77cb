"""Tables in JSON: KServe V1, TensorFlow Serving, and the scoring server of MLflow."""

from collections.abc import Sequence
from typing import Any

from tidegate.sidecar.monitor.payloads.table import (
    Columns,
    UnparsedError,
    check_size,
    from_columns,
    from_named_rows,
    from_rows,
)


def features(document: dict[str, Any], names: Sequence[str]) -> Columns:
    """The columns of a request's features, whichever of the tables it is."""
    match document:
        case {"instances": [*rows]} | {"dataframe_records": [*rows]}:
            return from_rows(rows, names)
        case {"dataframe_split": {"data": [*rows]} as frame}:
            return _from_frame(frame.get("columns"), rows, names)
        # KServe means rows by `inputs`, TensorFlow Serving columns. A list of rows is also the one
        # tensor that TensorFlow means by it, and an object can only be columns.
        case {"inputs": [*rows]}:
            return from_rows(rows, names)
        case {"inputs": dict(columns)}:
            return _from_tensors(columns, names)
        case _:
            raise UnparsedError("format")


def _from_frame(header: Any, rows: list[Any], names: Sequence[str]) -> Columns:
    if header is None or header == list(range(len(names))):  # a frame made of a bare matrix
        return from_rows(rows, names)
    if not isinstance(header, list) or not all(isinstance(name, str) for name in header):
        raise UnparsedError("feature_names")
    return from_named_rows(header, rows, names)


def _from_tensors(columns: dict[str, Any], names: Sequence[str]) -> Columns:
    if not all(isinstance(values, list) for values in columns.values()):
        raise UnparsedError("format")
    if len(columns) == 1 and not columns.keys() & set(names):
        (rows,) = columns.values()  # one tensor [rows, features]
        return from_rows(rows, names)
    for values in columns.values():
        check_size(len(values), 1)
    return from_columns({name: singles(values) for name, values in columns.items()}, names)


def predictions(document: dict[str, Any]) -> list[Any]:
    """One prediction for each row; a table or several tensors only if there is one column."""
    answer = document.get("predictions", document.get("outputs"))
    if isinstance(answer, dict) and len(answer) == 1:
        (answer,) = answer.values()
    if not isinstance(answer, list):
        raise UnparsedError("predictions")
    return singles(answer)


def singles(rows: list[Any]) -> list[Any]:
    """The values of rows that hold one each, bare or wrapped."""
    return [_single(row) for row in rows]


def _single(row: Any) -> Any:
    if isinstance(row, (list, dict)) and len(row) == 1:
        (row,) = row.values() if isinstance(row, dict) else row
    return row
