"""The sweep: finds what the watches have missed, and has everything looked at again."""

import asyncio
import logging
from itertools import chain, repeat

from tidegate.api.meta import ObjectKey
from tidegate.clients.kube import Kube, Manifest
from tidegate.clients.resources import CUSTOM, Resource
from tidegate.clients.retries import BACKOFF_SECONDS, Retries
from tidegate.controllers.inbox import Inbox
from tidegate.controllers.store import Store, version_of
from tidegate.controllers.workqueue import WorkQueue
from tidegate.errors import TidegateError, TransientError

logger = logging.getLogger(__name__)

FIRST_SECONDS = 20.0
PERIOD_SECONDS = 300.0

Place = tuple[Resource, str | None, str]
"""What is watched: resource, namespace (None: all), label selector."""


class Sweep:
    """Compares the store with lists of metadata, which cost the API server little."""

    def __init__(
        self, kube: Kube, places: tuple[Place, ...], inbox: Inbox, store: Store, queue: WorkQueue
    ) -> None:
        self._kube = kube
        self._places = places
        self._inbox = inbox
        self._store = store
        self._queue = queue

    async def load(self) -> None:
        """The first full list of the custom resources, for as long as it takes to get it."""
        for resource, namespace, labels in self._places:
            if resource in CUSTOM:
                await self._load(resource, namespace, labels)

    async def _load(self, resource: Resource, namespace: str | None, labels: str) -> None:
        retries = Retries(logger, BACKOFF_SECONDS)
        while True:
            try:
                objects, version = await self._kube.list(resource, namespace, labels=labels)
            except TransientError as error:
                await retries.pause(str(error), error.retry_after or 0.0)
            else:
                self._inbox.replace(resource, namespace, objects, version)
                return

    async def run(self) -> None:
        """Sweep for ever; once soon, for what went on between the first list and the watches."""
        for pause in chain([FIRST_SECONDS], repeat(PERIOD_SECONDS)):
            await asyncio.sleep(pause)
            for place in self._places:
                try:
                    await self.check(*place)
                except TidegateError as error:
                    logger.warning("sweep: %s", error)

    async def check(self, resource: Resource, namespace: str | None, labels: str) -> None:
        """Mend what the store has wrong in one place, and requeue its custom resources."""
        items, version = await self._kube.list(
            resource, namespace, labels=labels, metadata_only=True
        )
        self._inbox.retain(resource, namespace, {i["metadata"]["uid"] for i in items}, version)
        for item in items:
            meta = item["metadata"]
            if self._is_behind(resource, item):
                found = await self._kube.get(resource, meta["namespace"], meta["name"])
                if found is not None:
                    logger.info("sweep: %s %s was missed", resource.kind, meta["name"])
                    self._inbox.put(resource, found)
            if resource in CUSTOM:
                self._queue.add(ObjectKey(resource.kind, meta["namespace"], meta["name"]))

    def _is_behind(self, resource: Resource, item: Manifest) -> bool:
        meta = item["metadata"]
        known = self._store.get(resource, meta["namespace"], meta["name"])
        return (
            known is None
            or known["metadata"]["uid"] != meta["uid"]
            or version_of(known) < version_of(item)
        )
