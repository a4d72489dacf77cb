"""Brings parts to the store, one at a time, as often as it takes; nobody waits for it."""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from typing import Protocol

from tidegate.errors import TerminalError, TransientError
from tidegate.sidecar.monitor.prediction_log.parts import Part, Parts

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
UNREACHABLE = "Unreachable"

logger = logging.getLogger(__name__)


class Store(Protocol):
    """Where parts go; raises TransientError or TerminalError."""

    async def put(self, key: str, body: bytes) -> None: ...


class Refusal:
    """In the place of a store that can't be opened: everything else goes on, and it is counted."""

    def __init__(self, error: TerminalError) -> None:
        self._error = error

    async def put(self, key: str, body: bytes) -> None:
        raise TerminalError(self._error.reason, str(self._error))


class Uploader:
    """Also what the store refuses for good is tried again: somebody may mend its policy."""

    def __init__(self, parts: Parts, store: Store) -> None:
        self._parts = parts
        self._store = store
        self._news = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._trouble = ""
        self.stored = 0
        """Lines that the store has."""
        self.failures: Counter[str] = Counter()

    def wake(self) -> None:
        """There may be a part to upload."""
        self._news.set()

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            await self._news.wait()
            part = self._parts.take()
            if part is None:
                self._news.clear()
            elif await self._put(part):
                pause = FIRST_PAUSE_SECONDS
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _put(self, part: Part) -> bool:
        done = False
        try:
            await self._store.put(part.key, part.body)
            done = True
            self.stored += part.lines
        except TransientError as error:
            self._note(UNREACHABLE, str(error))
        except TerminalError as error:
            self._note(error.reason, str(error))
        finally:
            if not done:
                self._parts.give_back(part)
        if done and self._trouble:
            logger.info("the prediction log is written again")
            self._trouble = ""
        return done

    def _note(self, reason: str, text: str) -> None:
        self.failures[reason] += 1
        if reason != self._trouble:  # a line for each change, none for each attempt
            logger.warning("the prediction log can't be written: %s", text)
            self._trouble = reason

    async def close(self, seconds: float) -> None:
        """Upload what is left; what the store refuses, or takes too long for, is lost, and said."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._parts.close_older_than(float("inf"))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty()
        lost = self._parts.abandon()
        if lost:
            logger.warning("%d lines of the prediction log are lost", lost)

    async def _empty(self) -> None:
        while part := self._parts.take():
            if await self._put(part):
                continue
            if self._trouble != UNREACHABLE:
                return
            await asyncio.sleep(FIRST_PAUSE_SECONDS)
