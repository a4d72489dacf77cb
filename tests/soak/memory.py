"""How much memory the sidecars take, over time."""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress

from tests.soak.pods import Pod

from tidegate.sidecar.monitor.book import MEMORY_LIMIT_BYTES
from tidegate.sidecar.monitor.prediction_log.parts import BACKLOG_BYTES
from tidegate.sidecar.proxy.channel import QUEUE_LIMIT_BYTES

MIB = 1 << 20
SAMPLE_SECONDS = 1.0
# The proxy's queue is full while the monitor stands still, and leaves holes behind.
PROXY_LIMIT, MONITOR_LIMIT = 48 * MIB + QUEUE_LIMIT_BYTES, 128 * MIB
LEEWAY = 4 * MIB  # where an allocator finds room differs from time to time
# The first samples are taken with a full queue, and it does not fill twice over.
PROXY_GROWTH = LEEWAY
# Windows of an hour, and what the log's store has not taken.
MONITOR_GROWTH = MEMORY_LIMIT_BYTES + BACKLOG_BYTES + LEEWAY


class Memory:
    """Samples of all processes."""

    def __init__(self) -> None:
        self._samples: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)

    async def run(self, pods: list[Pod], stop: asyncio.Event) -> None:
        while not stop.is_set():
            for pod in pods:
                self.sample(pod)
            with suppress(TimeoutError):
                async with asyncio.timeout(SAMPLE_SECONDS):
                    await stop.wait()

    def sample(self, pod: Pod) -> None:
        for role, size in pod.memory().items():
            self._samples[f"{role} of {pod.uid}"].append((time.monotonic(), size))

    def peaks(self) -> dict[str, tuple[int, int]]:
        """The most that each process took in the first and in the last third of the time."""
        found = {}
        for name, samples in self._samples.items():
            third = (samples[-1][0] - samples[0][0]) / 3
            early = max(size for when, size in samples if when <= samples[0][0] + third)
            late = max(size for when, size in samples if when >= samples[-1][0] - third)
            found[name] = early, late
        return found

    def excesses(self) -> list[str]:
        """Who takes too much, or keeps on taking more."""
        told = []
        for name, (early, late) in self.peaks().items():
            monitor = name.startswith("monitor")
            limit = MONITOR_LIMIT if monitor else PROXY_LIMIT
            growth = MONITOR_GROWTH if monitor else PROXY_GROWTH
            if late > limit or late > early + growth:
                told.append(f"{name}: {early / MIB:.0f} MiB, then {late / MIB:.0f} MiB")
        return told
