"""What becomes of a request whose model does not move on, and whom it counts against."""

import asyncio
import socket
import struct

import pytest
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.front import Front, fronted, model
from tests.unit.sidecar.harness import (
    CANDIDATE,
    DEADLINE_SECONDS,
    STABLE,
    Connection,
    get,
    post,
    routing,
)

from tidegate.sidecar.proxy.patience import Patience, Phase
from tidegate.sidecar.records import Kind

pytestmark = pytest.mark.asyncio(loop_scope="module")

HUGE = 16 << 20  # more than all buffers between a client and a model that reads nothing
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhalf"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf"
EVENT_STREAM = EVENTS % b"text/event-stream"
ID = b"HTTP/1.1 200 OK\r\nx-tidegate-id: pod-c.1.2\r\nContent-Length: 8\r\n\r\nhalf"


class Told:
    """Serves what the test tells it to: it reads a request, and says something when it is time."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = iter(parts)
        self._next = asyncio.Event()

    def go_on(self) -> None:
        self._next.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"Content-Length: " in head:
            await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split()[0]))
        for part in self._parts:
            writer.write(part)
            await self._next.wait()
            self._next.clear()
        await asyncio.Event().wait()


async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """A model that takes the connection and nothing else."""
    await asyncio.Event().wait()


def reset(connection: Connection) -> None:
    """Leave at once: the other side hears of it."""
    raw: socket.socket = connection.writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.writer.transport.abort()


async def paused(front: Front) -> None:
    """Wait until the only client is made to wait by the model."""
    await front.client(lambda client: client._paused)


async def moved(front: Front) -> None:
    """Wait until something has moved at the only client that no sweep has seen yet."""
    await front.client(lambda client: client._patience.moved)


async def asked(front: Front) -> None:
    """Wait until the only client's request has gone to the model."""
    await front.client(lambda c: c._exchange is not None and c._exchange.framing.done)


async def test_what_is_taken_slowly_is_taken() -> None:
    patience = Patience()
    for at in range(10):
        assert not patience.exhausted(Phase.MODEL, 10 - at, 50.0 * at)
    assert patience.exhausted(Phase.MODEL, 1, 9 * 50.0 + 61)


async def test_a_model_that_does_not_answer_is_a_timeout(connect: Connect) -> None:
    async with model(deaf) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(b"{}"))
        await asked(front)
        front.wait(60)
        assert front.kept.outcomes == []
        front.wait(2)
        assert (await connection.receive()).status == 504
        assert front.kept.outcomes == [(Kind.TIMEOUT, 504, STABLE)]


async def test_a_model_that_does_not_take_a_large_request_is_a_timeout(connect: Connect) -> None:
    async with model(deaf) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(bytes(HUGE)))
        await paused(front)
        front.wait(60)
        assert front.kept.outcomes == []
        front.wait(2)
        assert (await connection.receive()).status == 504
        assert front.kept.outcomes == [(Kind.TIMEOUT, 504, STABLE)]


async def test_a_model_that_takes_a_large_request_slowly_may_answer(connect: Connect) -> None:
    more = asyncio.Semaphore(0)

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(2):
            await reader.readexactly(HUGE // 4)
            await more.acquire()
        await reader.readexactly(HUGE // 2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with model(slowly) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(bytes(HUGE)))
        for _ in range(2):
            await moved(front)
            front.wait(50)
            more.release()
        assert (await connection.receive()).status == 200


async def test_a_model_has_its_time_from_the_end_of_a_slow_request_on(connect: Connect) -> None:
    served = Told(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    async with model(served) as port, fronted(port) as front:
        connection = await connect(front.port)
        whole = post(b"slowly")
        connection.send(whole[:-3])
        for at in range(-3, 0):
            await moved(front)
            front.wait(50)
            connection.send(whole[at:][:1])
        await asked(front)
        front.wait(50)
        assert front.kept.outcomes == []
        served.go_on()
        assert (await connection.receive()).status == 200


@pytest.mark.parametrize("half", [HALF, CHUNKED, UNTIL_CLOSE], ids=["length", "chunks", "close"])
async def test_an_answer_that_stops_in_the_middle_is_broken_off(
    connect: Connect, half: bytes
) -> None:
    async with model(Told(half)) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(b"{}"))
        await connection.reader.readuntil(b"half")
        front.wait(60)
        assert front.kept.outcomes == []
        front.wait(2)
        if half is UNTIL_CLOSE:
            with pytest.raises(ConnectionResetError):  # a plain end would make it a whole answer
                await connection.ended()
        else:
            assert await connection.ended()
        assert front.kept.outcomes == [(Kind.ANSWERED, 502, STABLE)]


async def test_an_answer_in_drops_goes_on(connect: Connect) -> None:
    served = Told(HALF, b"a", b"n", b"s", b"w")
    async with model(served) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(b"{}"))
        await connection.reader.readuntil(b"half")
        for letter in b"answ":
            front.wait(50)
            served.go_on()
            async with asyncio.timeout(DEADLINE_SECONDS):
                assert await connection.reader.readexactly(1) == bytes([letter])
        assert front.kept.outcomes == [(Kind.ANSWERED, 200, STABLE)]


@pytest.mark.parametrize(
    "media_type",
    [
        b"text/event-stream",
        b"Text/Event-Stream; charset=utf-8",
        b"application/x-ndjson",
        b"multipart/x-mixed-replace;boundary=frame",
    ],
)
async def test_a_stream_of_events_may_be_silent_for_a_quarter_of_an_hour(
    connect: Connect, media_type: bytes
) -> None:
    async with model(Told(EVENTS % media_type)) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(b"{}"))
        await connection.reader.readuntil(b"half")
        front.wait(900)
        assert front.kept.outcomes == []
        front.wait(2)
        assert await connection.ended()
        assert front.kept.outcomes == [(Kind.ANSWERED, 502, STABLE)]


