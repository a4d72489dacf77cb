"""A client is made to wait by the one that its request goes to, and by nobody else."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.front import fronted, model
from tests.unit.sidecar.harness import Connection, eventually, post, routing
from tests.unit.sidecar.kernel import HELD_BYTES

from tidegate.sidecar.proxy.client import Client
from tidegate.sidecar.proxy.upstream import Upstream
from tidegate.traffic.routing import Match

pytestmark = pytest.mark.asyncio(loop_scope="module")

HUGE = bytes(HELD_BYTES + (16 << 20))  # more than all buffers on the way
SMALL = 16384  # bytes that the kernel shall keep for a connection
TO_CANDIDATE = "x-tester: yes"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CHUNK = b"400\r\n" + bytes(1024) + b"\r\n"
END = b"6000\r\n" + bytes(0x6000) + b"\r\n0\r\n\r\n"


async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes the connection and nothing else."""
    await asyncio.Event().wait()


class Hasty:
    """A model that answers before it has read the body, and reads that when it is told to."""

    def __init__(self) -> None:
        self.is_deaf = asyncio.Event()
        self.answer = asyncio.Event()
        self.read = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        await reader.readuntil(b"\r\n\r\n")
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self.is_deaf.set()
        await self.answer.wait()
        writer.write(OK)
        await self.read.wait()
        transport.resume_reading()
        while await reader.read(1 << 20):
            pass


@dataclass
class Clogged:
    """A connection whose first request was answered, though the model has not taken all of it."""

    connection: Connection
    client: Client
    model: Hasty
    upstream: Upstream


@asynccontextmanager
async def clogged(connect: Connect) -> AsyncIterator[Clogged]:
    hasty = Hasty()
    async with model(hasty) as port, model(deaf) as candidate:
        rules = routing(1, candidate, match=(Match(*TO_CANDIDATE.split(": ")),))
        async with fronted(port, rules) as front:
            connection = await connect(front.port)
            connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            await hasty.is_deaf.wait()
            (client,) = front.desk.clients
            assert isinstance(client, Client)
            upstream = client._upstream
            assert upstream is not None
            await _fill(connection, client, upstream)
            hasty.answer.set()
            assert (await connection.receive()).status == 200
            yield Clogged(connection, client, hasty, upstream)


async def _fill(connection: Connection, client: Client, upstream: Upstream) -> None:
    """Send a body of which the very last bytes, and no earlier ones, find no room any more."""
    transport, exchange = upstream._transport, client._exchange
    assert transport is not None
    assert exchange is not None
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    _, high = transport.get_write_buffer_limits()
    sent = 0

    async def all_taken() -> bool:
        return exchange.asked._size == sent

    while upstream.unsent <= high - 2 * len(CHUNK):
        connection.send(CHUNK)
        sent += len(CHUNK)
        await eventually(all_taken)
    connection.send(END)

    async def is_whole() -> bool:
        return exchange.framing.done and upstream.unsent > high

    await eventually(is_whole)


async def test_a_model_that_has_not_taken_the_last_request_gets_the_next_one(
    connect: Connect,
) -> None:
    async with clogged(connect) as it:
        reply = await it.connection.ask(post(b"{}"))
        assert reply.status == 200
        assert it.client._upstream is not it.upstream


async def test_who_served_before_does_not_let_a_client_go_on_that_has_to_wait(
    connect: Connect,
) -> None:
    async with clogged(connect) as it:
        it.connection.send(post(HUGE, "/", TO_CANDIDATE))

        async def waits() -> bool:
            return it.client._upstream is not it.upstream and it.client._paused

        await eventually(waits)

        async def is_taken() -> bool:
            return it.upstream.unsent == 0

        it.model.read.set()
        await eventually(is_taken)
        assert it.client._paused


async def test_who_served_before_does_not_hold_up_a_client(connect: Connect) -> None:
    async with clogged(connect) as it:
        it.connection.send(post(b"{}", "/", TO_CANDIDATE))

        async def is_asked() -> bool:
            exchange = it.client._exchange
            return exchange is not None and exchange.framing.done

        await eventually(is_asked)
        assert it.upstream.unsent
        assert not it.client._paused


async def test_what_a_model_has_not_taken_ends_with_its_client(connect: Connect) -> None:
    async with clogged(connect) as it:
        transport = it.upstream._transport
        assert transport is not None
        raw: socket.socket = transport.get_extra_info("socket")
        await it.connection.close()

        async def is_closed() -> bool:
            return raw.fileno() < 0

        await eventually(is_closed)
