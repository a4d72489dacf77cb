"""Keeps a copy of one kind of object up to date, deletions during a broken watch included."""

import logging
from typing import Protocol

from tidegate.clients.kube import GoneError, Kube, Manifest
from tidegate.clients.resources import Resource
from tidegate.clients.retries import BACKOFF_SECONDS, Retries
from tidegate.errors import TransientError

logger = logging.getLogger(__name__)


class Sink(Protocol):
    """Where the objects go."""

    def put(self, resource: Resource, obj: Manifest) -> None: ...

    def remove(self, resource: Resource, obj: Manifest) -> None: ...

    def replace(
        self, resource: Resource, namespace: str | None, objects: list[Manifest], version: str
    ) -> None:
        """`objects` is all there is, as of `version`; what is missing is gone."""


class Reflector:
    """Lists, then watches, one resource in one namespace (None: all), for ever.

    A new list *replaces* what the sink holds, so that objects which vanished while nobody watched
    vanish from the sink as well.
    """

    def __init__(
        self, kube: Kube, resource: Resource, namespace: str | None, labels: str, sink: Sink
    ) -> None:
        self._kube = kube
        self._resource = resource
        self._namespace = namespace
        self._labels = labels
        self._sink = sink

    async def run(self) -> None:
        """Never returns; a failing API server is waited for, with back-off."""
        version, hung_up = "", False
        failing, ending = Retries(logger, BACKOFF_SECONDS), Retries(logger, BACKOFF_SECONDS)
        while True:
            try:
                if not version:
                    version = await self._list()
                async for kind, obj in self._kube.watch(
                    self._resource, self._namespace, labels=self._labels, resource_version=version
                ):
                    version, hung_up = obj["metadata"]["resourceVersion"], False
                    failing.over()
                    ending.over()
                    self._take(kind, obj)
            except GoneError:
                version = ""
            except TransientError as error:
                await failing.pause(str(error), error.retry_after or 0.0)
                continue
            # A watch that lives has a bookmark at least: one without an event was hung up on.
            if hung_up:
                await ending.pause(f"watches of {self._resource.plural} end at once")
            hung_up = True

    async def _list(self) -> str:
        objects, version = await self._kube.list(
            self._resource, self._namespace, labels=self._labels
        )
        self._sink.replace(self._resource, self._namespace, objects, version)
        return version

    def _take(self, kind: str, obj: Manifest) -> None:
        match kind:
            case "ADDED" | "MODIFIED":
                self._sink.put(self._resource, obj)
            case "DELETED":
                self._sink.remove(self._resource, obj)
            case _:  # BOOKMARK: nothing but a newer resource version
                pass
