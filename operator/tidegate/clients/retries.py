"""Waiting for what fails now and may work later, with a word about it now and then."""

import asyncio
import logging
import math

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SAY_SECONDS = 60.0  # in a log, the same words more often would hide the others


class Retries:
    """The pauses between the tries of one thing: longer after each failure in a row.

    Why it fails is logged when that is news, and then once a minute.
    """

    def __init__(self, logger: logging.Logger, pauses: tuple[float, ...]) -> None:
        self._logger = logger
        self._pauses = pauses
        self._failures = 0
        self._why = ""
        self._said_at = -math.inf

    def over(self) -> None:
        """It has worked: the next failure is the first one."""
        self._failures = 0

    async def pause(self, why: str, asked: float = 0.0) -> None:
        """Wait after a failure; no less than the server has `asked` for."""
        seconds = max(asked, self._pauses[min(self._failures, len(self._pauses) - 1)])
        self._failures += 1
        now = asyncio.get_running_loop().time()
        if why != self._why or now >= self._said_at + SAY_SECONDS:
            self._why, self._said_at = why, now
            self._logger.warning("%s; trying again in %g s", why, seconds)
        await asyncio.sleep(seconds)
