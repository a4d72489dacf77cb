"""The whole operator, as its image starts it, on a real API server."""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.integration.operator_core.objects import eventually, model

from tidegate.clients.kube import Kube
from tidegate.clients.resources import LEASES, MODELS
from tidegate.controllers.leader import LEASE_NAME

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("crds")]


class Replica:
    """A running operator."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, port: int) -> None:
        self.process = process
        self._log = log
        self._port = port

    @property
    def log(self) -> str:
        return self._log.read_text()

    def says(self, text: str) -> Callable[[], bool]:
        def check() -> bool:
            assert self.process.returncode is None, self.log
            return text in self.log

        return check

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self._port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.text()

    async def has_reconciled(self, models: int) -> None:
        """Poll until so many reconciles of Models were counted."""
        async with asyncio.timeout(20):
            while True:
                _, text = await self.get("/metrics")
                counts = re.findall(r'tidegate_reconcile_total\{kind="Model".*\} (\S+)', text)
                if sum(map(float, counts)) >= models:
                    return
                await asyncio.sleep(0.1)

    async def stop(self) -> float:
        """Tell it to end; the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await self.process.wait()
        return time.monotonic() - began


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "signing.pem"
    private = Ed25519PrivateKey.generate()
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@asynccontextmanager
async def replica(
    kubeconfig: Path, key: Path, namespace: str, name: str, **environment: str
) -> AsyncIterator[Replica]:
    port = free_port()
    log = key.with_name(f"{name}.log")
    settings = {
        "KUBECONFIG": str(kubeconfig),
        "TIDEGATE_NAMESPACE": namespace,
        "TIDEGATE_POD_NAME": name,
        "TIDEGATE_SIDECAR_IMAGE": "sidecar:1",
        "TIDEGATE_RUNTIME_IMAGE": "runtime:1",
        "TIDEGATE_SIGNING_KEY": str(key),
        "TIDEGATE_WATCH_NAMESPACES": namespace,
        "TIDEGATE_HTTP_PORT": str(port),
    }
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tidegate.controllers",
            env=os.environ | settings | environment,
            stdout=out,
            stderr=out,
        )
    try:
        yield Replica(process, log, port)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_starts_reconciles_and_stops(
    kube: Kube, kubeconfig: Path, key: Path, namespace: str
) -> None:
    await kube.apply(model(namespace, "before"))
    async with replica(kubeconfig, key, namespace, "a") as operator:
        await eventually(operator.says("workers start"), "the start", 30)
        assert (await operator.get("/livez"))[0] == 200
        assert (await operator.get("/readyz"))[0] == 200
        await operator.has_reconciled(1)
        await kube.apply(model(namespace, "after"))
        await operator.has_reconciled(2)
        found = await kube.get(MODELS, namespace, "after")
        assert found is not None
        assert "finalizers" not in found["metadata"]
        assert "annotations" not in found["metadata"]
        assert await operator.stop() < 10
        assert operator.process.returncode == 0, operator.log
        assert "Traceback" not in operator.log
    lease = await kube.get(LEASES, namespace, LEASE_NAME)
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == ""


async def test_works_in_all_namespaces(
    kube: Kube, kubeconfig: Path, key: Path, namespace: str
) -> None:
    async with replica(kubeconfig, key, namespace, "a", TIDEGATE_WATCH_NAMESPACES="") as operator:
        await eventually(operator.says("workers start"), "the start", 30)
        await kube.apply(model(namespace))
        await operator.has_reconciled(1)
        assert await operator.stop() < 10


async def test_a_standby_takes_over_from_a_leader_that_ends(
    kubeconfig: Path, key: Path, namespace: str
) -> None:
    async with (
        replica(kubeconfig, key, namespace, "a") as first,
        replica(kubeconfig, key, namespace, "b") as second,
    ):
        replicas = {"a": first, "b": second}

        def leaders() -> list[str]:
            return [name for name, one in replicas.items() if "workers start" in one.log]

        await eventually(lambda: len(leaders()) == 1, "a leader", 30)
        (leader,) = leaders()
        standby = replicas["b" if leader == "a" else "a"]
        assert (await standby.get("/readyz"))[0] == 200
        assert (await standby.get("/livez"))[0] == 200
        assert "tidegate_leader 0.0" in (await standby.get("/metrics"))[1]
        assert await replicas[leader].stop() < 10
        await eventually(standby.says("workers start"), "the other to take over", 15)
        assert await standby.stop() < 10


async def test_a_leader_that_lost_the_lease_exits(
    kube: Kube, kubeconfig: Path, key: Path, namespace: str
) -> None:
    async with replica(kubeconfig, key, namespace, "a") as operator:
        await eventually(operator.says("workers start"), "the start", 30)
        lease = await kube.get(LEASES, namespace, LEASE_NAME)
        while lease is not None:  # until no renewal comes in between
            taken = {**lease, "spec": {**lease["spec"], "holderIdentity": "b"}}
            if await kube.replace(taken) is not None:
                break
            lease = await kube.get(LEASES, namespace, LEASE_NAME)
        async with asyncio.timeout(15):
            assert await operator.process.wait() == 1


async def test_refuses_to_start_without_its_settings(
    kubeconfig: Path, key: Path, namespace: str
) -> None:
    async with replica(kubeconfig, key, namespace, "a", TIDEGATE_RUNTIME_IMAGE="") as operator:
        async with asyncio.timeout(20):
            assert await operator.process.wait() == 2
        assert operator.log == "set TIDEGATE_RUNTIME_IMAGE: it has no default\n"
