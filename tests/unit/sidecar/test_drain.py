"""Who is hung up on when a pod ends: nobody that could not know of it."""

import asyncio

import pytest
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.front import fronted, model
from tests.unit.sidecar.harness import DEADLINE_SECONDS, get
from tests.unit.sidecar.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


async def test_an_answer_that_had_begun_before_is_not_the_last_one(connect: Connect) -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + b"ha")
            await go_on.wait()
            writer.write(b"lf")

    async with model(serve) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(get("/"))
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert (await connection.reader.readuntil(b"ha")).startswith(b"HTTP/1.1 200")
            front.desk.draining = True
            go_on.set()
            assert await connection.reader.readexactly(2) == b"lf"
        last = await connection.ask(get("/"))
        assert (last.status, last.header("connection")) == (200, "close")
        assert await connection.ended()


async def test_a_client_that_is_asking_is_not_hung_up_on(connect: Connect) -> None:
    async with upstream() as server, fronted(server.port) as front:
        connection = await connect(front.port)
        request = get("/")
        connection.send(request[:9])
        await front.client(lambda client: bool(client._inbox))
        front.desk.draining = front.desk.hanging_up = True
        front.wait(1)
        last = await connection.ask(request[9:])
        assert (last.status, last.header("connection")) == (200, "close")
        assert await connection.ended()
