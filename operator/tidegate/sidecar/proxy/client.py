"""A client's connection: requests in, answers out, in order, byte for byte."""

import asyncio
import re
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from time import monotonic
from typing import Final, cast

from typing_extensions import override

from tidegate.sidecar.framing import FramingError, cut
from tidegate.sidecar.proxy.desk import Desk
from tidegate.sidecar.proxy.exchange import Exchange
from tidegate.sidecar.proxy.heads import (
    HEAD_END,
    HEAD_LIMIT_BYTES,
    REMEMBERED_BYTES,
    HeadError,
    RequestHead,
    ResponseHead,
    malformed,
    parse_request,
)
from tidegate.sidecar.proxy.patience import Patience, Phase
from tidegate.sidecar.proxy.refusal import refusal
from tidegate.sidecar.proxy.split import Target
from tidegate.sidecar.proxy.upstream import Owner, Upstream

BUFFER_BYTES: Final = 262144  # what may wait on either side before its sender is made to wait
# A pod that forwards waits longer, so that the pod that answers says and counts the timeout.
FORWARD_GRACE_SECONDS = 5.0
AT_ONCE = pack("ii", 1, 0)  # so that a connection ends with a reset, which is no plain end
_EMPTY_LINES = re.compile(rb"\A(?:\r\n)++")


