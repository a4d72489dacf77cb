"""Two pods under load while everything around them fails: no request may, and none goes uncounted.

`TIDEGATE_SOAK_SECONDS` says how long, `TIDEGATE_SOAK_SEED` repeats the faults of an earlier run.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.integration.runtime.programs import S3Server
from tests.patience import DEADLINE_SECONDS
from tests.soak.books import Books, logged
from tests.soak.clients import ROWS, Polite, Rude, Seen
from tests.soak.faults import Faults, World
from tests.soak.memory import MIB, Memory
from tests.soak.pods import log_settings, pod
from tests.unit.sidecar.harness import CANDIDATE, STABLE

SECONDS = float(os.environ.get("TIDEGATE_SOAK_SECONDS", "55"))
SEED = int(os.environ.get("TIDEGATE_SOAK_SEED") or time.time_ns() % 1_000_000)
POLITE, RATE = 10, 220  # clients, and what they ask in a second together
RUDE_PAUSE_SECONDS = 0.15

pytestmark = [pytest.mark.s3, pytest.mark.timeout(SECONDS + 5 * DEADLINE_SECONDS)]


@asynccontextmanager
async def two_pods(folder: Path, store: S3Server) -> AsyncIterator[World]:
    environment = log_settings(store.environment())
    async with (
        pod(folder, "pod-s", STABLE, environment) as stable,
        pod(folder, "pod-c", CANDIDATE, environment) as candidate,
    ):
        yield World(stable, candidate, store)


class Soak:
    """All that runs side by side, and what it saw."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen = Seen()
        self.books = Books(world)
        self.memory = Memory()

    async def run(self) -> None:
        """Clients, faults and the operator's pulls, for the time asked for."""
        world, rng = self.world, random.Random(SEED)
        begun, asked, hurt, done = (asyncio.Event() for _ in range(4))
        await world.route(30)
        async with asyncio.TaskGroup() as everything:
            everything.create_task(self.books.run(begun, done))
            await begun.wait()
            rude = Rude(world.pods, self.seen, rng)
            for each in world.pods.values():
                each.signal_monitor(signal.SIGSTOP)
                await rude.fill_queue(each)
                self.memory.sample(each)
                each.signal_monitor(signal.SIGCONT)
            everything.create_task(self.memory.run(list(world.pods.values()), done))
            async with asyncio.TaskGroup() as clients:
                for _ in range(POLITE):
                    polite = Polite(world.pods, world.stable, self.seen, rng)
                    clients.create_task(polite.run(POLITE / RATE, asked))
                clients.create_task(rude.run(RUDE_PAUSE_SECONDS, asked))
                faults = clients.create_task(Faults(world, random.Random(SEED)).run(hurt))
                await asyncio.sleep(SECONDS)
                hurt.set()
                await faults  # ends when all is well again, which the clients have to see
                asked.set()
            done.set()

    def known(self, uid: str) -> int:
        """Requests that the clients know that the pod has answered."""
        polite = sum(n for (member, _), n in self.seen.polite.items() if member == uid)
        return polite + self.seen.rude[uid]

    def report(self) -> Iterator[str]:
        """For people."""
        yield f"soak: seed {SEED}, faults {dict(self.world.happened)}"
        yield f"{self.seen.polite.total()} requests, and of rude clients {dict(self.seen.kinds)}"
        yield f"failed by their models: {dict(self.seen.failed)}"
        yield f"{len(self.compared())} of {len(self.seen.polite)} slots compared one by one"
        yield f"the operator asked {self.books.silences} times in vain"
        for uid in self.world.pods:
            polite, rude = self.books.polite(uid), self.books.rude(uid)
            total, lost = polite + rude, self.books.members[uid].lost
            yield f"{uid}: {self.known(uid)} known = {total.requests} in windows + {lost} lost"
            yield f"  {total.rows} rows, {total.dropped} dropped, {total.unparsed}, {total.errors}"
        for name, (early, late) in self.memory.peaks().items():
            yield f"{name}: at most {early / MIB:.1f} MiB early, {late / MIB:.1f} MiB late"

    def compared(self) -> list[tuple[str, int]]:
        """The pods and slots in which both sides must have counted the same."""
        return [(uid, slot) for uid, slot in self.seen.polite if self.books.plain(uid, slot)]

    def check(self) -> None:
        seen, books = self.seen, self.books
        assert not seen.faults, seen.faults[:20]
        for uid in self.world.pods:
            polite, rude, lost = books.polite(uid), books.rude(uid), books.members[uid].lost
            assert self.known(uid) == polite.requests + rude.requests + lost
            if not any(t.uid == uid for t in self.world.troubles):
                assert (lost, rude.requests) == (0, seen.rude[uid])
                # What another pod should have answered is not decoded here.
                undecoded = polite.dropped + sum(polite.unparsed.values())
                undecoded += polite.errors.get("unreachable", 0)
                assert polite.rows == ROWS * (seen.succeeded[uid] - undecoded)
        different, excesses = books.differences(seen), self.memory.excesses()
        assert self.compared()
        assert not different, different
        assert not excesses, excesses


async def test_nothing_that_fails_around_a_pod_fails_a_request_or_loses_a_count(
    store: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with two_pods(tmp_path, store) as world:
        soak = Soak(world)
        try:
            await soak.run()
        finally:
            with capsys.disabled():
                sys.stdout.write("\n".join(["", *soak.report(), ""]))
        soak.check()
    # The pods have ended, so what they had not uploaded yet is in the bucket now.
    assert 0 < logged(store.root) <= ROWS * sum(map(soak.known, world.pods))
