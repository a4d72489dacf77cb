"""Which pod answers: the weights of the routing document, drawn anew for each request."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from tidegate.api.names import HEADER_ROUTED
from tidegate.evidence.windows import UNDRAWN
from tidegate.sidecar.proxy.heads import RequestHead
from tidegate.sidecar.settings import host_and_port
from tidegate.traffic.assignment import Assignment, has_rules
from tidegate.traffic.marks import Kind, read, signed
from tidegate.traffic.routing import Candidate, Routing

MARKS_REMEMBERED = 256  # one for each kind and generation that is met while a document is in force


@dataclass(frozen=True, slots=True)
class Tcp:
    """A server behind a host and port."""

    host: str
    port: int
    patience: float = 1.0
    """Seconds in which it must take a connection."""

    async def connect(self, factory: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self.patience):
            await loop.create_connection(factory, self.host, self.port)


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
    mark: bytes = b""
    """The header line for the other pod that it goes to, which then counts the request once it has
    answered; empty if it stays here."""
    counted: bool = True


class Split:
    """Chooses the route of each request. `draw` gives independent uniform numbers in [0, 1)."""

    def __init__(self, revision: str, local: Target, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._here = Route(local, 0, revision)
        self._undrawn = Route(local, UNDRAWN, revision)
        self._remote: Route | None = None
        self._matched: Route | None = None
        self._shadow: Route | None = None
        self._share = self._shadow_share = 0.0
        self._assignment: Assignment | None = None
        self._key = b""
        self._known: dict[bytes, Route | None] = {}  # by genuine mark; None: to be drawn here

    def apply(self, routing: Routing) -> None:
        """Act on the document from the next request on."""
        own, candidate = self._here.revision, routing.candidate
        self._key = bytes.fromhex(routing.mark_key)
        self._known = {}
        self._here = self._undrawn
        self._remote = self._matched = self._shadow = self._assignment = None
        self._share = 0.0
        if own == routing.stable:
            self._here = self._undrawn._replace(generation=routing.generation)
            if candidate is not None:
                self._give_share(candidate, routing)
        elif candidate is None or own != candidate.revision:
            # Stable before a promotion, or a candidate that was rolled back.
            self._remote = self._to(routing.stable_address, routing, routing.stable, Kind.HANDED)
            self._share = 1.0

    def _give_share(self, candidate: Candidate, routing: Routing) -> None:
        address, revision = candidate.address, candidate.revision
        self._remote = self._to(address, routing, revision, Kind.LOT)
        self._matched = self._to(address, routing, revision, Kind.MATCH)
        self._share = candidate.weight / 100
        if candidate.shadow:
            self._shadow = self._to(address, routing, revision, Kind.SHADOW)
            self._shadow_share = candidate.shadow / 100
        if has_rules(candidate):
            self._assignment = Assignment(routing.model, candidate, self._key)

    def _to(self, address: str, routing: Routing, revision: str, kind: Kind) -> Route:
        mark = signed(self._key, kind, routing.generation).decode()
        generation = UNDRAWN if kind in (Kind.MATCH, Kind.HANDED) else routing.generation
        line = f"{HEADER_ROUTED}: {mark}".encode()
        return Route(Tcp(*host_and_port(address)), generation, revision, line)

    def choose(self, head: RequestHead) -> Route:
        """The route of a request; a genuine mark says that a pod has chosen already."""
        if head.routed is not None:
            try:
                route = self._known[head.routed]
            except KeyError:
                route = self._read(head.routed)
            if route is not None:
                return route
        remote = self._remote
        if remote is None:
            return self._here
        if self._assignment is not None:
            return self._assigned(self._assignment, head, remote)
        return remote if self._draw() < self._share else self._here

    def _assigned(self, assignment: Assignment, head: RequestHead, remote: Route) -> Route:
        point = assignment.point(head.raw)
        if point is None:
            point = self._draw()
        elif point < 0 and self._matched is not None:
            return self._matched
        return remote if point < self._share else self._here

    def shadow(self, route: Route) -> Route | None:
        """Where a copy of a request goes that this pod answers; None for most requests."""
        if self._shadow is None or route is not self._here:
            return None
        return self._shadow if self._draw() < self._shadow_share else None

    def _read(self, text: bytes) -> Route | None:
        """What to do with a request that bears this mark; None if it is still to be drawn."""
        mark = read(self._key, text)
        if mark is None:
            return self._undrawn  # made up, and not remembered: there are endlessly many of them
        route: Route | None
        match mark.kind:
            case Kind.LOT:
                route = self._undrawn._replace(generation=mark.generation)
            case Kind.MATCH:
                route = self._undrawn
            case Kind.SHADOW:
                route = self._undrawn._replace(counted=False)
            case Kind.HANDED:
                # Handed on a second time it could go round for ever.
                route = None if self._here is not self._undrawn else self._undrawn
            case _:
                assert_never(mark.kind)
        if len(self._known) < MARKS_REMEMBERED:
            self._known[text] = route
        return route

    def local(self, generation: int) -> Route:
        """The route to the pod's own model, for a request whose first route failed."""
        return self._undrawn._replace(generation=generation)
