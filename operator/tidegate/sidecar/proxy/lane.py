"""A lane to the candidate's pods: carries one shadow copy at a time, and its answer back."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from typing_extensions import override

from tidegate.sidecar.proxy.exchange import wrapping
from tidegate.sidecar.proxy.heads import ResponseHead
from tidegate.sidecar.proxy.split import Target
from tidegate.sidecar.proxy.upstream import Owner, Upstream
from tidegate.sidecar.records import Flag, Record

ANSWER_LIMIT_BYTES = 1 << 20
ANSWER_SECONDS = 10.0  # a candidate that takes longer has failed, as far as pairs go


class Copied(NamedTuple):
    """A request that stable has answered, and what is to be told of it."""

    target: Target
    method: bytes
    request: bytes
    record: Record
    """With stable's answer in the place of the request."""
    since: float
    """`monotonic()` of stable's answer."""

    @property
    def size(self) -> int:
        return len(self.request) + len(self.record.request)


class Lane(Owner):
    """Owns a connection; whatever becomes of a copy, `done` hears of it exactly once."""

    def __init__(self, done: Callable[["Lane", Copied, Record], None]) -> None:
        self._done = done
        self._copy: Copied | None = None
        self._began = 0.0
        self._upstream: Upstream | None = None
        self._target: Target | None = None
        self._head: ResponseHead | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, copy: Copied) -> None:
        """Send a copy; the lane must be free."""
        loop = asyncio.get_running_loop()
        self._copy, self._began = copy, loop.time()
        self._head, self._parts, self._size = None, [], 0
        upstream = self._upstream
        if upstream is None or self._target != copy.target or not upstream.reusable(self._began):
            self.close()
            self._upstream, self._target = Upstream(self, copy.target, loop), copy.target
        elif upstream.connected:
            self.upstream_ready()

    def sweep(self, now: float) -> None:
        """Wait no longer for an answer that does not come."""
        if now - self._began > ANSWER_SECONDS:
            self._give_up()

    def _give_up(self) -> None:
        self.close()
        self._finish(0)

    def close(self) -> None:
        """Drop the connection."""
        if self._upstream is not None:
            self._upstream.close()
            self._upstream = None

    def _finish(self, status: int, flags: int = 0) -> None:
        copy, self._copy = self._copy, None
        if copy is None:
            return
        record = copy.record._replace(
            status=status,
            flags=copy.record.flags | flags,
            response=b"".join(self._parts) if status else b"",
        )
        self._parts = []
        self._done(self, copy, record)

    # What the connection tells

    @override
    def upstream_ready(self) -> None:
        if self._copy is not None and self._upstream is not None:
            self._upstream.expect(self._copy.method)
            self._upstream.write(self._copy.request)

    @override
    def upstream_unreachable(self) -> None:
        self._give_up()

    @override
    def upstream_lost(self) -> None:
        self._give_up()

    @override
    def upstream_ended(self) -> bool:
        return False

    @override
    def upstream_pace_changed(self) -> None:
        """A copy is written at once: it is small enough to lie in the connection's buffer."""

    @override
    def answer_begins(self, head: ResponseHead) -> None:
        self._head = head
        if head.status == 101:
            self._give_up()

    @override
    def answer_part(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > ANSWER_LIMIT_BYTES:
            self._parts.clear()
        else:
            self._parts.append(part)

    @override
    def answer_ends(self) -> None:
        head = self._head
        if head is None:
            return
        if not head.keep_alive:
            self.close()
        flags = wrapping(head, Flag.RESPONSE_CHUNKED, Flag.RESPONSE_GZIP) if head.wrapped else 0
        if self._size > ANSWER_LIMIT_BYTES:
            flags |= Flag.INCOMPLETE
        self._finish(head.status, flags)

    @override
    def pass_on(self, data: bytes) -> None:
        """An interim answer is for clients that wait."""

    @override
    def flush(self) -> None:
        """Everything is kept until the answer has ended."""
