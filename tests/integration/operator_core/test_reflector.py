import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.integration.operator_core.objects import OURS, config_map, eventually
from tests.patience import DEADLINE_SECONDS
from typing_extensions import override

from tidegate.clients.kube import GoneError, Kube, Manifest
from tidegate.clients.reflector import Reflector
from tidegate.clients.resources import CONFIG_MAPS, Resource
from tidegate.controllers.inbox import Inbox
from tidegate.controllers.store import Store
from tidegate.controllers.workqueue import WorkQueue

pytestmark = pytest.mark.apiserver


class CutKube(Kube):
    """The real client, whose watch ends and comes back too late when it is told to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cut, self.mended = asyncio.Event(), asyncio.Event()

    @override
    async def watch(
        self, resource: Resource, namespace: str | None, *, labels: str, resource_version: str
    ) -> AsyncIterator[tuple[str, Manifest]]:
        stream = super().watch(
            resource, namespace, labels=labels, resource_version=resource_version
        )
        while not self.cut.is_set():
            following = asyncio.ensure_future(anext(stream))
            cutting = asyncio.ensure_future(self.cut.wait())
            await asyncio.wait((following, cutting), return_when=asyncio.FIRST_COMPLETED)
            cutting.cancel()
            if not following.done():
                following.cancel()
                break
            yield following.result()
        await self.mended.wait()
        self.cut.clear()
        raise GoneError(resource_version)


@asynccontextmanager
async def reflected(kube: Kube, namespace: str, store: Store) -> AsyncIterator[None]:
    queue = WorkQueue(asyncio.get_running_loop().time, lambda: 0.5)
    reflector = Reflector(kube, CONFIG_MAPS, namespace, OURS, Inbox(store, queue))
    task = asyncio.create_task(reflector.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def holds(store: Store, namespace: str, **objects: str) -> Callable[[], bool]:
    def check() -> bool:
        found = store.list(CONFIG_MAPS, namespace)
        return {o["metadata"]["name"]: o["data"]["x"] for o in found} == objects

    return check


async def test_follows_what_happens(kube: Kube, namespace: str) -> None:
    store = Store([(CONFIG_MAPS, namespace)])
    await kube.apply(config_map(namespace, "before", x="1"))
    unlabelled = config_map(namespace, "not-ours", x="1")
    del unlabelled["metadata"]["labels"]
    await kube.apply(unlabelled)
    async with reflected(kube, namespace, store):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await store.wait_synced()
        assert holds(store, namespace, before="1")()
        await kube.apply(config_map(namespace, "before", x="2"))
        await kube.apply(config_map(namespace, "after", x="1"))
        await eventually(holds(store, namespace, before="2", after="1"), "the changes")
        await kube.delete(CONFIG_MAPS, namespace, "before")
        await eventually(holds(store, namespace, after="1"), "the deletion")


async def test_a_new_list_finds_deletions_that_no_watch_has_seen(
    kube: Kube, namespace: str
) -> None:
    store = Store([(CONFIG_MAPS, namespace)])
    watching = CutKube(kube._api.configuration)
    for name in ("stays", "goes"):
        await kube.apply(config_map(namespace, name, x="1"))
    async with reflected(watching, namespace, store):
        await eventually(holds(store, namespace, stays="1", goes="1"), "the first list")
        watching.cut.set()
        await asyncio.sleep(0)
        await kube.delete(CONFIG_MAPS, namespace, "goes")
        await kube.apply(config_map(namespace, "comes", x="1"))
        watching.mended.set()
        await eventually(holds(store, namespace, stays="1", comes="1"), "the new list")
    await watching.close()
