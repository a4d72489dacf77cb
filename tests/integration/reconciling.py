"""A reconcile on a real API server, where the test does the part of watches and kubelet."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes import FakeSidecars
from tests.patience import DEADLINE_SECONDS

from tidegate.api.names import API_VERSION, LABEL_MANAGED_BY, MANAGED_BY
from tidegate.clients.kube import Kube, Manifest
from tidegate.clients.resources import PODS, Resource
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.store import Store
from tidegate.settings import Settings

OURS = f"{LABEL_MANAGED_BY}={MANAGED_BY}"


class Reconciling:
    """One operator and one namespace; the operator's clock is the test's."""

    listed: ClassVar[Iterable[tuple[Resource, str]]]
    """What the operator watches here, by resource and labels."""
    collector: ClassVar[type[Collector]] = Collector

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.now = datetime.now(UTC)
        self.restart()

    def restart(self) -> None:
        """Forget all that is not in the API server."""
        settings = Settings("tidegate", "pod-1", "sidecar:1", "runtime:1", Path("key.pem"))
        collector = self.collector(FakeSidecars(), asyncio.get_running_loop().time, lambda _: None)
        key = Ed25519PrivateKey.generate()
        self.cluster = Cluster(
            settings, self.kube, Store(), collector, key, Metrics(), lambda: self.now
        )

    async def relist(self) -> None:
        """Bring the store to what its watches would have it by now."""
        for resource, labels in self.listed:
            found, version = await self.kube.list(resource, self.namespace, labels=labels)
            self.cluster.store.replace(resource, self.namespace, found, version)

    async def make(self, kind: str, name: str, spec: Manifest) -> None:
        meta = {"namespace": self.namespace, "name": name}
        await self.kube.create(
            {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}
        )

    async def pod(self) -> Manifest:
        """The newest pod, as soon as the Job controller has made one."""
        found: list[Manifest] = []

        async def there() -> bool:
            found[:], _ = await self.kube.list(PODS, self.namespace)
            return bool(found)

        await eventually(there, "a pod")
        return max(found, key=_newness)


def _newness(pod: Manifest) -> tuple[bool, str]:
    """Times are to the second: of two pods of a second, the one that has not ended came later."""
    return pod["status"]["phase"] == "Pending", str(pod["metadata"]["creationTimestamp"])


async def eventually(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll the server until it holds; fail the test when it does not in time."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await holds():  # noqa: ASYNC110 - it happens in the server
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise AssertionError(f"waited {DEADLINE_SECONDS:g} s in vain for {what}") from error
