"""What ends a connection whose client does not move on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.front import Front, fronted
from tests.unit.sidecar.harness import Connection, get
from tests.unit.sidecar.upstream import Asked, response, upstream

from tidegate.sidecar.proxy import desk as desk_module

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNFINISHED = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
LARGE = 64 << 20


async def answer(asked: Asked) -> bytes:
    if asked.path == "/hang":
        await asyncio.Event().wait()
    return response(bytes(LARGE) if asked.path == "/large" else b"ok")


@pytest_asyncio.fixture(loop_scope="module")
async def front() -> AsyncIterator[Front]:
    async with upstream(answer) as model, fronted(model.port) as running:
        yield running


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        pytest.param(b"GET / HT", 10, id="head"),
        pytest.param(UNFINISHED, 60, id="body"),
    ],
)
async def test_a_request_that_does_not_go_on_is_a_408(
    front: Front, connect: Connect, sent: bytes, seconds: int
) -> None:
    connection = await connect(front.port)
    assert (await connection.ask(get("/"))).status == 200
    connection.send(sent)
    await arrived(front, connection.writer)
    front.wait(seconds)
    assert len(front.desk.clients) == 1
    front.wait(2)
    assert (await connection.receive()).status == 408
    assert await connection.ended()


async def test_a_head_in_drops_does_not_win_time(front: Front, connect: Connect) -> None:
    connection = await connect(front.port)
    for at in range(6):
        connection.send(b"GET / HTTP/1.1"[at : at + 1])
        await arrived(front, connection.writer)
        front.wait(2)
    assert (await connection.receive()).status == 408


async def test_a_body_in_drops_goes_on(front: Front, connect: Connect) -> None:
    connection = await connect(front.port)
    connection.send(UNFINISHED)
    for _ in range(6):
        await arrived(front, connection.writer)
        front.wait(50)
        connection.send(b"x")
    assert (await connection.receive()).status == 200


async def test_an_idle_connection_ends_after_a_quarter_of_an_hour(
    front: Front, connect: Connect
) -> None:
    connection = await connect(front.port)
    assert (await connection.ask(get("/"))).status == 200
    front.wait(899)
    assert (await connection.ask(get("/"))).status == 200
    front.wait(902)
    assert await connection.ended()


async def test_a_client_that_does_not_take_its_answer_is_cut_off(
    front: Front, connect: Connect
) -> None:
    connection = await connect(front.port)
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined] # asyncio's own has it
    connection.send(get("/large"))
    await slow(front)
    front.wait(62)
    await front.clients(0)


async def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(
    front: Front, connect: Connect
) -> None:
    connection = await connect(front.port)
    connection.send(get("/large"))
    await slow(front)
    front.wait(50)
    await connection.reader.readexactly(LARGE // 2)
    await slow(front)
    front.wait(50)
    await connection.reader.readexactly(LARGE // 4)
    assert len(front.desk.clients) == 1


async def test_a_lingering_client_is_cut_off(front: Front, connect: Connect) -> None:
    connection = await connect(front.port)
    assert (await connection.ask(b"nonsense\r\n\r\n")).status == 400
    assert len(front.desk.clients) == 1
    front.wait(4)
    await front.clients(0)


async def test_a_client_too_many_is_told_to_come_back(
    front: Front, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "CLIENT_LIMIT", 2)
    first, second = await connect(front.port), await connect(front.port)
    await front.clients(2)
    third = await connect(front.port)
    reply = await third.receive()
    assert (reply.status, reply.header("retry-after")) == (503, "1")
    assert await third.ended()
    await first.close()
    await front.clients(1)
    fourth = await connect(front.port)
    for connection in (second, fourth):
        assert (await connection.ask(get("/"))).status == 200


async def arrived(front: Front, writer: asyncio.StreamWriter) -> None:
    """Wait until the front has read what was written: what comes later has been answered."""
    await writer.drain()
    other = await Connection.open(front.port)
    assert (await other.ask(get("/"))).status == 200
    await other.close()
    await front.clients(1)


async def slow(front: Front) -> None:
    """Wait until the front has an answer that its only client does not take."""
    await front.client(lambda client: client._slow)