async def test_an_upgraded_connection_ends_when_both_sides_are_silent(connect: Connect) -> None:
    served = Told(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", b"to the client")
    async with model(served) as port, fronted(port) as front:
        connection = await connect(front.port)
        assert (await connection.ask(get("/", "Connection: upgrade", "Upgrade: x"))).status == 101
        front.wait(899)
        served.go_on()
        await connection.reader.readuntil(b"to the client")
        front.wait(899)
        connection.send(b"to the model")
        await front.client(lambda client: client._patience.moved)
        front.wait(900)
        assert len(front.desk.clients) == 1
        front.wait(2)
        await front.clients(0)


async def test_a_model_that_waits_for_the_rest_of_the_request_is_not_to_blame(
    connect: Connect,
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HALF)
        await reader.readexactly(len(b"slowly"))
        writer.write(b"rest")

    async with model(echo) as port, fronted(port) as front:
        connection = await connect(front.port)
        whole = post(b"slowly")
        connection.send(whole[:-1])
        await connection.reader.readuntil(b"half")
        front.wait(800)
        connection.send(whole[-1:])
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await connection.reader.readexactly(4) == b"rest"


async def test_a_client_that_takes_nothing_is_not_the_models_silence(connect: Connect) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * HUGE))
        writer.write(bytes(HUGE))
        await asyncio.Event().wait()

    async with model(talk) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined] # asyncio's own has it
        connection.send(post(b"{}"))
        await front.client(lambda client: client._slow)
        front.wait(50)
        reset(connection)
        await front.clients(0)
        assert front.kept.outcomes == [(Kind.ANSWERED, 200, STABLE)]


ABANDONED = [(Kind.TIMEOUT, 0, STABLE)]
GIVEN = [(Kind.ANSWERED, 200, STABLE)]


@pytest.mark.parametrize(
    ("said", "seconds", "want"),
    [
        pytest.param(b"", 0, ABANDONED, id="before the answer"),
        pytest.param(HALF, 5, GIVEN, id="in the middle"),
        pytest.param(HALF, 7, ABANDONED, id="in the middle, after the model's silence"),
        pytest.param(EVENT_STREAM, 60, GIVEN, id="between two events"),
        pytest.param(EVENT_STREAM, 62, ABANDONED, id="in a stream that has stopped"),
    ],
)
async def test_a_client_that_leaves_counts_against_a_model_that_was_silent(
    connect: Connect, said: bytes, seconds: int, want: list[tuple[Kind, int, str]]
) -> None:
    async with model(Told(said)) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(b"{}"))
        if said:
            await connection.reader.readuntil(b"half")
        await asked(front)
        front.wait(seconds)
        reset(connection)
        await front.clients(0)
        assert front.kept.outcomes == want


async def test_a_client_that_leaves_while_the_answer_goes_on_does_not(connect: Connect) -> None:
    served = Told(HALF, b"more")
    async with model(served) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(b"{}"))
        await connection.reader.readuntil(b"half")
        front.wait(50)
        served.go_on()
        await connection.reader.readexactly(3)
        reset(connection)
        await front.clients(0)
        assert front.kept.outcomes == GIVEN


async def test_a_client_that_leaves_in_the_middle_of_an_answer_as_if_it_only_sent_no_more(
    connect: Connect,
) -> None:
    """Most servers take the end of the sending side for the end of the client."""

    async def until_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HALF)
        await reader.read()
        writer.transport.abort()

    async with model(until_the_end) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(b"{}"))
        await connection.reader.readuntil(b"half")
        connection.writer.close()
        await front.clients(0)
        assert front.kept.outcomes == GIVEN


async def test_a_client_that_has_left_does_not_hide_that_its_request_was_not_taken(
    connect: Connect,
) -> None:
    async with model(deaf) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(bytes(HUGE)))
        await paused(front)
        reset(connection)
        front.wait(62)
        assert front.kept.outcomes == [(Kind.TIMEOUT, 504, STABLE)]
        await front.clients(0)


async def test_a_client_that_leaves_in_the_middle_of_its_request_is_not_counted(
    connect: Connect,
) -> None:
    async with model(Told(b"")) as port, fronted(port) as front:
        connection = await connect(front.port)
        connection.send(post(b"slowly")[:-1])
        await moved(front)
        front.wait(50)
        reset(connection)
        await front.clients(0)
        assert front.kept.outcomes == []


@pytest.mark.parametrize(
    ("said", "want"),
    [
        pytest.param(b"", [(Kind.UNREACHABLE, 0, CANDIDATE)], id="no answer"),
        pytest.param(HALF, [(Kind.UNREACHABLE, 0, CANDIDATE)], id="half of one"),
        pytest.param(ID, [], id="half of one that its own pod counts"),
    ],
)
async def test_the_pod_that_answers_gives_up_before_the_one_that_asked_it(
    connect: Connect, said: bytes, want: list[tuple[Kind, int, str]]
) -> None:
    async with model(Told(said)) as port, fronted(port, routing(4, port, 100)) as front:
        connection = await connect(front.port)
        connection.send(post(b"{}"))
        await asked(front)
        if said:
            await connection.reader.readuntil(b"half")
        front.wait(65)
        assert len(front.desk.clients) == 1
        assert front.kept.outcomes == []
        front.wait(2)
        assert front.kept.outcomes == want
        if said:
            assert await connection.ended()
        else:
            assert (await connection.receive()).status == 504
