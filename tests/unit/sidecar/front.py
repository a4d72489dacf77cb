"""The traffic port inside the test's process: real sockets, and a clock that the test turns."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tests.unit.sidecar.harness import STABLE, eventually

from tidegate.sidecar.proxy.capture import Capture
from tidegate.sidecar.proxy.client import Client
from tidegate.sidecar.proxy.desk import Desk
from tidegate.sidecar.proxy.shadow import Shadow
from tidegate.sidecar.proxy.split import Split, Tcp, Unix
from tidegate.sidecar.records import Kind, Record
from tidegate.traffic.routing import Routing

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Kept:
    """Keeps what is sent to the monitor."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.counted: list[Record] = []
        """What is only counted, as the record that it would be."""

    def send(self, record: Record) -> None:
        self.records.append(record)

    def count(
        self,
        kind: Kind,
        status: int,
        arrival: float,
        generation: int,
        revision: str,
        latency: float,
    ) -> None:
        self.counted.append(
            Record(kind, 0, status, arrival, generation, latency=latency, revision=revision)
        )

    @property
    def outcomes(self) -> list[tuple[Kind, int, str]]:
        return [(r.kind, r.status, r.revision) for r in self.records]


class Front:
    """The port, the time that it is told, and what it counts."""

    def __init__(self, desk: Desk, kept: Kept, port: int) -> None:
        self.desk = desk
        self.kept = kept
        self.port = port
        self._now = asyncio.get_running_loop().time()

    def wait(self, seconds: int) -> None:
        """Let so much time pass, with a sweep for each second."""
        for _ in range(seconds):
            self._now += 1
            self.desk.sweep(self._now)

    async def clients(self, count: int) -> None:
        async def there() -> bool:
            return len(self.desk.clients) == count

        await eventually(there)

    async def client(self, is_so: Callable[[Client], bool]) -> None:
        """Wait until this is true of its only client."""

        async def holds() -> bool:
            (client,) = self.desk.clients
            return isinstance(client, Client) and is_so(client)

        await eventually(holds)


@asynccontextmanager
async def fronted(model_port: int, routing: Routing | None = None) -> AsyncIterator[Front]:
    """Serve until the block is left."""
    loop = asyncio.get_running_loop()
    split = Split(STABLE, Tcp("127.0.0.1", model_port), lambda: 0.5)
    if routing is not None:
        split.apply(routing)
    kept, capture = Kept(), Capture(lambda: 0.5)
    desk = Desk("pod", b"s" * 32, split, Unix("/nowhere"), kept, capture, Shadow(kept))
    server = await loop.create_server(lambda: Client(desk, loop), "127.0.0.1", 0)
    async with server:
        try:
            yield Front(desk, kept, server.sockets[0].getsockname()[1])
        finally:
            for client in tuple(desk.clients):
                assert isinstance(client, Client)
                client._abort()


@asynccontextmanager
async def model(serve: Serve) -> AsyncIterator[int]:
    """The port of a model whose connections are served like this, until the block is left."""
    served: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served[writer] = asyncio.get_running_loop().create_task(connected(reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer, task in served.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*served.values(), return_exceptions=True)
