import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.patience import DEADLINE_SECONDS

from tidegate.api.names import LEASE_NAME
from tidegate.clients.kube import Kube
from tidegate.clients.resources import LEASES
from tidegate.controllers.leader import Leadership

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
            first.send_signal(signal.SIGKILL)
            await says(second, "leads")
            assert await holder(kube, namespace) == "b"


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
        await says(first, "lost")


async def test_a_leader_that_stood_still_steps_back(
    kube: Kube, kubeconfig: Path, namespace: str
) -> None:
    async with candidate(kubeconfig, namespace, "a") as first:
        await says(first, "leads")
        first.send_signal(signal.SIGSTOP)
        other = leadership(kube, namespace, "b")
        async with asyncio.timeout(DEADLINE_SECONDS):
            await other.acquire()
        first.send_signal(signal.SIGCONT)
        await says(first, "lost")
        assert await holder(kube, namespace) == "b"


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
