"""Rows of the prediction log: a sample of those of an interval, bounded in number and bytes."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import Any

import orjson
import pyarrow

from tidegate.api.names import Reason
from tidegate.clients.objectstore import Entry, ObjectStore
from tidegate.errors import TerminalError
from tidegate.runtime.patience import patiently
from tidegate.runtime.progress import Progress

PARTS_LIMIT = 200
BYTES_LIMIT = 64 << 20  # compressed, of all parts
TEXT_LIMIT = 64 << 20  # unpacked, of one part: a sidecar cuts it at a tenth of that or so
TRACK = "stable"  # a candidate's requests may have been chosen by their headers


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """A row that a model was asked about."""

    time: str
    request: str
    features: Mapping[str, Any]


def logged_rows(
    store: ObjectStore,
    folder: str,
    after: datetime,
    through: datetime,
    *,
    limit: int,
    scratch: Path,
    patience: float,
) -> list[LoggedRow]:
    """About `limit` rows from `after` up to `through`, oldest first; all rows of a request or none.

    Which requests are kept follows from their ids, so a look that is repeated sees the same rows.
    """
    parts = _spread(list(_parts(store, folder, after, through, patience)))
    print(f"{len(parts)} parts of the log are read", flush=True)
    sample = _Sample(limit)
    for part in parts:
        target = _fetched(store, folder + part.path, scratch, patience)
        for row in _rows(_lines(target), after, through):
            sample.add(row)
    return sorted(sample.rows(), key=lambda r: (r.time, r.request))


def _fetched(store: ObjectStore, uri: str, scratch: Path, patience: float) -> Path:
    """One part at a time lies on the disk."""
    target, progress = scratch / "part", Progress("part")
    patiently(
        lambda: store.download(uri, target, limit_bytes=BYTES_LIMIT, progress=progress), patience
    )
    return target


def _parts(
    store: ObjectStore, folder: str, after: datetime, through: datetime, patience: float
) -> Iterator[Entry]:
    """The parts of the hours that overlap with the interval, in their order."""
    first = after.replace(minute=0, second=0, microsecond=0)
    day = first.replace(hour=0)
    while day < through:
        prefix = f"date={day:%Y-%m-%d}/"
        for entry in patiently(lambda prefix=prefix: store.entries(folder + prefix), patience):  # type: ignore[misc]  # mypy can't infer a lambda with a default
            hour = entry.path.partition("/")[0].removeprefix("hour=")
            if hour.isdecimal() and first <= day + timedelta(hours=int(hour)) < through:
                yield Entry(prefix + entry.path, entry.size)
        day += timedelta(days=1)


def _spread(parts: list[Entry]) -> list[Entry]:
    """Some of the parts, evenly over the interval, where all would be too many or too large."""
    size = sum(p.size for p in parts)
    step = max(1, ceil(max(len(parts) / PARTS_LIMIT, size / BYTES_LIMIT)))
    return parts[(len(parts) - 1) % step // 2 :: step]


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a part; of one that would fill the memory, as many as are allowed."""
    text, rest = 0, b""
    try:
        with pyarrow.input_stream(str(path), compression="zstd") as stream:
            while text < TEXT_LIMIT and (chunk := stream.read(1 << 20)):
                text += len(chunk)
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole
    except OSError as error:
        message = f"a part of the prediction log can't be read: {error}"
        raise TerminalError(Reason.DATA_INVALID, message) from error


def _rows(lines: Iterable[bytes], after: datetime, through: datetime) -> Iterator[LoggedRow]:
    first, last = (t.strftime("%Y-%m-%dT%H:%M:%S") for t in (after, through))
    for line in lines:
        try:
            found = orjson.loads(line)
            time, request, features = found["time"], found["id"], found["features"]
            counts = found["track"] == TRACK and features and first <= time < last
        except (ValueError, LookupError, TypeError):
            continue  # a line of somebody else's
        if counts:
            yield LoggedRow(time, request, features)


class _Sample:
    """The requests whose ids have the smallest hashes, as many as make up the rows."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: dict[str, list[LoggedRow]] = {}
        self._largest: list[tuple[int, str]] = []
        self._count = 0

    def add(self, row: LoggedRow) -> None:
        if row.request not in self._rows:
            key = _hash(row.request)
            if self._count >= self._limit and key >= -self._largest[0][0]:
                return
            heapq.heappush(self._largest, (-key, row.request))
            self._rows[row.request] = []
        self._rows[row.request].append(row)
        self._count += 1
        while self._count - len(self._rows[self._largest[0][1]]) >= self._limit:
            _, dropped = heapq.heappop(self._largest)
            self._count -= len(self._rows.pop(dropped))

    def rows(self) -> list[LoggedRow]:
        return [row for rows in self._rows.values() for row in rows]


def _hash(text: str) -> int:
    # Another hash than the one that chose what is logged, whose smallest values all are here.
    return int.from_bytes(blake2b(text.encode(), digest_size=8, person=b"look").digest(), "big")
