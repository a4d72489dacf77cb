"""The decision log: each decision as a line in the object store, once its status is written.

The status keeps the last decisions of a Model, the log keeps all. Nothing waits for it: a store
that is down is tried again, with pauses, and in the end the oldest lines are dropped and counted.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, NoReturn, Protocol

from tidegate.api.meta import ObjectKey, ObjectMeta, parse_timestamp
from tidegate.api.v1alpha1.model_status import DecisionStatus
from tidegate.errors import TerminalError, TidegateError
from tidegate.rollout.decision_line import key_of, line_of

MOST_WAITING = 2000  # lines of up to 4 kB: some megabytes
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# What an operator that has died may not have brought to the store, its successor brings again.
# Only the newest decisions still have all their numbers in the status.
AGAIN_NEWEST = 5
AGAIN_WITHIN = timedelta(days=1)
UNREACHABLE = "Unreachable"

logger = logging.getLogger(__name__)


class Store(Protocol):
    """Where lines go; raises TransientError or TerminalError."""

    async def put(self, key: str, body: bytes) -> None: ...


class _Line(NamedTuple):
    key: str
    body: bytes


class DecisionLog:
    """`count` is told of each line that was `written` or `dropped`, and each try that `failed`."""

    def __init__(self, store: Store, count: Callable[[str], None]) -> None:
        self._store = store
        self._count = count
        self._lines: deque[_Line] = deque()
        self._news = asyncio.Event()
        self._last: dict[ObjectKey, tuple[str, str]] = {}
        self._trouble = ""

    @property
    def waiting(self) -> int:
        """Lines that the store has not taken yet."""
        return len(self._lines)

    def offer(
        self,
        key: ObjectKey,
        about: ObjectMeta,
        decisions: Sequence[DecisionStatus],
        now: datetime,
    ) -> None:
        """Take what is new of the decisions that a Model's status has."""
        for decision in self._new(key, decisions, now):
            self._lines.append(_Line(key_of(about, decision), line_of(about, decision)))
        if decisions:
            self._last[key] = decisions[-1].id, decisions[-1].at
        self._make_room()
        self._news.set()

    def forget(self, key: ObjectKey) -> None:
        """The Model is gone; what waits of it is still written."""
        self._last.pop(key, None)

    def _new(
        self, key: ObjectKey, decisions: Sequence[DecisionStatus], now: datetime
    ) -> Sequence[DecisionStatus]:
        known = self._last.get(key)
        for i, decision in reversed(list(enumerate(decisions))):
            if (decision.id, decision.at) == known:
                return decisions[i + 1 :]
        newest = decisions[-AGAIN_NEWEST:]
        return [d for d in newest if now - parse_timestamp(d.at) <= AGAIN_WITHIN]

    def _make_room(self) -> None:
        while len(self._lines) > MOST_WAITING:
            self._lines.popleft()
            self._count("dropped")

    async def run(self) -> NoReturn:
        """Bring line after line to the store."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            await self._news.wait()
            if not self._lines:
                self._news.clear()
            elif await self._put(self._lines.popleft()):
                pause = FIRST_PAUSE_SECONDS
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _put(self, line: _Line) -> bool:
        try:
            await self._store.put(line.key, line.body)
        except TidegateError as error:
            # Also what the store refuses for good: somebody may mend its policy.
            self._lines.appendleft(line)
            self._make_room()
            self._count("failed")
            self._note(error.reason if isinstance(error, TerminalError) else UNREACHABLE, error)
            return False
        self._count("written")
        if self._trouble:
            logger.info("the decision log is written again")
            self._trouble = ""
        return True

    def _note(self, reason: str, error: TidegateError) -> None:
        if reason != self._trouble:  # a line for each change, none for each attempt
            logger.warning("the decision log can't be written: %s: %s", reason, error)
            self._trouble = reason
