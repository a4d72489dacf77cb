"""Lines on their way to the store: compressed as they come, cut into parts, bounded in memory."""

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import zstandard

PART_BYTES = 2 << 20  # compressed; about ten times that as text
PART_SECONDS = 60.0  # what a crash costs at most
BACKLOG_BYTES = 12 << 20  # of parts that the store has not taken
CHUNK_BYTES = 64 << 10  # of text that is compressed at once: a third of a millisecond
OPEN_HOURS = 3  # late answers of the last hour and a stepped clock; more are closed early
LEVEL = 1  # 200 MB/s, and hardly larger than what five times the work gives

_HOUR_SECONDS = 3600


class Part(NamedTuple):
    """One object of the store."""

    key: str
    lines: int
    body: bytes


class _Draft:
    """A part that is still written to."""

    def __init__(self, opened: float) -> None:
        self.opened = opened
        self.lines = 0
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
        self._text: list[bytes] = []
        self._text_bytes = 0
        self._done: list[bytes] = []
        self.size = 0

    def add(self, line: bytes) -> None:
        self.lines += 1
        self._text.append(line)
        self._text_bytes += len(line)
        if self._text_bytes >= CHUNK_BYTES:
            self._compress()

    def _compress(self) -> None:
        self._keep(self._compressor.compress(b"".join(self._text)))
        self._text, self._text_bytes = [], 0

    def _keep(self, data: bytes) -> None:
        if data:
            self._done.append(data)
            self.size += len(data)

    def finish(self) -> bytes:
        self._compress()
        self._keep(self._compressor.flush())
        return b"".join(self._done)


class Parts:
    """Open parts by hour, then closed ones, of which the oldest are dropped to make room.

    `folder` is the prefix of all keys, `writer` a name that no other writer has, so that no
    object is ever written over.
    """

    def __init__(self, folder: str, writer: str) -> None:
        self._folder = folder
        self._writer = writer
        self._open: dict[int, _Draft] = {}
        self._closed: deque[Part] = deque()
        self._closed_bytes = 0
        self._sequence = 0
        self.dropped = 0
        """Lines that were given up."""

    @property
    def size(self) -> int:
        """Bytes that wait, without the part that is out with `take`."""
        return self._closed_bytes + sum(draft.size for draft in self._open.values())

    def add(self, lines: Iterable[bytes], arrival: float, now: float) -> None:
        """Write the lines of an answer to the part of its hour."""
        hour = int(arrival // _HOUR_SECONDS)
        for line in lines:
            draft = self._open.get(hour)
            if draft is None:
                draft = self._begin(hour, now)
            draft.add(line)
            if draft.size >= PART_BYTES:
                self._close(hour)

    def _begin(self, hour: int, now: float) -> _Draft:
        if len(self._open) >= OPEN_HOURS:
            self._close(min(self._open, key=lambda known: self._open[known].opened))
        draft = self._open[hour] = _Draft(now)
        return draft

    def close_older_than(self, opened: float) -> None:
        """Cut the parts that were begun before that time, or at it."""
        for hour in [h for h, draft in self._open.items() if draft.opened <= opened]:
            self._close(hour)

    def _close(self, hour: int) -> None:
        draft = self._open.pop(hour)
        self._sequence += 1
        when = datetime.fromtimestamp(hour * _HOUR_SECONDS, UTC)
        name = f"{self._writer}-{self._sequence:06d}.jsonl.zst"
        key = f"{self._folder}date={when:%Y-%m-%d}/hour={when:%H}/{name}"
        part = Part(key, draft.lines, draft.finish())
        self._closed.append(part)
        self._closed_bytes += len(part.body)
        self._make_room()

    def _make_room(self) -> None:
        while self._closed_bytes > BACKLOG_BYTES:
            oldest = self._closed.popleft()
            self._closed_bytes -= len(oldest.body)
            self.dropped += oldest.lines

    def take(self) -> Part | None:
        """The oldest closed part, for its upload."""
        if not self._closed:
            return None
        part = self._closed.popleft()
        self._closed_bytes -= len(part.body)
        return part

    def give_back(self, part: Part) -> None:
        """The store did not take it: it is the oldest one again."""
        self._closed.appendleft(part)
        self._closed_bytes += len(part.body)
        self._make_room()

    def abandon(self) -> int:
        """Give up all that is left; the number of lines."""
        self.close_older_than(float("inf"))
        left = sum(part.lines for part in self._closed)
        self._closed.clear()
        self._closed_bytes = 0
        self.dropped += left
        return left
