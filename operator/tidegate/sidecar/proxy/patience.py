"""How long a client or the model may keep a connection without moving on."""

from enum import Enum


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "the client's next request"
    HEAD = "the rest of a request's head"
    BODY = "more of a request's body"
    TAKING = "the client to take more of its answer"
    LINGER = "the client to see its last answer"
    MODEL = "the model to take the request, or to begin its answer"
    REST = "the model to go on with its answer"
    EVENT = "the model to have something to tell"
    OPEN = "whichever side has something to say"


QUARTER_HOUR = 900.0  # longer than clients and gateways keep a silent one, so the close is theirs
LIMIT_SECONDS = {
    Phase.IDLE: QUARTER_HOUR,
    Phase.HEAD: 10.0,
    Phase.BODY: 60.0,
    Phase.TAKING: 60.0,
    Phase.LINGER: 2.0,
    Phase.MODEL: 60.0,
    Phase.REST: 60.0,
    # Events come when they happen. Servers of them send a sign of life several times a minute; one
    # that does not is told from one that hangs by nothing but time. So it is with upgrades.
    Phase.EVENT: QUARTER_HOUR,
    Phase.OPEN: QUARTER_HOUR,
}
# After so long a silence of the model a client that leaves has been let down, and is not impatient:
# answers do not pause that long once they have begun, nor do clients' time limits often end sooner.
STALL_SECONDS = {Phase.MODEL: 5.0, Phase.REST: 5.0, Phase.EVENT: 60.0}


class Patience:
    """Measures phases by the sweep's ticks, so that requests pay an assignment or two for it."""

    __slots__ = ("_buffered", "_phase", "_since", "_stood", "moved")

    def __init__(self) -> None:
        self.moved = True
        """Set by whoever sees one of the two move on."""
        self._phase = Phase.IDLE
        self._since = 0.0
        self._stood = 0.0
        self._buffered = 0

    def exhausted(self, phase: Phase, buffered: int, now: float, grace: float = 0.0) -> bool:
        """Whether there was no move for too long; `buffered` bytes wait for them to be taken."""
        if self.moved or phase is not self._phase or buffered != self._buffered:
            self.moved, self._phase, self._buffered, self._since = False, phase, buffered, now
        self._stood = now - self._since
        return self._stood > LIMIT_SECONDS[phase] + grace

    @property
    def is_stalled(self) -> bool:
        """Whether it is the model that has not moved, for so long that a client may well leave."""
        if self.moved or self._phase not in STALL_SECONDS:
            return False
        return self._stood >= STALL_SECONDS[self._phase]
