"""The connection to whoever answers: the own model, the candidate's pods, or the monitor."""

import asyncio
from abc import abstractmethod
from time import monotonic
from typing import Final, cast

from typing_extensions import override

from tidegate.sidecar.framing import Framing, FramingError, UntilClose, cut
from tidegate.sidecar.proxy.heads import (
    HEAD_END,
    HEAD_LIMIT_BYTES,
    REMEMBERED_BYTES,
    HeadError,
    ResponseHead,
    malformed,
    parse_response,
)
from tidegate.sidecar.proxy.split import Target

# Servers close idle connections, most of them after 2 s or more; a request that is sent at that
# very moment would be lost, so an older connection is not used again.
IDLE_SECONDS: Final = 1.0


class Owner(asyncio.Protocol):
    """What an upstream connection works for, most often a client's connection.

    A class, because compiled code calls its methods faster than those of a typing.Protocol.
    """

    @abstractmethod
    def upstream_ready(self) -> None: ...

    @abstractmethod
    def upstream_unreachable(self) -> None: ...

    @abstractmethod
    def upstream_ended(self) -> bool: ...

    @abstractmethod
    def upstream_lost(self) -> None: ...

    @abstractmethod
    def upstream_pace_changed(self) -> None: ...

    @abstractmethod
    def answer_begins(self, head: ResponseHead) -> None: ...

    @abstractmethod
    def answer_part(self, part: bytes) -> None: ...

    @abstractmethod
    def answer_ends(self) -> None: ...

    @abstractmethod
    def pass_on(self, data: bytes) -> None: ...

    @abstractmethod
    def flush(self) -> None: ...


class Upstream(asyncio.Protocol):
    """Carries one exchange at a time; what happens to it is told to `owner`."""

    def __init__(self, owner: Owner, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self.target = target
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._inbox = b""
        self._method: bytes | None = None
        self._head: ResponseHead | None = None  # the last one, and which method it answered:
        self._head_method = b""  # the next is the same, most often
        self._framing: Framing | None = None
        self.read_at = 0.0
        """When the last bytes came, by the monotonic clock."""
        self._tunnel = False
        self.connected = False
        self.paused = False
        self.congested = False
        """The other end does not take what is sent as fast as it comes."""
        self.closed = False
        self._connecting = loop.create_task(self._connect(target))

    async def _connect(self, target: Target) -> None:
        try:
            await target.connect(lambda: self)
        except (OSError, TimeoutError, UnicodeError):  # the last: no host name at all
            if self.closed:
                return
            self.close()
            if self.connected:  # at the very moment in which patience ended: the request is sent
                self._owner.upstream_lost()
            else:
                self._owner.upstream_unreachable()

    def reusable(self, now: float) -> bool:
        return not (self.closed or self.congested) and now - self.read_at < IDLE_SECONDS

    @property
    def unsent(self) -> int:
        """Bytes that wait for the other end to take them."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def expect(self, method: bytes) -> None:
        """An answer to a request of this method is due."""
        self._method = method
        self._framing = None

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def end(self) -> None:
        """Say that nothing more will be sent."""
        if self._transport is not None:
            self._transport.write_eof()

    def tunnel(self) -> None:
        """Pass on everything from here on unread."""
        self._tunnel = True
        data, self._inbox = self._inbox, b""
        if data:
            self._owner.pass_on(data)

    def pause(self, *, paused: bool) -> None:
        if self._transport is None or paused == self.paused:
            return
        self.paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def close(self) -> None:
        """Drop the connection; the owner hears no more of it."""
        self.closed = True
        if self._transport is None:
            return
        if self._method is None and not self.unsent:
            self._transport.close()
        else:
            # Somebody may be at work on an answer that nobody wants, or has answered without
            # having read everything, and may never do so.
            self._transport.abort()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.connected = True
        if self.closed:
            self._transport.abort()
        else:
            self._owner.upstream_ready()

    @override
    def pause_writing(self) -> None:
        self.congested = True
        self._owner.upstream_pace_changed()

    @override
    def resume_writing(self) -> None:
        self.congested = False
        self._owner.upstream_pace_changed()

    @override
    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        if self._tunnel:
            self._owner.pass_on(data)
            return
        self.read_at = monotonic()
        self._inbox = self._inbox + data if self._inbox else data
        try:
            self._read()
            self._owner.flush()
        except (HeadError, FramingError):
            self._break_off()

    def _read(self) -> None:
        while self._inbox and not self.closed and not self._tunnel:
            if self._method is None:
                raise HeadError("an answer that nobody asked for")
            if self._framing is None:
                if not self._read_head(self._method):
                    return
            else:
                self._read_body(self._framing)

    def _read_head(self, method: bytes) -> bool:
        head = self._head
        if head is None or method != self._head_method or not self._inbox.startswith(head.raw):
            end = self._inbox.find(HEAD_END) + len(HEAD_END)
            if end > HEAD_LIMIT_BYTES or (end < len(HEAD_END) and malformed(self._inbox)):
                raise HeadError("the answer's head is malformed")
            if end < len(HEAD_END):
                return False
            head = parse_response(self._inbox[:end], method)
            self._head_method = method
            self._head = head if end <= REMEMBERED_BYTES else None
        self._inbox = self._inbox[len(head.raw) :]
        if 100 <= head.status < 200 and head.status != 101:
            self._owner.pass_on(head.raw)
            return True
        self._framing = framing = head.framing()
        self._owner.answer_begins(head)
        if framing.done and head.status != 101:
            self._end()
        return True

    def _read_body(self, framing: Framing) -> None:
        taken = framing.take(self._inbox)
        part, self._inbox = cut(self._inbox, taken)
        self._owner.answer_part(part)
        if framing.done:
            self._end()

    def _end(self) -> None:
        self._method = self._framing = None
        if self._inbox:
            self.close()  # bytes behind the answer must never pass for the next one
        self._owner.answer_ends()

    def _break_off(self) -> None:
        was_idle = self._method is None
        self.close()
        if not was_idle:
            self._owner.upstream_lost()

    @override
    def eof_received(self) -> bool:
        return self._tunnel and not self.closed and self._owner.upstream_ended()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.closed:
            return
        self.closed = True
        if isinstance(self._framing, UntilClose) and exc is None:
            self._end()
        elif self._method is not None:  # else it was idle, and another may be at work by now
            self._owner.upstream_lost()
