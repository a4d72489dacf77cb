"""Where all watches end: the store takes the object, the queue those who must look again."""

from collections.abc import Iterable

from tidegate.clients.kube import Manifest
from tidegate.clients.resources import Resource
from tidegate.controllers.routes import wakes
from tidegate.controllers.store import Store
from tidegate.controllers.workqueue import WorkQueue


class Inbox:
    """Takes what watches and lists bring; what brings nothing new wakes nobody."""

    def __init__(self, store: Store, queue: WorkQueue) -> None:
        self._store = store
        self._queue = queue

    def put(self, resource: Resource, obj: Manifest) -> None:
        self._wake(resource, self._store.put(resource, obj))

    def remove(self, resource: Resource, obj: Manifest) -> None:
        self._wake(resource, self._store.remove(resource, obj))

    def replace(
        self, resource: Resource, namespace: str | None, objects: list[Manifest], version: str
    ) -> None:
        self._wake(resource, self._store.replace(resource, namespace, objects, version))

    def retain(
        self, resource: Resource, namespace: str | None, uids: set[str], version: str
    ) -> None:
        self._wake(resource, self._store.retain(resource, namespace, uids, version))

    def _wake(self, resource: Resource, changed: Iterable[Manifest]) -> None:
        for obj in changed:
            for key in wakes(resource, obj, self._store):
                self._queue.add(key)
