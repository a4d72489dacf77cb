"""Operators as their image starts them, for the tests."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
from tests.fair_clock import fair_clock
from tests.patience import DEADLINE_SECONDS
from tests.ports import free_port

from tidegate.api.names import LEASE_NAME
from tidegate.clients.kube import Kube, configuration
from tidegate.clients.resources import LEASES

STOP_SECONDS = 10.0


class Replica:
    """A running operator."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        log: Path,
        port: int,
        kubeconfig: Path,
        namespace: str,
    ) -> None:
        self.process = process
        self._log = log
        self._port = port
        self._kubeconfig = kubeconfig
        self._namespace = namespace

    @property
    def log(self) -> str:
        return self._log.read_text()

    def says(self, text: str) -> Callable[[], bool]:
        def check() -> bool:
            assert self.process.returncode is None, self.log
            return text in self.log

        return check

    async def get(self, path: str) -> tuple[int, str]:
        """The answer's status and text; a replica that is still starting is waited for."""
        url = f"http://127.0.0.1:{self._port}{path}"
        async with asyncio.timeout(DEADLINE_SECONDS), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(url) as answer:
                        return answer.status, await answer.text()
                except aiohttp.ClientConnectorError:
                    assert self.process.returncode is None, self.log
                    await asyncio.sleep(0.1)

    async def has_reconciled(self, models: float) -> None:
        """Poll until so many reconciles of Models were counted."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self.reconciles() < models:  # noqa: ASYNC110 - it happens in the replica
                await asyncio.sleep(0.1)

    async def has_swept(self) -> None:
        """Poll until the first sweep has begun: it lists the TrainingJobs for the second time."""
        lists = 'code="200".*resource="trainingjobs".*verb="list"'
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self._counted("api_requests", lists) < 2:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.5)

    async def is_quiet(self) -> None:
        """Poll until for five seconds nothing was reconciled, and asked for but the Lease."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            before = -1.0
            while before != (before := await self._done()):  # noqa: ASYNC110 - see above
                await asyncio.sleep(5)

    async def reconciles(self) -> float:
        """How many reconciles of Models were counted."""
        return await self._counted("reconcile", 'kind="Model"')

    async def looks(self) -> float:
        """How often it has read the Lease; who leads writes it only."""
        return await self._counted("api_requests", 'resource="leases".*verb="get"')

    async def _done(self) -> float:
        asked = await self._counted("api_requests", "")
        leases = await self._counted("api_requests", 'resource="leases"')
        return await self.reconciles() + asked - leases

    async def _counted(self, metric: str, labels: str) -> float:
        _, text = await self.get("/metrics")
        return sum(map(float, re.findall(rf"tidegate_{metric}_total{{.*{labels}.*}} (\S+)", text)))

    async def ends(self) -> int:
        """Wait for its end; the exit code."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.process.wait()

    async def stop(self) -> int:
        """Tell it to end, and wait for that; the exit code."""
        async with self.within(STOP_SECONDS):
            self.process.send_signal(signal.SIGTERM)
            return await self.ends()

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """It takes no longer, but for what a busy machine and the API server take."""
        kube = Kube(await configuration(self._kubeconfig))
        ask = partial(kube.get, LEASES, self._namespace, LEASE_NAME)
        try:
            async with fair_clock(self.process.pid, server=ask) as clock:
                began = clock()
                yield
                assert clock() - began < seconds, self.log
        finally:
            await kube.close()


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
        "TIDEGATE_EVIDENCE_PORT": str(free_port()),
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
        yield Replica(process, log, port, kubeconfig, namespace)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
