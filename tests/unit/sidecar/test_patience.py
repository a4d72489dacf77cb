"""What ends a connection that does not move on: real sockets, and a clock that the test turns."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.harness import STABLE, Connection, eventually, get
from tests.unit.sidecar.upstream import Asked, response, upstream

from tidegate.sidecar.proxy import desk as desk_module
from tidegate.sidecar.proxy.capture import Capture
from tidegate.sidecar.proxy.client import Client
from tidegate.sidecar.proxy.desk import Desk
from tidegate.sidecar.proxy.shadow import Shadow
from tidegate.sidecar.proxy.split import Split, Tcp, Unix
from tidegate.sidecar.records import Record

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNFINISHED = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
LARGE = 64 << 20


class Nowhere:
    """Takes records and forgets them."""

    def send(self, record: Record) -> None:
        pass


class Front:
    """The traffic port inside this process, and the time that it is told."""

    def __init__(self, desk: Desk, port: int) -> None:
        self.desk = desk
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


async def answer(asked: Asked) -> bytes:
    if asked.path == "/hang":
        await asyncio.Event().wait()
    return response(bytes(LARGE) if asked.path == "/large" else b"ok")


@pytest_asyncio.fixture(loop_scope="module")
async def front() -> AsyncIterator[Front]:
    loop = asyncio.get_running_loop()
    async with upstream(answer) as model:
        split = Split(STABLE, Tcp("127.0.0.1", model.port), lambda: 0.5)
        sink, capture = Nowhere(), Capture(lambda: 0.5)
        desk = Desk("pod", b"s" * 32, split, Unix("/nowhere"), sink, capture, Shadow(sink))
        server = await loop.create_server(lambda: Client(desk, loop), "127.0.0.1", 0)
        async with server:
            yield Front(desk, server.sockets[0].getsockname()[1])
            desk.draining = True
            desk.sweep(loop.time())


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

    async def waits() -> bool:
        (client,) = front.desk.clients
        return isinstance(client, Client) and client._slow

    await eventually(waits)
