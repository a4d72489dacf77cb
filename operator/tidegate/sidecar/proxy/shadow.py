"""Shadow copies: what stable has answered, the candidate answers too, for comparison only.

A copy is made when stable's answer has gone out, so that no client can feel it. What waits and what
is under way is bounded in number and in bytes; the rest is dropped and counted.
"""

from collections import deque
from typing import Protocol

from tidegate.sidecar.proxy.exchange import Exchange, wrapping
from tidegate.sidecar.proxy.heads import ResponseHead, with_header
from tidegate.sidecar.proxy.lane import ANSWER_SECONDS, Copied, Lane
from tidegate.sidecar.proxy.split import Route
from tidegate.sidecar.records import Flag, Kind, Record
from tidegate.traffic import marks

LANES = 16  # copies under way at once
WAITING = 512  # copies that may wait for a lane: a burst, not a backlog
HELD_BYTES = 8 << 20  # of requests and answers that wait for a lane or for the candidate


class Sink(Protocol):
    """Where the records of pairs go."""

    def send(self, record: Record) -> None: ...


class Shadow:
    """One for the traffic port; each pair becomes one record."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._free = [Lane(self._done) for _ in range(LANES)]
        self._busy: set[Lane] = set()
        self._waiting: deque[Copied] = deque()
        self._held = 0

    def copy(self, exchange: Exchange, answer: ResponseHead, route: Route) -> None:
        """Have the candidate answer what was answered here, if there is room for it."""
        record = Record(
            Kind.PAIRED,
            exchange.asked.lost | exchange.given.lost,
            answer.status,
            arrival=exchange.arrival,
            generation=route.generation,
            sequence=exchange.sequence,
            revision=route.revision,
        )
        if record.flags:
            self._sink.send(record)
            return
        head = with_header(marks.without(exchange.head.raw), route.mark)
        copied = Copied(
            route.target,
            exchange.head.method,
            head + exchange.asked.joined(),
            record._replace(
                flags=wrapping(answer, Flag.REQUEST_CHUNKED, Flag.REQUEST_GZIP),
                request=exchange.given.joined(),
            ),
            exchange.answered_at,
        )
        self._held += copied.size
        if self._held > HELD_BYTES or len(self._waiting) >= WAITING:
            self._drop(copied)
            return
        self._waiting.append(copied)
        self._dispatch()

    def sweep(self, now: float) -> None:
        """Look after lanes whose candidate does not answer, and after those who wait for one."""
        for lane in tuple(self._busy):
            lane.sweep(now)
        while self._waiting and now - self._waiting[0].since > ANSWER_SECONDS:
            self._drop(self._waiting.popleft())

    def _drop(self, copied: Copied) -> None:
        self._held -= copied.size
        self._sink.send(copied.record._replace(flags=Flag.NO_ROOM, request=b""))

    def _dispatch(self) -> None:
        while self._free and self._waiting:
            lane = self._free.pop()
            self._busy.add(lane)
            lane.take(self._waiting.popleft())

    def _done(self, lane: Lane, copied: Copied, record: Record) -> None:
        self._held -= copied.size
        self._busy.discard(lane)
        self._free.append(lane)
        self._sink.send(record)
        self._dispatch()
