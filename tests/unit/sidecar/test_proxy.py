"""The request path, through a real sidecar process to a real server."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.fair_clock import fair_clock
from tests.ports import free_port
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.harness import (
    DEADLINE_SECONDS,
    Sidecar,
    eventually,
    get,
    once,
    post,
    sidecar,
    stalls,
)
from tests.unit.sidecar.upstream import Asked, Upstream, predictions, response, upstream

from tidegate.sidecar.proxy.channel import QUEUE_LIMIT_BYTES

Pair = tuple[Sidecar, Upstream]

REQUESTS = 200
LONG_SECONDS = 10 * DEADLINE_SECONDS  # that nobody waits for
COPY = 2 * QUEUE_LIMIT_BYTES // REQUESTS  # twice as much in all as may wait for a monitor
CHUNKED = (
    b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n"
)


async def answer(asked: Asked) -> bytes:
    """Does what the path says."""
    match asked.path:
        case "/chunked":
            body = b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
        case "/until-close":
            asked.writer.write(b"HTTP/1.1 200 OK\r\n\r\nall there is")
            return b""
        case "/head":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        case "/empty":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        case "/large":
            return response(b"x" * 5_000_000)
        case "/vanish":
            return b""
        case "/vanish-in-body":
            asked.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            return b""
        case "/garbage":
            return b"this is not HTTP\r\n\r\n"
        case "/early-hints":
            return b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + predictions(1)
        case "/not-ready":
            return response(b"", "503 Service Unavailable")
        case _:
            return predictions(1)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("shared")
    async with upstream(answer) as model, sidecar(folder, model.port) as proxy:
        yield proxy, model


@pytest.fixture
def proxy(shared: Pair) -> Sidecar:
    return shared[0]


@pytest.fixture
def model(shared: Pair) -> Upstream:
    """The model behind `proxy`, as if it had not been asked before."""
    shared[1].asked.clear()
    shared[1].connections = 0
    return shared[1]


async def test_passes_requests_and_answers_unchanged_but_for_the_id(
    proxy: Sidecar, model: Upstream, connect: Connect
) -> None:
    odd = (
        b"POST /p?a=%20 HTTP/1.1\r\nhOsT: x\r\nX-Odd:   spaces  \r\n"
        b"Content-Length: 3\r\n\r\n\x00\xff1"
    )
    connection = await connect(proxy.port)
    reply = await connection.ask(odd)
    (asked,) = model.asked
    assert asked.raw_head + asked.body == odd
    number = reply.header("x-tidegate-id")
    assert number is not None
    line = f"x-tidegate-id: {number}\r\n".encode()
    assert reply.raw_head.replace(line, b"") + reply.body == predictions(1)
    chunked = await connection.ask(CHUNKED)
    assert chunked.status == 200
    assert model.asked[1].body == CHUNKED.partition(b"\r\n\r\n")[2]


async def test_keeps_connections_and_ids_apart(
    proxy: Sidecar, model: Upstream, connect: Connect
) -> None:
    connection = await connect(proxy.port)
    ids, moments = set(), [time.monotonic()]
    for _ in range(20):
        ids.add((await connection.ask(post({}))).header("x-tidegate-id"))
        moments.append(time.monotonic())
    assert len(ids) == 20
    assert model.connections <= 1 + stalls(moments)


async def test_answers_pipelined_requests_in_order(
    proxy: Sidecar, model: Upstream, connect: Connect
) -> None:
    connection = await connect(proxy.port)
    connection.send(get("/chunked") + post(b"1") + get("/empty") + CHUNKED + get("/after"))
    replies = [await connection.receive() for _ in range(5)]
    assert [r.status for r in replies] == [200, 200, 204, 200, 200]
    assert replies[0].body == b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    assert [a.path for a in model.asked][-1] == "/after"


async def test_requests_in_single_bytes_arrive_whole(
    proxy: Sidecar, model: Upstream, connect: Connect
) -> None:
    connection = await connect(proxy.port)
    for at in range(len(CHUNKED)):
        connection.send(CHUNKED[at : at + 1])
        await connection.writer.drain()
        await asyncio.sleep(0)
    assert (await connection.receive()).status == 200
    assert model.asked[0].raw_head + model.asked[0].body == CHUNKED


async def test_bodies_that_end_with_the_connection(proxy: Sidecar, connect: Connect) -> None:
    connection = await connect(proxy.port)
    reply = await connection.ask(get("/until-close"))
    assert reply.body == b"all there is"


async def test_answers_without_a_body(proxy: Sidecar, connect: Connect) -> None:
    connection = await connect(proxy.port)
    connection.send(b"HEAD /head HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await connection.receive(bodiless=True)
    assert head.header("content-length") == "1000"
    assert (await connection.ask(get("/empty"))).status == 204
    assert (await connection.ask(get("/p"))).status == 200


async def test_passes_interim_answers_on(proxy: Sidecar, connect: Connect) -> None:
    connection = await connect(proxy.port)
    early = await connection.ask(get("/early-hints"))
    assert (early.status, early.header("x-tidegate-id")) == (103, None)
    assert (await connection.receive()).header("x-tidegate-id") is not None


async def test_expect_continue_reaches_the_model(tmp_path: Path, connect: Connect) -> None:
    async def handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert await reader.readexactly(5) == b"hello"
            writer.write(predictions(1))
            await reader.read()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handshake, "127.0.0.1", 0)
    async with server, sidecar(tmp_path, server.sockets[0].getsockname()[1]) as proxy:
        connection = await connect(proxy.port)
        connection.send(
            b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await connection.receive()).status == 100
        assert (await connection.ask(b"hello")).status == 200


async def test_upgrades_become_a_tunnel(tmp_path: Path, connect: Connect) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\nHI"
        )
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server, sidecar(tmp_path, server.sockets[0].getsockname()[1]) as proxy:
        connection = await connect(proxy.port)
        head = get("/ws", "Connection: upgrade", "Upgrade: shout")
        assert (await connection.ask(head)).status == 101
        assert await connection.reader.readexactly(2) == b"HI"
        connection.send(b"\x00raw bytes\r\n\r\n")
        assert await connection.reader.readexactly(14) == b"\x00RAW BYTES\r\n\r\n"
        await connection.close()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("Content-Length: 5\r\nTransfer-Encoding: chunked", id="length and chunked"),
        pytest.param("Content-Length: 5\r\nContent-Length: 6", id="two lengths"),
        pytest.param("Content-Length: -5", id="negative length"),
        pytest.param("Transfer-Encoding: gzip", id="unknown coding"),
        pytest.param("Transfer-Encoding : chunked", id="space before the colon"),
        pytest.param("X: a\nTransfer-Encoding: chunked", id="bare line feed"),
    ],
)
async def test_refuses_ambiguous_heads(
    proxy: Sidecar, model: Upstream, head: str, connect: Connect
) -> None:
    connection = await connect(proxy.port)
    reply = await connection.ask(f"POST /p HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\nhello".encode())
    assert reply.status == 400
    assert await connection.ended()
    assert model.asked == []


async def test_refuses_broken_chunks(proxy: Sidecar, connect: Connect) -> None:
    connection = await connect(proxy.port)
    head = b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (await connection.ask(head + b"zz\r\n")).status == 400
    assert await connection.ended()


async def test_large_bodies_pass_both_ways_at_the_readers_pace(
    proxy: Sidecar, model: Upstream, connect: Connect
) -> None:
    body = bytes(range(256)) * 20_000
    connection = await connect(proxy.port)
    reply = await connection.ask(post(body, "/large"))
    assert len(reply.body) == 5_000_000
    assert model.asked[0].body == body
    assert (await connection.ask(post(b"1"))).status == 200


@pytest.mark.parametrize("path", ["/vanish", "/garbage"])
async def test_a_model_without_an_answer_is_a_502_with_an_id(proxy: Sidecar, path: str) -> None:
    reply = await once(proxy.port, post(b"{}", path))
    assert reply.status == 502
    assert reply.header("x-tidegate-id") is not None


async def test_an_answer_that_breaks_off_closes_the_clients_connection(
    proxy: Sidecar, connect: Connect
) -> None:
    connection = await connect(proxy.port)
    connection.send(get("/vanish-in-body"))
    with pytest.raises(asyncio.IncompleteReadError):
        await connection.receive()


async def test_a_monitor_that_stands_still_delays_no_request(
    tmp_path: Path, connect: Connect
) -> None:
    async with upstream() as model, sidecar(tmp_path, model.port) as proxy:
        await proxy.monitor_up()
        connection, monitor = await connect(proxy.port), proxy.monitor_pid()
        assert monitor is not None
        os.kill(monitor, signal.SIGSTOP)
        try:
            waits = []
            async with fair_clock(proxy.process.pid) as clock:
                for _ in range(REQUESTS):
                    began = clock()
                    assert (await connection.ask(post(bytes(COPY)))).status == 200
                    waits.append(clock() - began)
        finally:
            os.kill(monitor, signal.SIGCONT)
        assert max(waits) < 1.0

        async def counted() -> bool:
            numbers = await proxy.scrape()
            total = sum(n for name, n in numbers.items() if "requests_total" in name)
            return total == REQUESTS and numbers['tidegate_dropped_total{queue="capture"}'] > 0

        await eventually(counted)


async def test_a_dead_model_is_a_502(tmp_path: Path) -> None:
    port = free_port()
    async with sidecar(tmp_path, port) as proxy:
        assert (await once(proxy.port, post(b"{}"))).status == 502
        for probe in ("/livez", "/readyz"):  # of the proxy; the model has probes of its own
            assert (await once(proxy.control, get(probe))).status == 200
        async with upstream(answer, port):
            assert (await once(proxy.port, post(b"{}"))).status == 200


async def test_a_client_that_leaves_takes_its_request_along(
    tmp_path: Path, connect: Connect
) -> None:
    left = asyncio.Event()

    async def wait(asked: Asked) -> bytes:
        if asked.path == "/slow":
            await asked.reader.read()
            left.set()
        return predictions(1)

    async with upstream(wait) as model, sidecar(tmp_path, model.port) as proxy:
        connection = await connect(proxy.port)
        connection.send(post(b"{}", "/slow"))

        async def arrived() -> bool:
            return bool(model.asked)

        await eventually(arrived)
        async with fair_clock(proxy.process.pid) as clock, asyncio.timeout(DEADLINE_SECONDS):
            began = clock()
            await connection.close()
            await left.wait()
            assert clock() - began < 5.0, "it is not the end of patience with the model"


async def ends_at_once(proxy: Sidecar) -> None:
    """It does not wait until its patience with clients and models has an end."""
    async with fair_clock(*proxy.pids) as clock, asyncio.timeout(DEADLINE_SECONDS):
        began = clock()
        assert await proxy.process.wait() == 0
        assert clock() - began < 5.0


async def retired(proxy: Sidecar) -> None:
    """Wait until it says that its pod is about to end."""

    async def says_so() -> bool:
        return (await once(proxy.control, get("/readyz"))).status == 503

    await eventually(says_so)


async def test_clients_hear_that_the_pod_ends_before_they_are_hung_up_on(
    tmp_path: Path, connect: Connect
) -> None:
    async with (
        upstream(answer) as model,
        sidecar(tmp_path, model.port, drain_seconds=LONG_SECONDS) as proxy,
    ):
        asking = await connect(proxy.port)
        assert (await asking.ask(post(b"{}"))).header("connection") is None
        proxy.process.send_signal(signal.SIGUSR1)
        await retired(proxy)
        last = await asking.ask(post(b"{}"))
        assert (last.status, last.header("connection")) == (200, "close")
        assert await asking.ended()
        # The word has not reached everybody yet that the pod ends.
        assert (await once(proxy.port, post(b"{}"))).header("connection") == "close"


async def test_clients_that_do_not_ask_any_more_are_hung_up_on_in_the_end(
    tmp_path: Path, connect: Connect
) -> None:
    async with (
        upstream(answer) as model,
        sidecar(tmp_path, model.port, drain_seconds=0.5) as proxy,
    ):
        silent = await connect(proxy.port)
        assert (await silent.ask(post(b"{}"))).header("connection") is None
        proxy.process.send_signal(signal.SIGUSR1)
        assert await silent.ended()
        assert (await once(proxy.control, get("/readyz"))).status == 503


async def test_an_idle_connection_may_ask_once_more_after_sigterm(
    tmp_path: Path, connect: Connect
) -> None:
    async with (
        upstream(answer) as model,
        sidecar(tmp_path, model.port, drain_seconds=LONG_SECONDS) as proxy,
    ):
        idle = await connect(proxy.port)
        assert (await idle.ask(post(b"{}"))).status == 200
        proxy.process.send_signal(signal.SIGTERM)
        await retired(proxy)
        last = await idle.ask(post(b"{}"))
        assert (last.status, last.header("connection")) == (200, "close")
        await ends_at_once(proxy)


async def test_drains_on_sigterm(tmp_path: Path, connect: Connect) -> None:
    go_on = asyncio.Event()

    async def slow(asked: Asked) -> bytes:
        if asked.path == "/slow":
            await go_on.wait()
        return predictions(1)

    async with upstream(slow) as model, sidecar(tmp_path, model.port) as proxy:
        idle = await connect(proxy.port)
        assert (await idle.ask(post(b"{}"))).status == 200
        busy = await connect(proxy.port)
        busy.send(post(b"{}", "/slow"))

        async def in_flight() -> bool:
            return any(a.path == "/slow" for a in model.asked)

        await eventually(in_flight)
        proxy.process.send_signal(signal.SIGTERM)
        assert await idle.ended()
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy.port)
        assert (await once(proxy.control, get("/readyz"))).status == 503
        go_on.set()
        reply = await busy.receive()
        assert (reply.status, reply.header("connection")) == (200, "close")
        assert await busy.ended()
        await ends_at_once(proxy)
