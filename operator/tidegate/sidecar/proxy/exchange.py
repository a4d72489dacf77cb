"""One request and its answer on their way through the proxy."""

from tidegate.sidecar.proxy.heads import RequestHead, ResponseHead
from tidegate.sidecar.proxy.split import Route
from tidegate.sidecar.records import Flag

CAPTURE_LIMIT_BYTES = 1 << 20


class Copy:
    """A bounded copy of a body; too large a body leaves nothing but the note that it was."""

    __slots__ = ("_parts", "_size", "too_large")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.too_large = False

    def add(self, part: bytes) -> None:
        if self.too_large:
            return
        self._size += len(part)
        if self._size > CAPTURE_LIMIT_BYTES:
            self.too_large = True
            self._parts.clear()
        else:
            self._parts.append(part)

    def joined(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


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

    def __init__(self, head: RequestHead, route: Route, arrival: float, *, counted: bool) -> None:
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
        self.asked = Copy()
        self.given = Copy()

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
            | Flag.TOO_LARGE * (self.asked.too_large or self.given.too_large)
            | Flag.INCOMPLETE * (not complete)
        )
