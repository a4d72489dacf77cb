"""CSV with a header, as MLflow's scoring server takes it; cells are typed as pandas reads them."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

from tidegate.sidecar.monitor.payloads.table import (
    ROWS_LIMIT,
    VALUES_LIMIT,
    Columns,
    UnparsedError,
    from_named_rows,
)

_MISSING = frozenset(("", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"))
_BOOLS = {
    "True": True,
    "TRUE": True,
    "true": True,
    "False": False,
    "FALSE": False,
    "false": False,
}
_TYPES: tuple[Callable[[str], Any], ...] = (int, float, _BOOLS.__getitem__)


def features(content: bytes, names: Sequence[str]) -> Columns:
    """The columns of the features by the names in the header."""
    if content.count(b",") > VALUES_LIMIT:
        raise UnparsedError("too_large")
    try:
        rows = csv.reader(io.StringIO(content.decode(), newline=""))
        header = next(rows, [])
        if not set(header) & set(names):
            raise UnparsedError("json")  # no CSV either: any text has a first line
        found = [row for _, row in zip(range(ROWS_LIMIT + 1), filter(None, rows), strict=False)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnparsedError("json") from error
    return [_typed(cells) for cells in from_named_rows(header, found, names)]


def _typed(cells: Sequence[Any]) -> list[Any]:
    """All cells of a column as numbers, else all as booleans, else as text."""
    present = [cell for cell in cells if cell is not None and cell not in _MISSING]
    for read in _TYPES:
        try:
            values = iter([read(cell) for cell in present])
        except (ValueError, KeyError):
            continue
        return [None if c is None or c in _MISSING else next(values) for c in cells]
    return [None if cell in _MISSING else cell for cell in cells]
