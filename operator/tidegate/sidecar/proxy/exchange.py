"""One request and its answer on their way through the proxy."""

from typing import Final

from tidegate.sidecar.framing import Framing
from tidegate.sidecar.proxy.heads import RequestHead, ResponseHead
from tidegate.sidecar.proxy.split import Route
from tidegate.sidecar.records import Flag

CAPTURE_BUDGET_BYTES = 32 << 20  # of all bodies in flight: the sidecar must not grow with them


class Budget:
    """The memory that the copies of all requests in flight share, and how much one may take."""

    __slots__ = ("body_limit", "left")

    def __init__(self, body_limit: int) -> None:
        self.body_limit = body_limit
        self.left = CAPTURE_BUDGET_BYTES


class Copy:
    """A bounded copy of a body; if it finds no room, nothing is left but the reason."""

    __slots__ = ("_budget", "_parts", "_size", "lost")

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget  # None: nothing is to be copied
        self._parts: list[bytes] = []
        self._size = 0
        self.lost = 0
        """The flag that says why the copy was given up; 0 while it is whole."""

    def add(self, part: bytes) -> None:
        budget = self._budget
        if self.lost or budget is None:
            return
        size = len(part)
        if self._size + size > budget.body_limit:
            self._give_up(Flag.TOO_LARGE)
        elif size > budget.left:
            self._give_up(Flag.NO_ROOM)
        else:
            self._size += size
            budget.left -= size
            self._parts.append(part)

    def _give_up(self, why: int) -> None:
        self.release()
        self.lost = why

    def release(self) -> None:
        """Return the room that the copy took."""
        if self._size and self._budget is not None:
            self._budget.left += self._size
            self._size = 0
            self._parts = []

    def joined(self) -> bytes:
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)


_NOTHING: Final = Copy(None)


class Exchange:
    """What the proxy remembers of a request until its answer has gone out."""

    __slots__ = (
        "answer",
        "answered_at",
        "arrival",
        "asked",
        "copied",
        "counted",
        "framing",
        "given",
        "has_content",
        "head",
        "id_line",
        "last",
        "route",
        "sequence",
        "shadow",
        "started",
        "waiting",
    )

    def __init__(
        self,
        head: RequestHead,
        route: Route,
        arrival: float,
        budget: Budget | None,
        *,
        counted: bool,
        copied: bool = False,
    ) -> None:
        self.head = head
        self.framing: Framing = head.framing()
        """Of the request's body."""
        self.route = route
        self.arrival = arrival
        """Unix time."""
        self.counted = counted
        """Whether it is a prediction, so that it stands in the windows."""
        self.copied = copied
        """Whether the monitor gets a record of it, with copies of the bodies, and no bare count."""
        self.waiting: list[bytes] = []
        """Parts of the body that came before there was a connection to pass them to."""
        self.started = 0.0
        """When its first byte went to the model, 0 while there was none; by the monotonic clock,
        because the loop's counts whole milliseconds."""
        self.answered_at = 0.0
        """When the first byte of the answer's content came, or its head as long as there is none:
        a server of streams sends the head before it knows what to say."""
        self.has_content = False
        self.sequence = 0
        self.id_line = b""
        """The added line of an answer that this pod gives; the pod that answers adds it."""
        self.answer: ResponseHead | None = None
        self.last = False
        """Whether its answer has said that the connection closes behind it: who has not heard that
        may be asking again already."""
        self.asked = _NOTHING if budget is None else Copy(budget)
        self.given = _NOTHING if budget is None else Copy(budget)
        self.shadow: Route | None = None
        """Where a copy goes once it is answered."""

    def flags(self, *, complete: bool) -> int:
        """How the copies must be read."""
        head, answer = self.head, self.answer
        flags = self.asked.lost | self.given.lost
        if head.wrapped:
            flags |= wrapping(head, Flag.REQUEST_CHUNKED, Flag.REQUEST_GZIP)
        if answer is not None and answer.wrapped:
            flags |= wrapping(answer, Flag.RESPONSE_CHUNKED, Flag.RESPONSE_GZIP)
        return flags if complete else flags | Flag.INCOMPLETE


def wrapping(head: RequestHead | ResponseHead, chunked: int, gzip: int) -> int:
    """How a body must be unwrapped, as flags: `chunked`, `gzip`, or not at all."""
    flags = chunked if head.chunked else 0
    if head.encoding == b"gzip":
        flags |= gzip
    elif head.encoding not in (b"", b"identity"):
        flags |= Flag.OTHER_ENCODING
    return flags
