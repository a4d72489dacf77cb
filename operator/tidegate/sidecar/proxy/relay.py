"""Connections that are passed on as bytes: HTTP/2 and gRPC, of which nothing is read.

A client's connection goes to the pod's own model, whatever the routing document says: what can't be
told apart can't be shared out. It moves on when the model's server asks its client to, which our
gRPC server does by itself, and ends when either side ends it.
"""

import asyncio
import json
from typing import cast

from typing_extensions import override

from tidegate.sidecar.proxy.desk import CLIENT_LIMIT
from tidegate.sidecar.proxy.patience import Patience, Phase
from tidegate.sidecar.proxy.rounds import Rounds, Sweepable
from tidegate.sidecar.proxy.split import Tcp

BUFFER_BYTES = 262144  # what may wait for one side before the other is made to wait


class Relay:
    """One for the traffic port: what all of its connections share."""

    def __init__(
        self, model: Tcp, loop: asyncio.AbstractEventLoop, limit: int = CLIENT_LIMIT
    ) -> None:
        self.model = model
        self.loop = loop
        self.limit = limit
        self.clients: set[Sweepable] = set()
        self._rounds = Rounds(self.clients)
        self.passed = 0
        """Clients that were connected to the model; the next two count those that were not."""
        self.refused = 0
        self.unreachable = 0
        self.bytes_in = 0
        self.bytes_out = 0

    @property
    def full(self) -> bool:
        """Whether one more client's connection would be too many."""
        return len(self.clients) >= self.limit

    def sweep(self, now: float) -> bool:
        """End connections on which nothing moves any more; whether more are left to look after."""
        return self._rounds.sweep(now)

    def counts(self) -> bytes:
        """All that is counted, since the start: a monitor that starts anew knows it again."""
        counts = {
            "open": len(self.clients),
            "results": {
                "passed": self.passed,
                "refused": self.refused,
                "unreachable": self.unreachable,
            },
            "bytes": {"in": self.bytes_in, "out": self.bytes_out},
        }
        return json.dumps(counts).encode()


class _End(asyncio.Protocol):
    """One side of a connection: what comes in goes out on the other side."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        """Absent until both sides are connected, and after one is lost."""
        self.moved = True
        """Set when something comes in, or goes out again after it could not."""
        self.congested = False
        """What is written here is not taken as fast as it comes."""
        self.ended = False
        """This side sends no more, but may well still take."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES)

    @override
    def eof_received(self) -> bool:
        """Tell the other side; whether this one stays open for what is still to come."""
        self.ended = True
        if self.other is None:
            return True
        self.other.end()
        return not self.other.ended

    @override
    def pause_writing(self) -> None:
        self.congested = True
        if self.other is not None:
            self.other.pause(paused=True)

    @override
    def resume_writing(self) -> None:
        self.congested = False
        self.moved = True
        if self.other is not None:
            self.other.pause(paused=False)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        other, self.transport, self.other = self.other, None, None
        if other is not None:
            other.lose(broken=exc is not None)

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def end(self) -> None:
        if self.transport is not None:
            self.transport.write_eof()

    def pause(self, *, paused: bool) -> None:
        if self.transport is None:
            return
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def lose(self, *, broken: bool) -> None:
        """The other side is gone: close, at once if it broke, else when all has gone out."""
        self.other = None
        if self.transport is None:
            return
        if broken:
            self.transport.abort()
        else:
            self.transport.close()


class ClientEnd(_End):
    """The side of a client, which begins."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self._patience = Patience()
        self._waiting: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.relay.full:
            self.relay.refused += 1
            self.lose(broken=True)
            return
        self.relay.clients.add(self)
        self._connecting = self.relay.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self.relay.model.connect(lambda: ModelEnd(self.relay, self))
        except (OSError, TimeoutError):
            self.relay.unreachable += 1
            self.lose(broken=True)

    def connected(self, model: "ModelEnd") -> None:
        """The model has taken the connection, and now gets what has come in meanwhile."""
        if self.transport is None:
            model.lose(broken=True)
            return
        self.relay.passed += 1
        self.other, model.other = model, self
        if self._waiting:
            self.pause(paused=False)
            model.write(b"".join(self._waiting))  # which may pause it again
            self._waiting.clear()
        if self.ended:
            model.end()

    @override
    def data_received(self, data: bytes) -> None:
        self.moved = True
        self.relay.bytes_in += len(data)
        if self.other is not None:
            self.other.write(data)
        elif self.transport is not None:
            # Not sooner: in connection_made the loop would not heed it.
            self.pause(paused=True)
            self._waiting.append(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.relay.clients.discard(self)
        super().connection_lost(exc)

    def sweep(self, now: float) -> None:
        """Give up on a client that is gone without a word, or takes nothing of its answer."""
        if self.transport is None:
            return
        other = self.other
        if self.moved or (other is not None and other.moved):
            self._patience.moved = True
            self.moved = False
            if other is not None:
                other.moved = False
        phase = Phase.TAKING if self.congested else Phase.IDLE
        if self._patience.exhausted(phase, self.transport.get_write_buffer_size(), now):
            self.transport.abort()


class ModelEnd(_End):
    """The side of the model."""

    def __init__(self, relay: Relay, client: ClientEnd) -> None:
        super().__init__(relay)
        self._client = client

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._client.connected(self)

    @override
    def data_received(self, data: bytes) -> None:
        self.moved = True
        self.relay.bytes_out += len(data)
        if self.other is not None:
            self.other.write(data)
