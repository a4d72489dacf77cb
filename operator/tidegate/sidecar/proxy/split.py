"""Which pod answers: the weights of the routing document, drawn anew for each request."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tidegate.sidecar.settings import host_and_port
from tidegate.traffic.routing import Routing


@dataclass(frozen=True, slots=True)
class Tcp:
    """A server behind a host and port."""

    host: str
    port: int

    async def connect(self, factory: Callable[[], asyncio.Protocol]) -> None:
        await asyncio.get_running_loop().create_connection(factory, self.host, self.port)


@dataclass(frozen=True, slots=True)
class Unix:
    """A server behind a socket in the file system."""

    path: str

    async def connect(self, factory: Callable[[], asyncio.Protocol]) -> None:
        await asyncio.get_running_loop().create_unix_connection(factory, self.path)


Target = Tcp | Unix


class Route(NamedTuple):
    """Where a request goes and under which generation and revision it is counted."""

    target: Target
    generation: int
    revision: str
    forwarded: bool
    """To another pod, which counts the request itself once it has answered."""


class Split:
    """Chooses the route of each request. `draw` gives independent uniform numbers in [0, 1)."""

    def __init__(self, revision: str, local: Target, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._local = Route(local, 0, revision, forwarded=False)
        self._remote: Route | None = None
        self._share = 0.0

    def apply(self, routing: Routing) -> None:
        """Act on the document from the next request on."""
        own = self._local.revision
        self._local = self._local._replace(generation=routing.generation)
        candidate = routing.candidate
        if own == routing.stable:
            self._remote = (
                _remote(candidate.address, routing, candidate.revision) if candidate else None
            )
            self._share = candidate.weight / 100 if candidate else 0.0
        elif candidate and own == candidate.revision:
            self._remote, self._share = None, 0.0
        else:  # stable before a promotion, or a candidate that was rolled back
            self._remote = _remote(routing.stable_address, routing, routing.stable)
            self._share = 1.0

    def choose(self, routed: bytes | None) -> Route:
        """The route of a request; `routed` is the mark of a pod that has chosen already."""
        if routed is not None:
            known = self._local.generation
            generation = int(routed) if routed.isdigit() and len(routed) < 16 else known
            return self._local._replace(generation=generation)
        if self._remote is not None and self._draw() < self._share:
            return self._remote
        return self._local

    def local(self, generation: int) -> Route:
        """The route to the pod's own model, for a request whose first route failed."""
        return self._local._replace(generation=generation)


def _remote(address: str, routing: Routing, revision: str) -> Route:
    return Route(Tcp(*host_and_port(address)), routing.generation, revision, forwarded=True)