class Client(Owner):
    """One exchange at a time; what a client sends ahead waits for its turn."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._loop = loop
        self._transport: asyncio.Transport
        self._inbox = b""
        self._outbox: list[bytes] = []  # one write for all that comes at once: writes cost most
        self._exchange: Exchange | None = None
        self._upstreams: dict[Target, Upstream] = {}
        self._upstream: Upstream | None = None
        self._head: RequestHead | None = None  # the last one: the next is the same, most often
        self._patience = Patience()
        self._slow = False  # the client does not take its answer as fast as it comes
        self._paused = False
        self._tunnel = False
        self._ended = False  # the client sends no more, but may well wait for its answer
        self._closing = False

    # The client's side

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=BUFFER_BYTES)
        if self._desk.full:
            self._closing = True
            self._transport.write(refusal(503))
            self._transport.close()
        else:
            self._desk.clients.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._desk.clients.discard(self)
        self._leave()
        for upstream in self._upstreams.values():
            upstream.close()

    @override
    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._tunnel and self._upstream is not None:
            self._patience.moved = True
            self._upstream.write(data)
            return
        self._inbox = self._inbox + data if self._inbox else data
        self._advance()

    @override
    def eof_received(self) -> bool:
        """Tell the upstream too; what to make of it is its choice, as without a proxy."""
        ended, self._ended = self._ended, True
        exchange = self._exchange
        if self._closing:
            return False
        if self._tunnel and self._upstream is not None:
            self._upstream.end()
            return not ended
        if exchange is None or not exchange.framing.done:
            return False  # nobody waits for an answer
        self._send()
        return True

    @override
    def pause_writing(self) -> None:
        self._slow = True
        if self._upstream is not None:
            self._upstream.pause(paused=True)

    @override
    def resume_writing(self) -> None:
        self._slow = False
        self._patience.moved = True
        if self._upstream is not None:
            self._upstream.pause(paused=False)

    def _advance(self) -> None:
        while self._inbox and not self._closing:
            exchange = self._exchange
            if exchange is None:
                if not self._begin():
                    break
            elif exchange.framing.done:
                break  # sent ahead: it waits until this answer has gone out
            else:
                self._take_body(exchange)
        self._send()
        self._regulate()

    def _begin(self) -> bool:
        head = self._head
        if head is None or not self._inbox.startswith(head.raw):
            head = self._read_head()
            if head is None:
                return False
            self._head = head if len(head.raw) <= REMEMBERED_BYTES else None
        self._inbox = self._inbox[len(head.raw) :]
        self._patience.moved = True
        self._exchange = self._desk.begin(head)
        self._dispatch(self._exchange)
        return True

    def _read_head(self) -> RequestHead | None:
        if self._inbox.startswith(b"\r\n"):  # some clients end a body with one too many
            self._inbox = _EMPTY_LINES.sub(b"", self._inbox, 1)
        end = self._inbox.find(HEAD_END) + len(HEAD_END)
        if end < len(HEAD_END):
            if malformed(self._inbox):
                self._reply(431 if len(self._inbox) > HEAD_LIMIT_BYTES else 400)
            return None
        if end > HEAD_LIMIT_BYTES:
            self._reply(431)
            return None
        try:
            return parse_request(self._inbox[:end])
        except HeadError:
            self._reply(400)
            return None

    def _take_body(self, exchange: Exchange) -> None:
        try:
            taken = exchange.framing.take(self._inbox)
        except FramingError:
            self._give_up(exchange, 400)
            return
        part, self._inbox = cut(self._inbox, taken)
        self._patience.moved = True
        if exchange.counted:
            exchange.asked.add(part)
        exchange.waiting.append(part)

    def _regulate(self) -> None:
        """Let the client send exactly while there is somewhere to put what it sends."""
        waiting = len(self._inbox)
        if self._exchange is not None and self._exchange.waiting:
            waiting += sum(map(len, self._exchange.waiting))
        pause = waiting > BUFFER_BYTES or self._is_upstream_congested()
        if pause == self._paused or self._closing:
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _is_upstream_congested(self) -> bool:
        """Whether it does not take the request as fast as it comes.

        Between two requests that does not matter: the next one may go to another.
        """
        upstream = self._upstream
        in_use = self._exchange is not None or self._tunnel
        return in_use and upstream is not None and upstream.congested

    # The upstream's side

    def _dispatch(self, exchange: Exchange) -> None:
        target, upstream = exchange.route.target, self._upstream
        if upstream is None or upstream.target is not target:
            upstream = self._upstreams.get(target)
        now = monotonic()
        if upstream is None or not upstream.reusable(now):
            if upstream is not None:
                upstream.close()
            upstream = self._upstreams[target] = Upstream(self, target, self._loop)
        self._upstream = upstream
        self._start(exchange, upstream, now)

    def _start(self, exchange: Exchange, upstream: Upstream, now: float) -> None:
        """From here on the model is asked, if it can be reached already."""
        if exchange.started or not upstream.connected:
            return
        exchange.started = now
        upstream.expect(exchange.head.method)
        if upstream.paused != self._slow:
            upstream.pause(paused=self._slow)
        exchange.waiting.insert(0, self._desk.head_for_upstream(exchange))

    def _send(self) -> None:
        """Pass on what there is of the request."""
        exchange, upstream = self._exchange, self._upstream
        if exchange is None or upstream is None or not exchange.started:
            return
        parts = exchange.waiting
        if parts:
            upstream.write(b"".join(parts))
            parts.clear()
        if self._ended and not self._inbox:
            upstream.end()

    @override
    def upstream_ready(self) -> None:
        exchange, upstream = self._exchange, self._upstream
        if exchange is not None and upstream is not None:
            self._start(exchange, upstream, monotonic())
        self._send()
        self._regulate()

    @override
    def upstream_unreachable(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if self._desk.fall_back(exchange):
            self._dispatch(exchange)
            self._send()
            self._regulate()
        else:
            self._fail(exchange, self._lost_status(exchange))

    @override
    def upstream_ended(self) -> bool:
        """The other end of the tunnel sends no more; whether the tunnel stays open for us."""
        if self._ended:
            return False
        self._ended = True
        self._transport.write_eof()
        return True

    @override
    def upstream_lost(self) -> None:
        """The connection broke; nothing is sent twice, so a request that was sent has failed."""
        exchange = self._exchange
        if self._tunnel:
            self._close()
        elif exchange is None:
            return
        elif self._ended:  # the upstream takes a client that sends no more for one that has left
            self._leave()
            self._tear(exchange)
        elif exchange.answer is None:
            self._fail(exchange, self._lost_status(exchange))
        else:
            self._break_off(exchange)

    def _lost_status(self, exchange: Exchange) -> int:
        """A monitor is soon back: 503 asks the client to try again, which 502 does not."""
        return 503 if exchange.route.target is self._desk.monitor else 502

    @override
    def upstream_pace_changed(self) -> None:
        self._patience.moved = True
        self._regulate()

    @override
    def answer_begins(self, head: ResponseHead) -> None:
        exchange, upstream = self._exchange, self._upstream
        if exchange is None or upstream is None:
            return
        exchange.answer = head
        exchange.answered_at = upstream.read_at
        exchange.last = self._is_last(exchange)
        self._outbox.append(head.lines)
        self._outbox.append(exchange.id_line)
        if exchange.last and head.keep_alive and exchange.head.keep_alive:
            self._outbox.append(b"connection: close\r\n")  # neither side has said it itself
        self._outbox.append(b"\r\n")
        if head.status == 101:
            self._tunnel = True
            self._retire()
            self.flush()
            ahead, self._inbox = self._inbox, b""
            if ahead:  # else the client may have ended already, and the upstream been told
                upstream.write(ahead)
            upstream.tunnel()
            self._regulate()

    @override
    def answer_part(self, part: bytes) -> None:
        self._outbox.append(part)
        exchange = self._exchange
        if exchange is not None and exchange.counted and self._upstream is not None:
            if not exchange.has_content:
                exchange.has_content = True
                exchange.answered_at = self._upstream.read_at
            exchange.given.add(part)

    @override
    def pass_on(self, data: bytes) -> None:
        self._patience.moved = True
        self._transport.write(data)

    @override
    def flush(self) -> None:
        if self._outbox:
            self._patience.moved = True
            self._transport.write(b"".join(self._outbox))
            self._outbox.clear()

    @override
    def answer_ends(self) -> None:
        exchange = self._exchange
        if exchange is None or exchange.answer is None:
            return
        self.flush()
        self._desk.finish(exchange)
        self._retire()
        if exchange.last or not exchange.answer.keep_alive:
            self._close(linger=not exchange.framing.done)
            return
        if self._inbox or self._paused:
            self._advance()
        if self._ended and self._exchange is None:
            self._close()

    def _is_last(self, exchange: Exchange) -> bool:
        """Whether the connection can't be used again after this answer."""
        return self._desk.draining or not exchange.head.keep_alive or not exchange.framing.done

    # Ends

    def sweep(self, now: float) -> None:
        """Give up on whoever keeps the other waiting for too long."""
        exchange = self._exchange
        is_idle = exchange is None and not self._inbox and not self._tunnel
        if is_idle and self._desk.hanging_up:
            self._close()
        phase, buffered, grace = self._phase(), self._transport.get_write_buffer_size(), 0.0
        if exchange is not None and self._upstream is not None:
            buffered += self._upstream.unsent
            if exchange.route.mark:
                grace = FORWARD_GRACE_SECONDS
        if self._patience.exhausted(phase, buffered, now, grace):
            self._run_out(phase)

    def _phase(self) -> Phase:
        exchange = self._exchange
        if self._tunnel:
            return Phase.OPEN
        if self._slow or (self._closing and self._transport.get_write_buffer_size()):
            return Phase.TAKING
        if self._closing:
            return Phase.LINGER
        if exchange is None:
            return Phase.HEAD if self._inbox else Phase.IDLE
        is_models_turn = exchange.framing.done or self._paused
        if exchange.answer is None:
            return Phase.MODEL if is_models_turn else Phase.BODY
        if not is_models_turn:
            return Phase.OPEN  # it has begun to answer, and may well want the rest first
        return Phase.EVENT if exchange.answer.has_events else Phase.REST

    def _run_out(self, phase: Phase) -> None:
        exchange = self._exchange
        if phase is Phase.HEAD:
            self._reply(408)
        elif exchange is None:
            self._abort()
        elif phase is Phase.BODY:
            self._give_up(exchange, 408)
        elif phase is Phase.MODEL:
            self._fail(exchange, 504)
        elif phase in (Phase.REST, Phase.EVENT):
            self._break_off(exchange)
        else:
            self._abort()

    def _abort(self) -> None:
        self._closing = True
        self._transport.abort()

    def _fail(self, exchange: Exchange, status: int) -> None:
        self._desk.fail(exchange, status, monotonic())
        self._abandon(status, exchange.id_line)

    def _break_off(self, exchange: Exchange) -> None:
        """The model does not go on with its answer."""
        self._desk.broke_off(exchange)
        self._retire()
        self._tear(exchange)

    def _tear(self, exchange: Exchange) -> None:
        """Close; a client that has half of an answer must not take it for a whole one."""
        if self._upstream is not None:
            self._upstream.close()
        if exchange.answer is not None and exchange.answer.until_close:
            self._transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, AT_ONCE)
            self._abort()
        else:
            self._close()

    def _give_up(self, exchange: Exchange, status: int) -> None:
        """The client broke the rules in the middle of its request."""
        if exchange.answer is None:
            self._abandon(status)
        else:
            self._abort()  # a second answer behind half of one would pass for its rest

    def _leave(self) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.framing.done:
            stalled = self._patience.is_stalled
            self._desk.client_left(exchange, monotonic(), stalled=stalled)
        self._retire()

    def _retire(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.asked.release()
            exchange.given.release()

    def _abandon(self, status: int, header: bytes = b"") -> None:
        self._retire()
        if self._upstream is not None:
            self._upstream.close()
        self._reply(status, header)

    def _reply(self, status: int, header: bytes = b"") -> None:
        """Answer in the place of the model, and close: what comes next can't be trusted."""
        self._transport.write(refusal(status, header))
        self._close(linger=True)

    def _close(self, *, linger: bool = False) -> None:
        """Close; while the client may still be sending, a reset would take the answer from it."""
        if self._closing:
            return
        self.flush()
        self._closing = True
        self._inbox = b""
        if not linger or self._ended:
            self._transport.close()
            return
        self._transport.write_eof()
        if self._paused:
            self._transport.resume_reading()
