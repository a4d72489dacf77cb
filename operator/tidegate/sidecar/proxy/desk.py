"""What all client connections share: where requests go, what is counted, what is added to heads."""

import re
from time import time
from typing import Protocol

from tidegate.api.names import HEADER_ID
from tidegate.evidence.ids import issue_lines
from tidegate.sidecar.proxy.capture import Capture
from tidegate.sidecar.proxy.exchange import Budget, Exchange
from tidegate.sidecar.proxy.heads import RequestHead, with_header
from tidegate.sidecar.proxy.rounds import Rounds, Sweepable
from tidegate.sidecar.proxy.shadow import Shadow
from tidegate.sidecar.proxy.split import Route, Split, Target
from tidegate.sidecar.records import Kind, Record
from tidegate.traffic import marks

FEEDBACK_PATH = b"/feedback"
CALLER_ID_LIMIT = 512  # bytes
_CALLER_ID = re.compile(rb"\r\n(ce-id|x-request-id):[\t ]*+([^\r]*+)", re.IGNORECASE)
CLIENT_LIMIT = 8192  # connections; each may hold half a megabyte when everybody is slow


class Sink(Protocol):
    """Where the records of finished requests go."""

    def send(self, record: Record) -> None: ...
    def count(
        self,
        kind: Kind,
        status: int,
        arrival: float,
        generation: int,
        revision: str,
        latency: float,
    ) -> None: ...


class Desk:
    """One for the traffic port."""

    def __init__(
        self,
        member: str,
        secret: bytes,
        split: Split,
        monitor: Target,
        sink: Sink,
        capture: Capture,
        shadow: Shadow,
    ) -> None:
        self._member = member
        self._secret = secret
        self._split = split
        self._sink = sink
        self._sequence = 0
        self._id_lines: list[bytes] = []  # of the next answers, the next one last
        self._capture = capture
        self._shadow = shadow
        self._budget = Budget(capture.body_limit)
        self.monitor = monitor
        self.clients: set[Sweepable] = set()
        self._rounds = Rounds(self.clients)
        self.draining = False
        """The pod is about to end: every answer is the last one of its connection."""
        self.hanging_up = False
        """Clients that have not asked since draining began are not waited for any longer."""

    @property
    def full(self) -> bool:
        """Whether one more client's connection would be too many."""
        return len(self.clients) >= CLIENT_LIMIT

    def begin(self, head: RequestHead) -> Exchange:
        """A new request: choose who answers it."""
        post = head.method == b"POST"
        if post and head.path == FEEDBACK_PATH:
            route = Route(self.monitor, 0, "")
            return Exchange(head, route, time(), None, counted=False)
        route = self._split.choose(head)
        counted = post and route.counted
        copied = counted and self._capture.wants()
        shadow = self._split.shadow(route) if counted else None
        # What another pod answers is decoded there.
        budget = self._budget if (copied and not route.mark) or shadow is not None else None
        exchange = Exchange(head, route, time(), budget, counted=counted, copied=copied)
        exchange.shadow = shadow
        if not route.mark:
            self._number(exchange)
        return exchange

    def sweep(self, now: float) -> bool:
        """Look after connections that hang or, when hanging up, are idle; whether more are left."""
        self._shadow.sweep(now)
        return self._rounds.sweep(now)

    def _number(self, exchange: Exchange) -> None:
        self._sequence += 1
        if not self._id_lines:
            self._id_lines = issue_lines(HEADER_ID, self._member, self._secret, self._sequence)
            self._id_lines.reverse()
        exchange.sequence = self._sequence
        exchange.id_line = self._id_lines.pop()

    def head_for_upstream(self, exchange: Exchange) -> bytes:
        """The head as it came, so that no model can tell its arm; marks are for pods only."""
        head, mark = exchange.head, exchange.route.mark
        raw = head.raw if head.routed is None else marks.without(head.raw)
        return with_header(raw, mark) if mark else raw

    def fall_back(self, exchange: Exchange) -> bool:
        """Take over a request that could not be handed to another pod; False if it was our own.

        It stays counted once, against the revision that should have answered it: to count it
        for this pod's revision too would shift the comparison of the arms.
        """
        if not exchange.route.mark:
            return False
        self._count(exchange, Kind.UNREACHABLE)
        exchange.counted = False
        exchange.route = self._split.local(exchange.route.generation)
        self._number(exchange)
        return True

    def finish(self, exchange: Exchange) -> None:
        """An answer has gone out completely."""
        answer = exchange.answer
        if answer is None:
            return
        if not exchange.route.mark:
            whole = exchange.framing.done  # a model may answer before it has heard all
            self._count(exchange, Kind.ANSWERED, answer.status, complete=whole)
            if whole and exchange.shadow is not None and 200 <= answer.status < 300:
                self._shadow.copy(exchange, answer, exchange.shadow)
        elif not answer.has_id:
            self._count(exchange, Kind.UNREACHABLE)

    def broke_off(self, exchange: Exchange) -> None:
        """The answer broke off in the middle."""
        if not exchange.route.mark:
            self._count(exchange, Kind.ANSWERED, 502)
        elif exchange.answer is None or not exchange.answer.has_id:
            self._count(exchange, Kind.UNREACHABLE)

    def fail(self, exchange: Exchange, status: int, now: float) -> None:
        """There was no answer, so the client gets `status` from the proxy."""
        exchange.answered_at = now
        if exchange.route.mark:
            self._count(exchange, Kind.UNREACHABLE)
        elif status == 504:
            self._count(exchange, Kind.TIMEOUT, status)
        else:
            self._count(exchange, Kind.ANSWERED, status)

    def client_left(self, exchange: Exchange, now: float, *, stalled: bool) -> None:
        """The client did not wait for the whole answer.

        That is a timeout if there was no answer yet, or if it had `stalled`.
        """
        if exchange.route.mark:
            return  # the pod that answers sees it too
        answer = exchange.answer
        if answer is None:
            exchange.answered_at = now
        if answer is None or stalled:
            self._count(exchange, Kind.TIMEOUT)
        else:
            self._count(exchange, Kind.ANSWERED, answer.status)

    def _count(
        self, exchange: Exchange, kind: Kind, status: int = 0, *, complete: bool = False
    ) -> None:
        if not exchange.counted:
            return
        route, arrival = exchange.route, exchange.arrival
        latency = exchange.answered_at - exchange.started
        if not exchange.started or latency < 0:
            latency = 0.0
        if not exchange.copied:
            self._sink.count(kind, status, arrival, route.generation, route.revision, latency)
            return
        decodable = complete and 200 <= status < 300
        self._sink.send(
            Record(
                kind,
                exchange.flags(complete=complete),
                status,
                arrival,
                route.generation,
                exchange.sequence,
                latency,
                route.revision,
                exchange.asked.joined() if decodable else b"",
                exchange.given.joined() if decodable else b"",
                _caller_id(exchange.head.raw) if decodable and self._capture.caller_ids else b"",
            )
        )


def _caller_id(raw: bytes) -> bytes:
    """The event's own id before that of the request which brings it."""
    found: dict[bytes, bytes] = {name.lower(): value for name, value in _CALLER_ID.findall(raw)}
    value = found.get(b"ce-id") or found.get(b"x-request-id") or b""
    return value[:CALLER_ID_LIMIT].rstrip()
