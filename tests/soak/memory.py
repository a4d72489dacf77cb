"""How much memory the sidecars take, over time."""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress

from tests.soak.pods import Pod

from tidegate.sidecar.monitor import answers
from tidegate.sidecar.proxy.channel import QUEUE_LIMIT_BYTES

MIB = 1 << 20
SAMPLE_SECONDS = 1.0
# The proxy's queue is full while the monitor stands still.
PROXY_LIMIT, MONITOR_LIMIT = 48 * MIB + QUEUE_LIMIT_BYTES, 128 * MIB
# A queue that has filled behind a stalled monitor leaves holes behind; it does not fill twice over.
PROXY_GROWTH = QUEUE_LIMIT_BYTES + 4 * MIB
# The ring of answers is touched for the first time as it fills, 31 bytes for each of them; windows
# of an hour and the log's backlog of 12 MiB come on top.
MONITOR_GROWTH = 31 * answers.SIZE + 24 * MIB


class Memory:
    """Samples of all processes."""

    def __init__(self) -> None:
        self._samples: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)

    async def run(self, pods: list[Pod], stop: asyncio.Event) -> None:
        while not stop.is_set():
            for pod in pods:
                for role, size in pod.memory().items():
                    self._samples[f"{role} of {pod.uid}"].append((time.monotonic(), size))
            with suppress(TimeoutError):
                async with asyncio.timeout(SAMPLE_SECONDS):
                    await stop.wait()

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
