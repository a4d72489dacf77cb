"""What a client and a model see of each other through the proxy: all of it, when it happens."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.front import fronted, model
from tests.unit.sidecar.harness import (
    DEADLINE_SECONDS,
    STABLE,
    Sidecar,
    eventually,
    get,
    post,
    sidecar,
)
from tests.unit.sidecar.kernel import HELD_BYTES

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")
MEGABYTE = 1 << 20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Model:
    """Its behaviour is what each test says."""

    def __init__(self) -> None:
        self.serve: Serve
        self.port = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


Pair = tuple[Sidecar, Model]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    model = Model()
    server = await asyncio.start_server(model.connected, "127.0.0.1", 0)
    model.port = server.sockets[0].getsockname()[1]
    async with server, sidecar(tmp_path_factory.mktemp("fidelity"), model.port) as proxy:
        yield proxy, model


def answering(raw: bytes, heads: list[bytes] | None = None) -> Serve:
    """Answers each request that has no body with `raw`, and keeps the heads."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if heads is not None:
                heads.append(head)
            writer.write(raw)

    return serve


def resident(proxy: Sidecar) -> int:
    """Bytes that the proxy process has in memory."""
    pages = int(Path(f"/proc/{proxy.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def within(what: Awaitable[T]) -> T:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await what


def without_id(head: bytes) -> bytes:
    lines = [x for x in head.split(b"\r\n") if not x.startswith(b"x-tidegate-id")]
    return b"\r\n".join(lines)


async def test_heads_keep_order_case_and_repetition(pair: Pair, connect: Connect) -> None:
    proxy, model = pair
    heads: list[bytes] = []
    answer = (
        b"HTTP/1.1 207 Odd  Reason\r\nSet-Cookie: a\r\nX-B:1\r\nset-cookie: b\r\nX-a:\t2 \r\n"
        b"Keep-Alive: timeout=5\r\nVary: *\r\nX-Caf\xc3\xa9-free: \xe9\r\nContent-Length: 0\r\n\r\n"
    ).replace(b"X-Caf\xc3\xa9-free", b"X-Cafe")
    model.serve = answering(answer, heads)
    request = (
        b"GET /p?a=1&a=2;x=%2F#f HTTP/1.1\r\nhost:x\r\nTE: trailers\r\nX-Z: 1\r\nX-A: \xff\r\n"
        b"x-z: 2\r\nKeep-Alive: timeout=9\r\nConnection: keep-alive, X-Z\r\nX-Empty:\r\n\r\n"
    )
    connection = await connect(proxy.port)
    reply = await connection.ask(request)
    assert heads == [request]
    assert without_id(reply.raw_head) == answer


async def test_trailers_pass_both_ways(pair: Pair, connect: Connect) -> None:
    proxy, model = pair
    body = b"2;a=b\r\nhi\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        seen.append(await reader.readexactly(len(body)))
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        writer.write(body)
        await reader.read()

    model.serve = serve
    connection = await connect(proxy.port)
    connection.send(b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    await within(connection.reader.readuntil(b"\r\n\r\n"))
    assert await within(connection.reader.readexactly(len(body))) == body
    assert seen == [body]


@pytest.mark.parametrize(
    ("request_lines", "answer_lines", "lasts"),
    [
        (["GET / HTTP/1.1"], ["HTTP/1.1 200 OK"], True),
        (["GET / HTTP/1.1", "Connection: close"], ["HTTP/1.1 200 OK"], False),
        (["GET / HTTP/1.1", "Connection: closed, X-Close"], ["HTTP/1.1 200 OK"], True),
        (["GET / HTTP/1.1"], ["HTTP/1.1 200 OK", "Connection: Foo, Close"], False),
        (["GET / HTTP/1.1"], ["HTTP/1.0 200 OK"], False),
        (["GET / HTTP/1.0"], ["HTTP/1.0 200 OK"], False),
        (
            ["GET / HTTP/1.0", "Connection: keep-alive"],
            ["HTTP/1.0 200 OK", "Connection: keep-alive"],
            True,
        ),
    ],
)
async def test_a_connection_lasts_as_long_as_both_sides_say(
    pair: Pair, connect: Connect, request_lines: list[str], answer_lines: list[str], *, lasts: bool
) -> None:
    proxy, model = pair
    heads: list[bytes] = []
    answer = "\r\n".join([*answer_lines, "Content-Length: 0"]).encode() + b"\r\n\r\n"
    request = "\r\n".join([*request_lines, "Host: x"]).encode() + b"\r\n\r\n"
    model.serve = answering(answer, heads)
    connection = await connect(proxy.port)
    reply = await connection.ask(request)
    assert without_id(reply.raw_head) == answer
    assert heads == [request]
    if lasts:
        assert (await connection.ask(request)).status == 200
    else:
        assert await connection.ended()


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "200 OK"])
async def test_nothing_follows_an_answer_without_a_body(
    pair: Pair, connect: Connect, status: str
) -> None:
    proxy, model = pair
    length = "" if status.startswith("204") else "Content-Length: 10\r\n"
    model.serve = answering(f"HTTP/1.1 {status}\r\n{length}ETag: x\r\n\r\n".encode())
    connection = await connect(proxy.port)
    for _ in range(2):
        connection.send(get("/").replace(b"GET", b"HEAD" if status == "200 OK" else b"GET"))
        reply = await connection.receive(bodiless=True)
        assert reply.status == int(status[:3])


async def test_events_pass_when_they_happen(pair: Pair, connect: Connect) -> None:
    proxy, model = pair
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            writer.write(b"9\r\ndata: a\n\n\r\n")
            await go_on.wait()
            go_on.clear()
        writer.write(b"0\r\n\r\n")
        await reader.read()

    model.serve = serve
    connection = await connect(proxy.port)
    connection.send(get("/events", "Accept: text/event-stream"))
    await within(connection.reader.readuntil(b"\r\n\r\n"))
    for _ in range(3):
        # The model sends no more before this event has arrived.
        assert await within(connection.reader.readexactly(14)) == b"9\r\ndata: a\n\n\r\n"
        go_on.set()
    assert await within(connection.reader.readexactly(5)) == b"0\r\n\r\n"


async def test_both_sides_may_talk_at_once(pair: Pair, connect: Connect) -> None:
    proxy, model = pair

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while data := await reader.read(1000):
            writer.write(data)

    model.serve = echo
    connection = await connect(proxy.port)
    connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    await within(connection.reader.readuntil(b"\r\n\r\n"))
    for part in (b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"):
        connection.send(part)
        assert await within(connection.reader.readexactly(len(part))) == part


async def test_hundreds_of_megabytes_pass_both_ways_in_little_memory(
    pair: Pair, connect: Connect
) -> None:
    proxy, model = pair
    size = 256 * MEGABYTE
    received = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await reader.readuntil(b"\r\n\r\n")
        while received < size:
            received += len(await reader.read(MEGABYTE))
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // MEGABYTE):
            writer.write(bytes(MEGABYTE))
            await writer.drain()
        await reader.read()

    model.serve = serve
    before = resident(proxy)
    connection = await connect(proxy.port)
    connection.send(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
    highest = before
    for _ in range(size // MEGABYTE):
        connection.send(bytes(MEGABYTE))
        await within(connection.writer.drain())
        highest = max(highest, resident(proxy))
    await within(connection.reader.readuntil(b"\r\n\r\n"))
    left = size
    while left:
        left -= len(await within(connection.reader.read(MEGABYTE)))
        highest = max(highest, resident(proxy))
    assert received == size
    # Two copies of at most 1 MiB, and what waits in sockets' buffers on either side.
    assert highest - before < 8 * MEGABYTE


async def test_a_slow_model_holds_back_its_client(pair: Pair, connect: Connect) -> None:
    proxy, model = pair
    go_on = asyncio.Event()
    received, size = 0, HELD_BYTES + 32 * MEGABYTE

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await reader.readuntil(b"\r\n\r\n")
        await go_on.wait()
        while received < size:
            received += len(await reader.read(MEGABYTE))
        writer.write(OK)
        await reader.read()

    model.serve = serve
    before = resident(proxy)
    connection = await connect(proxy.port)
    connection.send(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
    connection.send(bytes(size))
    await stuck(connection.writer.transport)
    assert resident(proxy) - before < 8 * MEGABYTE
    go_on.set()
    assert (await connection.receive()).status == 200


async def test_a_slow_client_holds_back_the_model(pair: Pair, connect: Connect) -> None:
    proxy, model = pair
    writers: list[asyncio.StreamWriter] = []
    size = HELD_BYTES + 32 * MEGABYTE

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        writer.write(bytes(size))
        writers.append(writer)
        await reader.read()

    model.serve = serve
    before = resident(proxy)
    connection = await connect(proxy.port)
    connection.send(get("/"))

    async def begun() -> bool:
        return bool(writers)

    await eventually(begun)
    await stuck(writers[0].transport)
    assert resident(proxy) - before < 8 * MEGABYTE
    assert len((await connection.receive()).body) == size


async def stuck(sender: asyncio.WriteTransport) -> None:
    """Wait until the sender can't get rid of more for a while, with much of it still to go."""
    left, since = -1, 0.0
    loop = asyncio.get_running_loop()

    async def stands_still() -> bool:
        nonlocal left, since
        if sender.get_write_buffer_size() != left:
            left, since = sender.get_write_buffer_size(), loop.time()
        return loop.time() - since > 0.3

    await eventually(stands_still)
    assert left > 16 * MEGABYTE


async def test_a_client_that_sends_no_more_gets_its_answers(pair: Pair, connect: Connect) -> None:
    proxy, model = pair
    ends: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
        ends.append(not await reader.read())

    model.serve = serve
    connection = await connect(proxy.port)
    connection.send(get("/1") + get("/2"))
    connection.writer.write_eof()
    assert [(await connection.receive()).body for _ in range(2)] == [b"ok", b"ok"]
    assert await connection.ended()

    async def told() -> bool:
        return ends == [True]

    await eventually(told)


async def test_a_model_that_gives_up_on_a_client_that_sends_no_more_did_not_fail(
    pair: Pair, connect: Connect
) -> None:
    proxy, model = pair

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b"{}"

    model.serve = serve
    await proxy.monitor_up()
    connection = await connect(proxy.port)
    connection.send(post(b"{}"))
    connection.writer.write_eof()
    assert await connection.ended()

    async def counted() -> bool:
        return (await proxy.scrape()).get(
            f'tidegate_requests_total{{code="timeout",revision="{STABLE}",track="stable"}}', 0
        ) == 1

    await eventually(counted)


async def test_a_tunnel_ends_one_way_at_a_time(pair: Pair, connect: Connect) -> None:
    proxy, model = pair

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: count\r\n\r\n")
        sent = await reader.read()
        writer.write(b"%d bytes" % len(sent))

    model.serve = serve
    connection = await connect(proxy.port)
    upgrade = get("/ws", "Connection: upgrade", "Upgrade: count")
    assert (await connection.ask(upgrade)).status == 101
    connection.send(bytes(3 * MEGABYTE))
    connection.writer.write_eof()
    assert await within(connection.reader.read()) == b"%d bytes" % (3 * MEGABYTE)


@pytest.mark.parametrize("size", [0, 3 * MEGABYTE])
async def test_what_is_sent_ahead_of_a_tunnel_goes_through_it(connect: Connect, size: int) -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go_on.wait()
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: count\r\n\r\n")
        sent = await reader.read()
        writer.write(b"%d bytes" % len(sent))
        writer.close()

    async with model(serve) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(get("/ws", "Connection: upgrade", "Upgrade: count") + bytes(size))
        connection.writer.write_eof()
        await front.client(lambda client: client._paused or client._ended)
        go_on.set()
        assert (await connection.receive()).status == 101
        assert await within(connection.reader.read()) == b"%d bytes" % size


async def test_an_early_answer_reaches_a_client_that_is_still_sending(
    pair: Pair, connect: Connect
) -> None:
    proxy, model = pair
    refusal = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 5\r\n\r\nlarge"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await reader.read()

    model.serve = serve
    connection = await connect(proxy.port)
    size = 32 * MEGABYTE
    connection.send(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
    connection.send(bytes(size))
    await within(connection.writer.drain())  # a reset would end this, and lose the answer
    reply = await connection.receive()
    assert (reply.status, reply.body, reply.header("connection")) == (413, b"large", "close")
    assert await connection.ended()


async def test_a_broken_request_behind_half_an_answer_gets_no_second_one(
    pair: Pair, connect: Connect
) -> None:
    proxy, model = pair

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await reader.read()

    model.serve = serve
    connection = await connect(proxy.port)
    connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    await within(connection.reader.readuntil(b"half"))
    connection.send(b"zz\r\n")
    assert await connection.ended()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", id="bare line feeds"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", id="folded"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", id="oversize"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", id="two lengths"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="length and coding",
        ),
        pytest.param(b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n", id="no such status"),
    ],
)
async def test_an_answer_that_can_be_read_in_two_ways_is_a_502(
    pair: Pair, connect: Connect, answer: bytes
) -> None:
    proxy, model = pair
    model.serve = answering(answer)
    connection = await connect(proxy.port)
    reply = await connection.ask(get("/"))
    assert reply.status == 502
    assert await connection.ended()


async def test_what_follows_an_answer_never_passes_for_the_next_one(
    pair: Pair, connect: Connect
) -> None:
    proxy, model = pair
    model.serve = answering(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    connection = await connect(proxy.port)
    for _ in range(3):
        assert (await connection.ask(get("/"))).body == b"ok"


async def test_a_client_that_resets_its_connection_frees_the_model(
    pair: Pair, connect: Connect
) -> None:
    proxy, model = pair
    arrived, freed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        try:
            await reader.read()
        finally:
            freed.set()

    model.serve = serve
    connection = await connect(proxy.port)
    connection.send(get("/"))
    await within(arrived.wait())
    sock: socket.socket = connection.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.writer.transport.abort()
    await within(freed.wait())
