"""Real monitors one after the other, told the time by a clock of our own."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.ports import free_port
from tests.unit.sidecar.harness import DEADLINE_SECONDS, KEY, STABLE, eventually

from tidegate.controllers.members import Member
from tidegate.evidence.windows import SLOT_SECONDS, Report, slot_of
from tidegate.sidecar.proxy.channel import Channel
from tidegate.sidecar.proxy.supervisor import Supervisor
from tidegate.sidecar.records import Kind, Record
from tidegate.traffic.signing import mint_token

UID = "pod-1"


class Pod:
    """What the proxy does for its monitor, and the operator that asks it."""

    def __init__(self, folder: Path) -> None:
        self.now = time.time()
        self.channel = Channel(asyncio.get_running_loop())
        self.operator = Member(0.0)
        self._path = str(folder / "monitor.sock")
        self.supervisor = Supervisor(
            self.channel, self._path, b"s" * 32, lambda: None, lambda: self.now
        )

    def ask(self, requests: int) -> None:
        """That many are answered, and the monitor is told."""
        for _ in range(requests):
            self.channel.send(
                Record(Kind.ANSWERED, status=500, arrival=self.now, revision=STABLE, latency=0.01)
            )

    async def heard(self, done: Callable[[Report], bool]) -> Report:
        """The first report that is `done`, booked as the operator does it."""
        found: list[Report] = []

        async def told() -> bool:
            self.channel.mark(self.now)  # as the proxy does each second
            with suppress(aiohttp.ClientError):
                found.append(await self._report())
            return bool(found) and done(found[-1])

        await eventually(told)
        self.operator.take(found[-1])
        return found[-1]

    async def _report(self) -> Report:
        token = mint_token(KEY, UID, time.time())
        connector = aiohttp.UnixConnector(self._path)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(
                f"http://monitor/windows?after={self.operator.closed_through or 0}",
                headers={"Authorization": f"Bearer {token}"},
            ) as answer,
        ):
            return Report.from_json(await answer.json())

    async def next_monitor(self) -> None:
        """Kill the one that is there once it has what was sent, and wait for another."""
        await self.channel.drain(DEADLINE_SECONDS)
        (before,) = monitors()
        os.kill(before, signal.SIGKILL)

        async def another() -> bool:
            return bool(monitors() - {before})

        await eventually(another)


def monitors() -> set[int]:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    found = set()
    for child in children:
        with suppress(FileNotFoundError):
            if b"tidegate.sidecar.monitor" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(int(child))
    return found


@pytest_asyncio.fixture
async def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pod]:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public-key.pem").write_bytes(pem)
    for name, value in {
        "POD_UID": UID,
        "MODEL": "churn",
        "REVISION": STABLE,
        "ROUTING_DIR": str(tmp_path),
        "PROFILE": str(tmp_path / "none.json"),
        "METRICS_PORT": str(free_port()),
    }.items():
        monkeypatch.setenv(f"TIDEGATE_{name}", value)
    running = Pod(tmp_path)
    task = asyncio.create_task(running.supervisor.run())
    yield running
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await running.supervisor.stop(DEADLINE_SECONDS)


async def test_a_clock_set_back_before_a_new_monitor_has_nothing_counted_twice(pod: Pod) -> None:
    first = slot_of(pod.now)
    pod.ask(5)
    pod.now += 3 * SLOT_SECONDS
    pod.ask(3)
    assert (await pod.heard(lambda r: r.closed_through > first)).counted == 5
    latest = slot_of(pod.now)

    pod.now -= 2.5 * SLOT_SECONDS
    pod.ask(4)
    await pod.next_monitor()  # seven go with it: their slot was still open
    pod.ask(2)
    pod.now += SLOT_SECONDS
    pod.ask(1)
    report = await pod.heard(lambda r: r.counted == 12)
    assert (report.first_slot, report.closed_through) == (latest + 1, latest)
    assert not report.windows, "slots that were told are never told again"
    await pod.next_monitor()  # three more, while the clock is still behind
    pod.ask(6)
    pod.now = (latest + 2) * SLOT_SECONDS - 1.0
    pod.ask(7)
    pod.now += SLOT_SECONDS
    pod.ask(8)
    report = await pod.heard(lambda r: r.closed_through > latest)

    assert {k.slot: n.requests for k, n in report.windows.items()} == {latest + 1: 13}
    told = {k.slot: n.requests for k, n in pod.operator.windows.items()}
    assert told == {first: 5, latest + 1: 13}
    assert pod.operator.lost == 7 + 3
    assert report.counted == 5 + 13 + pod.operator.lost
