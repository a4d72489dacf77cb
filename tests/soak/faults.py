"""What goes wrong, and when: drawn from a seed, so that a bad run can be told from bad luck."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf

from tests.integration.runtime.programs import S3Server
from tests.soak.pods import Pod
from tests.unit.sidecar.harness import routing

from tidegate.evidence.windows import SLOT_SECONDS

KILL_PAUSE_SECONDS = 12.0  # a monitor that dies young again and again is waited for 10 s
CLOCK_ERROR_SECONDS = 15.0  # tokens and the collector bear with half a minute
FAR_SECONDS = (40.0, 900.0, 20_000.0, 1e6)  # a minute, minutes, hours, days
ANEW_SECONDS = 2 * SLOT_SECONDS  # until a pod counts again whose clock was far ahead


@dataclass
class Trouble:
    """When a pod's slots could not be whole or not be the clients', by the true clock."""

    uid: str
    began: float
    ended: float = inf


@dataclass
class World:
    """What can be hurt."""

    stable: Pod
    candidate: Pod
    store: S3Server
    generation: int = 0
    troubles: list[Trouble] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    @property
    def pods(self) -> dict[str, Pod]:
        return {p.uid: p for p in (self.stable, self.candidate)}

    async def route(self, weight: int | None, shadow: int = 0) -> None:
        """Give the candidate this share; without one there is no candidate."""
        self.generation += 1
        port = self.candidate.sidecar.port if weight is not None else None
        document = routing(self.generation, port, weight or 0, stable_port=self.stable.sidecar.port)
        if document.candidate is not None:
            candidate = replace(document.candidate, shadow=shadow)
            document = replace(document, candidate=candidate)
        for pod in self.pods.values():
            reply = await pod.sidecar.route(document)
            assert reply.status == 200, reply


class Faults:
    """Each runs beside the others, but never twice at once.

    What takes counts with it or moves them, a killed monitor and a wrong clock, happens to one of
    the pods only: all that the other one counts has to be whole.
    """

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self._unlucky = self._pod()
        self._kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "monitor killed": self._kill_monitor,
            "monitor stalled": self._stall_monitor,
            "model killed": self._kill_model,
            "routing changed": self._change_routing,
            "store blocked": self._block_store,
            "store killed": self._kill_store,
            "clock stepped": self._step_clock,
            "clock far off": self._throw_clock,
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Hurt until told to stop; everything is well again when this returns."""
        busy: dict[str, asyncio.Task[None]] = {}
        waiting: list[str] = []
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                # All kinds in turn, in an order of chance: a short run has each of them too.
                waiting = waiting or self._rng.sample(list(self._kinds), len(self._kinds))
                kind = next((k for k in waiting if k not in busy or busy[k].done()), None)
                if kind is not None:
                    waiting.remove(kind)
                    busy[kind] = group.create_task(self._inflict(kind))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._rng.uniform(0.5, 3.0)):
                        await stop.wait()

    async def _inflict(self, kind: str) -> None:
        self._world.happened[kind] += 1
        await self._kinds[kind]()

    def _pod(self) -> Pod:
        return self._rng.choice([self._world.stable, self._world.candidate])

    async def _kill_monitor(self) -> None:
        pod = self._unlucky
        trouble = Trouble(pod.uid, time.time())
        self._world.troubles.append(trouble)
        pod.signal_monitor(signal.SIGKILL)
        await asyncio.sleep(KILL_PAUSE_SECONDS)
        await pod.sidecar.monitor_up()
        trouble.ended = time.time()

    async def _stall_monitor(self) -> None:
        pod = self._pod()
        stalled = pod.signal_monitor(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._rng.uniform(0.5, 12.0))
        finally:
            if stalled is not None and stalled == pod.sidecar.monitor_pid():
                pod.signal_monitor(signal.SIGCONT)

    async def _kill_model(self) -> None:
        model = self._pod().model
        await model.kill()
        await asyncio.sleep(self._rng.uniform(0.0, 2.0))
        await model.start()

    async def _change_routing(self) -> None:
        for _ in range(self._rng.randrange(1, 6)):
            weight = self._rng.choice([None, 0, 5, 30, 60])
            await self._world.route(weight, self._rng.choice([0, 10]))
            await asyncio.sleep(self._rng.uniform(0.0, 0.5))

    async def _block_store(self) -> None:
        process = self._world.store.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._rng.uniform(1.0, 15.0))
        finally:
            process.send_signal(signal.SIGCONT)

    async def _kill_store(self) -> None:
        store = self._world.store
        process = store.process
        assert process is not None
        process.kill()
        process.wait()
        await asyncio.sleep(self._rng.uniform(0.5, 8.0))
        starting = asyncio.ensure_future(asyncio.to_thread(store.start))
        try:
            await asyncio.shield(starting)
        finally:
            await starting  # a thread can't be interrupted, and what it starts has to be ended

    async def _step_clock(self) -> None:
        error = self._rng.uniform(-CLOCK_ERROR_SECONDS, CLOCK_ERROR_SECONDS)
        # What was closed ahead of time stays closed: until then all counts in one slot.
        await self._set_clock(error, max(error, 0.0))

    async def _throw_clock(self) -> None:
        error = self._rng.choice(FAR_SECONDS) * self._rng.uniform(1.0, 2.0)
        await self._set_clock(self._rng.choice([error, -error]), ANEW_SECONDS)

    async def _set_clock(self, error: float, settling: float) -> None:
        """Set it wrong for a while; `settling`: how long that can be seen afterwards."""
        pod = self._unlucky
        trouble = Trouble(pod.uid, time.time())
        self._world.troubles.append(trouble)
        pod.set_clock(error)
        try:
            await asyncio.sleep(self._rng.uniform(1.0, 8.0))
        finally:
            pod.set_clock(0.0)
        trouble.ended = time.time() + settling
