"""A clock for bounds on the product's own time, which a busy machine can't make it miss.

It stands still while somebody who takes part is ready to run and gets no processor, and while
nobody does, as on a virtual machine that is stopped.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.patience import DEADLINE_SECONDS

TICK_SECONDS = 0.25  # seldom: each tick of a busy machine is late, whoever else waits
USUAL_SECONDS = 0.1  # that a server may take, and a tick be late, without an excuse


class FairClock:
    """`clock()` is in seconds; differences count."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._queued = dict.fromkeys((os.getpid(), *pids), 0.0)
        self._excused = 0.0

    def __call__(self) -> float:
        for pid in self._queued:
            with suppress(FileNotFoundError, ProcessLookupError):  # its time remains when it ends
                self._queued[pid] = _queued_seconds(pid)
        return time.monotonic() - sum(self._queued.values()) - self._excused

    async def tick(self) -> None:
        """For ever: see by how much the clock goes on while nothing but a pause takes place."""
        while True:
            began = self()
            await asyncio.sleep(TICK_SECONDS)
            self._excuse(self() - began - TICK_SECONDS)

    async def ask(self, server: Callable[[], Awaitable[object]]) -> None:
        """For ever: see how long a server takes that the others ask, too."""
        while True:
            began = self()
            await server()
            self._excuse(self() - began)
            await asyncio.sleep(TICK_SECONDS)

    def _excuse(self, seconds: float) -> None:
        if seconds > USUAL_SECONDS:
            self._excused += seconds


@asynccontextmanager
async def fair_clock(
    *pids: int, server: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[FairClock]:
    """For this process, single-threaded ones beside it, and a server that they all ask."""
    clock = FairClock(pids)
    watching = [asyncio.create_task(clock.tick())]
    if server is not None:
        watching.append(asyncio.create_task(clock.ask(server)))
    try:
        yield clock
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


def seconds_until_exit(process: subprocess.Popen[str]) -> float:
    """How long it takes to end from now on; it is left to be waited for."""
    clock = FairClock((process.pid,))
    began = clock()
    deadline = time.monotonic() + DEADLINE_SECONDS
    # A process that has ended keeps its numbers until somebody has waited for it.
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return clock() - began


def _queued_seconds(pid: int) -> float:
    """How long its main thread has waited for a processor (`man 5 proc`: schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
