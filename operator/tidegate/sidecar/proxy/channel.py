"""The way of the records to the monitor: batched, never blocking, bounded.

When the monitor can't keep up or is down, copies are dropped and counted in the ledger, whose
tallies go out with the next mark: the number of requests and errors stays exact.

Between the records go marks that tell the time. The monitor closes slots by them and not by its own
clock, so that however late it reads, each request counts in the slot in which it arrived. A clock
that is set back far is told at once: the monitor has to begin anew.
"""

import asyncio
import socket
from collections import deque
from itertools import accumulate
from math import inf

from tidegate.sidecar.proxy.ledger import Ledger
from tidegate.sidecar.records import Kind, Record, pack
from tidegate.traffic.signing import CLOCK_SKEW_SECONDS

QUEUE_LIMIT_BYTES = 8 << 20
BATCH_BYTES = 256 << 10  # about what a socket takes at once
DRAIN_POLL_SECONDS = 0.01
BATCH_SECONDS = 0.005  # records wait this long for company; nobody waits for them
REQUESTS = (Kind.ANSWERED, Kind.TIMEOUT, Kind.UNREACHABLE)


class Channel:
    """The proxy's end; one monitor is attached at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._socket: socket.socket | None = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._batch: list[bytes] = []
        self._unsent = memoryview(b"")
        self._ledger = Ledger()
        self._scheduled = False
        self._blocked = False
        self._mark = b""  # the one that waits; a monitor that stands still needs no second one
        self._counted = 0
        self._now = inf  # at the last mark, told or not; unknown before the first one
        self.marked = 0.0
        """The latest time that was told."""

    def attach(self, ours: socket.socket, hello: list[Record]) -> None:
        """Send to a new monitor from here on, `hello` first and then what has queued up."""
        self._socket = ours
        for record in reversed(hello):
            self._put_first(pack(record))
        self._flush()

    def detach(self) -> None:
        """The monitor is gone: keep what it has not been sent, whole records only."""
        if self._socket is None:
            return
        self._unblock()
        self._socket.close()
        self._socket = None
        sent = sum(map(len, self._batch)) - len(self._unsent)
        ends = accumulate(map(len, self._batch))
        for data in reversed([d for d, end in zip(self._batch, ends, strict=True) if end > sent]):
            self._put_first(data)
        self._batch, self._unsent = [], memoryview(b"")

    def send(self, record: Record) -> None:
        """Hand over a record, or count it if there is no room for it."""
        if record.kind in REQUESTS:
            self._counted += 1
        if record.arrival > self._now + CLOCK_SKEW_SECONDS:
            record = record._replace(arrival=self._now)  # the clock was set since it came
        data = pack(record)
        full = self._queued_bytes + len(data) > QUEUE_LIMIT_BYTES
        if full and record.kind is not Kind.ROUTING:  # routing is small, rare, and needed
            self._ledger.add(record)
        else:
            self._put(data)
        self._schedule()

    def count(
        self,
        kind: Kind,
        status: int,
        arrival: float,
        generation: int,
        revision: str,
        latency: float,
    ) -> None:
        """Count a request of which there is nothing more to tell."""
        self._counted += 1
        if arrival > self._now + CLOCK_SKEW_SECONDS:
            arrival = self._now
        self._ledger.count(kind, status, arrival, generation, revision, latency)

    def mark(self, now: float, relayed: bytes = b"") -> None:
        """Tell the monitor the time, and that it has all up to here.

        `relayed`: what was counted of connections that are passed on unread.
        """
        was_set_back = now < self._now - CLOCK_SKEW_SECONDS
        self._now = now if was_set_back else max(self._now, now)
        if self._mark and not was_set_back:
            return
        for record in self._ledger.drain():
            self._put(pack(record))
        mark = Record(Kind.MARK, arrival=now, sequence=self._counted, request=relayed)
        self._mark = pack(mark)
        self.marked = self._now
        self._put(self._mark)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and not self._blocked and self._socket is not None:
            self._scheduled = True
            self._loop.call_later(BATCH_SECONDS, self._flush)

    def _put(self, data: bytes) -> None:
        self._queue.append(data)
        self._queued_bytes += len(data)

    def _put_first(self, data: bytes) -> None:
        self._queue.appendleft(data)
        self._queued_bytes += len(data)

    async def drain(self, seconds: float) -> None:
        """Wait until the monitor has been sent everything, if there is one."""
        end = self._loop.time() + seconds
        self._flush()
        # The socket's writer is at work meanwhile; an event for this one end would cost each batch.
        while self._unsent and self._socket and self._loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_SECONDS)

    def _flush(self) -> None:
        self._scheduled = False
        if self._socket is None:
            return
        try:
            while self._unsent or self._next_batch():
                # On two lines: compiled, a call inside of the brackets would be made twice.
                sent = self._socket.send(self._unsent)
                self._unsent = self._unsent[sent:]
        except BlockingIOError:
            self._block()
        except OSError:
            self.detach()  # the supervisor attaches the next monitor
        else:
            self._unblock()

    def _next_batch(self) -> bool:
        self._batch = []
        size = 0
        while self._queue and size < BATCH_BYTES:
            data = self._queue.popleft()
            self._batch.append(data)
            size += len(data)
            if data is self._mark:
                self._mark = b""
        self._queued_bytes -= size
        self._unsent = memoryview(b"".join(self._batch))
        return size > 0

    def _block(self) -> None:
        if not self._blocked and self._socket is not None:
            self._loop.add_writer(self._socket, self._flush)
            self._blocked = True

    def _unblock(self) -> None:
        if self._blocked and self._socket is not None:
            self._loop.remove_writer(self._socket)
            self._blocked = False
