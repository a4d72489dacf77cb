"""One request and its answer on their way through the proxy."""

from tidegate.sidecar.proxy.heads import RequestHead, ResponseHead
from tidegate.sidecar.proxy.split import Route
from tidegate.sidecar.records import Flag

CAPTURE_LIMIT_BYTES = 1 << 20  # of one body
CAPTURE_BUDGET_BYTES = 32 << 20  # of all bodies in flight: the sidecar must not grow with them


class Budget:
    """The memory that the copies of all requests in flight share."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = CAPTURE_BUDGET_BYTES


class Copy:
    """A bounded copy of a body; if it finds no room, nothing is left but the reason."""

    __slots__ = ("_budget", "_parts", "_size", "lost")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._parts: list[bytes] = []
        self._size = 0
        self.lost = 0
        """The flag that says why the copy was given up; 0 while it is whole."""

    def add(self, part: bytes) -> None:
        if self.lost:
            return
        size = len(part)
        if self._size + size > CAPTURE_LIMIT_BYTES:
            self._give_up(Flag.TOO_LARGE)
        elif size > self._budget.left:
            self._give_up(Flag.NO_ROOM)
        else:
            self._size += size
            self._budget.left -= size
            self._parts.append(part)

    def _give_up(self, why: Flag) -> None:
        self.release()
        self.lost = why

    def release(self) -> None:
        """Return the room that the copy took."""
        self._budget.left += self._size
        self._size = 0
        self._parts = []

    def joined(self) -> bytes:
        return b"".join(self._parts)


class Exchange:
    """What the proxy remembers of a request until its answer has gone out."""

    __slots__ = (
        "answer",
        "answered_at",
        "arrival",
        "asked",
        "counted",
        "fell_back",
        "given",
        "head",
        "route",
        "sequence",
        "started",
        "waiting",
    )

    def __init__(
        self, head: RequestHead, route: Route, arrival: float, budget: Budget, *, counted: bool
    ) -> None:
        self.head = head
        self.route = route
        self.arrival = arrival
        """Unix time."""
        self.counted = counted
        """Whether it is a prediction, so that it stands in the windows."""
        self.fell_back = False
        """The candidate could not be reached: counted against it, answered here."""
        self.waiting: list[bytes] = []
        """Parts of the body that came before there was a connection to pass them to."""
        self.started = 0.0
        """Loop time of the first byte that went to the model; 0 while there was none."""
        self.answered_at = 0.0
        self.sequence = 0
        self.answer: ResponseHead | None = None
        self.asked = Copy(budget)
        self.given = Copy(budget)

    def flags(self, *, complete: bool) -> int:
        """How the copies must be read."""
        answer = self.answer
        encodings = {self.head.encoding, answer.encoding if answer else b""}
        return (
            Flag.REQUEST_CHUNKED * self.head.chunked
            | Flag.RESPONSE_CHUNKED * (answer is not None and answer.chunked)
            | Flag.REQUEST_GZIP * (self.head.encoding == b"gzip")
            | Flag.RESPONSE_GZIP * (answer is not None and answer.encoding == b"gzip")
            | Flag.OTHER_ENCODING * bool(encodings - {b"", b"identity", b"gzip"})
            | self.asked.lost
            | self.given.lost
            | Flag.INCOMPLETE * (not complete)
        )
