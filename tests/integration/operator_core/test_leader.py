import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fair_clock import fair_clock
from tests.patience import DEADLINE_SECONDS

from tidegate.api.names import LEASE_NAME
from tidegate.clients.kube import Kube, Manifest
from tidegate.clients.resources import LEASES
from tidegate.controllers.leader import LEASE_SECONDS, RETRY_SECONDS, Leadership

pytestmark = pytest.mark.apiserver

CANDIDATE = Path(__file__).with_name("candidate.py")


@asynccontextmanager
async def candidate(
    kubeconfig: Path, namespace: str, identity: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CANDIDATE),
        str(kubeconfig),
        namespace,
        identity,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def says(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        line = await process.stdout.readline()
    assert line.decode().strip() == word


class History:
    """What the Lease has said, by holder: the last that a reader has seen who looks often."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._last: dict[str, Manifest] = {}

    async def look(self) -> None:
        lease = await self._kube.get(LEASES, self._namespace, LEASE_NAME)
        if lease is not None:
            self._last[lease["spec"]["holderIdentity"]] = lease["spec"]

    def check_takeover(self, before: str, after: str) -> None:
        """Another has waited for the whole of the time that the Lease names."""
        old, new = self._last[before], self._last[after]
        unrenewed = _time(new["acquireTime"]) - _time(old["renewTime"])
        assert unrenewed.total_seconds() >= old["leaseDurationSeconds"] == LEASE_SECONDS
        assert new["leaseTransitions"] == old["leaseTransitions"] + 1


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def leadership(kube: Kube, namespace: str, identity: str) -> Leadership:
    return Leadership(kube, namespace, identity, lambda: datetime.now(UTC))


async def holder(kube: Kube, namespace: str) -> str:
    lease = await kube.get(LEASES, namespace, LEASE_NAME)
    assert lease is not None
    return str(lease["spec"]["holderIdentity"])


async def test_when_the_leader_is_killed_another_leads(
    kube: Kube, kubeconfig: Path, namespace: str
) -> None:
    async with candidate(kubeconfig, namespace, "a") as first:
        await says(first, "leads")
        async with candidate(kubeconfig, namespace, "b") as second:
            history = History(kube, namespace)
            async with fair_clock(second.pid, server=history.look) as clock:
                first.send_signal(signal.SIGKILL)
                killed = clock()
                await says(second, "leads")
                assert clock() - killed < LEASE_SECONDS + 3 * RETRY_SECONDS + 2
            await history.look()
            history.check_takeover("a", "b")


async def test_a_leader_that_is_replaced_notices(
    kube: Kube, kubeconfig: Path, namespace: str
) -> None:
    async with candidate(kubeconfig, namespace, "a") as first:
        await says(first, "leads")
        lease = await kube.get(LEASES, namespace, LEASE_NAME)
        while lease is not None:  # until no renewal comes in between
            taken = {**lease, "spec": {**lease["spec"], "holderIdentity": "b"}}
            if await kube.replace(taken) is not None:
                break
            lease = await kube.get(LEASES, namespace, LEASE_NAME)
        async with fair_clock(first.pid, server=History(kube, namespace).look) as clock:
            replaced = clock()
            await says(first, "lost")
            assert clock() - replaced < 3 * RETRY_SECONDS


async def test_a_leader_that_stood_still_steps_back(
    kube: Kube, kubeconfig: Path, namespace: str
) -> None:
    async with candidate(kubeconfig, namespace, "a") as first:
        await says(first, "leads")
        history = History(kube, namespace)
        async with fair_clock(first.pid, server=history.look) as clock:
            first.send_signal(signal.SIGSTOP)
            stopped = clock()
            other = leadership(kube, namespace, "b")
            async with asyncio.timeout(DEADLINE_SECONDS):
                await other.acquire()
            assert clock() - stopped < LEASE_SECONDS + 3 * RETRY_SECONDS
            first.send_signal(signal.SIGCONT)
            continued = clock()
            await says(first, "lost")
            assert clock() - continued < 3 * RETRY_SECONDS
        await history.look()
        history.check_takeover("a", "b")


async def test_a_released_lease_is_free_at_once(kube: Kube, namespace: str) -> None:
    first, second = leadership(kube, namespace, "a"), leadership(kube, namespace, "b")
    await first.acquire()
    await first.release()
    assert await second._try()
    assert await holder(kube, namespace) == "b"
    await first.release()
    assert await holder(kube, namespace) == "b"


async def test_two_that_start_together_make_one_leader(kube: Kube, namespace: str) -> None:
    crowd = [leadership(kube, namespace, name) for name in "abcdefgh"]
    led = await asyncio.gather(*(one._try() for one in crowd))
    assert led.count(True) == 1
    assert [one.renewed_at is not None for one in crowd].count(True) == 1
