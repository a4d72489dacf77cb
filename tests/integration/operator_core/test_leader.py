import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidegate.api.names import LEASE_NAME
from tidegate.clients.kube import Kube
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


async def says(process: asyncio.subprocess.Process, word: str, seconds: float) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(seconds):
        line = await process.stdout.readline()
    assert line.decode().strip() == word


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
        await says(first, "leads", 20)
        async with candidate(kubeconfig, namespace, "b") as second:
            first.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            await says(second, "leads", LEASE_SECONDS + 3 * RETRY_SECONDS + 10)
            assert time.monotonic() - killed < LEASE_SECONDS + 3 * RETRY_SECONDS + 2
            assert await holder(kube, namespace) == "b"


async def test_a_leader_that_is_replaced_notices(
    kube: Kube, kubeconfig: Path, namespace: str
) -> None:
    async with candidate(kubeconfig, namespace, "a") as first:
        await says(first, "leads", 20)
        lease = await kube.get(LEASES, namespace, LEASE_NAME)
        while lease is not None:  # until no renewal comes in between
            taken = {**lease, "spec": {**lease["spec"], "holderIdentity": "b"}}
            if await kube.replace(taken) is not None:
                break
            lease = await kube.get(LEASES, namespace, LEASE_NAME)
        await says(first, "lost", 3 * RETRY_SECONDS)


async def test_a_leader_that_stood_still_steps_back(
    kube: Kube, kubeconfig: Path, namespace: str
) -> None:
    async with candidate(kubeconfig, namespace, "a") as first:
        await says(first, "leads", 20)
        first.send_signal(signal.SIGSTOP)
        other = leadership(kube, namespace, "b")
        async with asyncio.timeout(LEASE_SECONDS + 3 * RETRY_SECONDS):
            await other.acquire()
        first.send_signal(signal.SIGCONT)
        await says(first, "lost", 3 * RETRY_SECONDS)
        assert await holder(kube, namespace) == "b"


async def test_a_released_lease_is_free_at_once(kube: Kube, namespace: str) -> None:
    first, second = leadership(kube, namespace, "a"), leadership(kube, namespace, "b")
    await first.acquire()
    await first.release()
    async with asyncio.timeout(RETRY_SECONDS):
        await second.acquire()
    assert await holder(kube, namespace) == "b"
    await first.release()
    assert await holder(kube, namespace) == "b"


async def test_two_that_start_together_make_one_leader(kube: Kube, namespace: str) -> None:
    crowd = [leadership(kube, namespace, name) for name in "abcdefgh"]
    tries = [asyncio.create_task(one.acquire()) for one in crowd]
    await asyncio.wait(tries, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    # The others have lost by then, and not begun to ask again: who is cancelled while it connects
    # leaves a connection behind.
    done, waiting = await asyncio.wait(tries, timeout=RETRY_SECONDS / 2)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*tries, return_exceptions=True)
    assert len(done) == 1
    assert [one.renewed_at is not None for one in crowd].count(True) == 1
