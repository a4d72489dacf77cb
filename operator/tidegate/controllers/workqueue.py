"""The work queue: which objects to look at, when; one worker at a time for each object."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from heapq import heappop, heappush
from itertools import count

from tidegate.api.meta import ObjectKey

FIRST_DELAY_SECONDS = 0.5
LARGEST_DELAY_SECONDS = 300.0  # no longer than the sweep, which looks at everything anyway


class WorkQueue:
    """Keys, each at most once, each at its earliest time.

    A key that is added while it is being worked on is worked on again afterwards.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        started: Callable[[ObjectKey, float], None] = lambda *_: None,
    ) -> None:
        """`jitter` gives numbers between 0 and 1; `started` is told how long a key was overdue."""
        self._clock = clock
        self._jitter = jitter
        self._started = started
        self._due: dict[ObjectKey, float] = {}
        self._heap: list[tuple[float, int, ObjectKey]] = []
        self._order = count()
        self._running: set[ObjectKey] = set()
        self._failures: dict[ObjectKey, int] = defaultdict(int)
        self._changed = asyncio.Event()
        self.workers = 0
        """How many workers are at it."""

    def add(self, key: ObjectKey, delay: float = 0.0) -> None:
        """Look at `key` in `delay` seconds; an earlier time that is set already stays."""
        due = self._clock() + delay
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        if key not in self._running:
            self._push(key)

    def failed(self, key: ObjectKey, retry_after: float | None = None) -> None:
        """Look at `key` again, later each time it fails: 0.5 s, 1 s, 2 s … 5 min, with jitter."""
        exponent = min(self._failures[key], 20)
        self._failures[key] += 1
        delay = min(FIRST_DELAY_SECONDS * 2**exponent, LARGEST_DELAY_SECONDS)
        self.add(key, max(delay * (0.5 + self._jitter() / 2), retry_after or 0.0))

    def forget(self, key: ObjectKey) -> None:
        """`key` is fine: its next failure counts as the first."""
        self._failures.pop(key, None)

    @property
    def depth(self) -> int:
        """How many keys are due and not being worked on."""
        now = self._clock()
        return sum(due <= now for key, due in self._due.items() if key not in self._running)

    @property
    def oldest_seconds(self) -> float:
        """How long the key that waits longest has been due."""
        waiting = (due for key, due in self._due.items() if key not in self._running)
        return max(0.0, self._clock() - min(waiting, default=self._clock()))

    async def run(
        self, workers: int, handle: Callable[[ObjectKey], Awaitable[timedelta | None]]
    ) -> None:
        """Work for ever; what `handle` returns is the time after which to look again."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work(handle))

    async def _work(self, handle: Callable[[ObjectKey], Awaitable[timedelta | None]]) -> None:
        self.workers += 1
        try:
            while True:
                key = await self._take()
                try:
                    again = await handle(key)
                    if again is not None:
                        self.add(key, again.total_seconds())
                finally:
                    self._running.discard(key)
                    if key in self._due:
                        self._push(key)
        finally:
            self.workers -= 1

    async def _take(self) -> ObjectKey:
        while True:
            while self._heap and self._heap[0][0] <= self._clock():
                due, _, key = heappop(self._heap)
                # An entry is stale when its key was taken, or set to another time, since.
                if self._due.get(key) == due and key not in self._running:
                    del self._due[key]
                    self._running.add(key)
                    self._started(key, self._clock() - due)
                    return key
            await self._wait(self._heap[0][0] - self._clock() if self._heap else None)

    async def _wait(self, seconds: float | None) -> None:
        """Until something is added, or until the next key is due."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _push(self, key: ObjectKey) -> None:
        heappush(self._heap, (self._due[key], next(self._order), key))
        self._changed.set()
