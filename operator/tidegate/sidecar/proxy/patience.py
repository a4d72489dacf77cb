"""How long a client may keep its connection without moving on."""

from enum import Enum
from math import inf


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "the next request"
    HEAD = "the rest of a request's head"
    BODY = "more of a request's body"
    TAKING = "the client to take more of its answer"
    LINGER = "the client to see its last answer"
    OPEN = "something else than the client"


LIMIT_SECONDS = {
    Phase.IDLE: 900.0,  # longer than clients and gateways keep one, so that the close is theirs
    Phase.HEAD: 10.0,
    Phase.BODY: 60.0,
    Phase.TAKING: 60.0,
    Phase.LINGER: 2.0,
    Phase.OPEN: inf,
}


class Patience:
    """Measures phases by the sweep's ticks, so that requests pay one assignment for it."""

    __slots__ = ("_buffered", "_phase", "_since", "moved")

    def __init__(self) -> None:
        self.moved = True
        """Set by whoever sees the client move on."""
        self._phase = Phase.IDLE
        self._since = 0.0
        self._buffered = 0

    def exhausted(self, phase: Phase, buffered: int, now: float) -> bool:
        """Whether the client has stood still for too long; `buffered` waits for it to be taken."""
        if self.moved or phase is not self._phase or buffered != self._buffered:
            self.moved, self._phase, self._buffered, self._since = False, phase, buffered, now
        return now - self._since > LIMIT_SECONDS[phase]
