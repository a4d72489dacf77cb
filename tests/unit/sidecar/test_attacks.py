"""Requests that two readers could read in two ways: refused, and never passed on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fair_clock import fair_clock
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.harness import DEADLINE_SECONDS, Connection, Sidecar, get, sidecar
from tests.unit.sidecar.strict import Message, Strict, strict, verdict

from tidegate.sidecar.framing import FramingError, unchunked
from tidegate.sidecar.proxy.heads import HEAD_END, HeadError, parse_request

pytestmark = pytest.mark.asyncio(loop_scope="module")

Pair = tuple[Sidecar, Strict]
REFUSED = {400, 431}
SECOND = get("/smuggled")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("attacks")
    async with strict() as model, sidecar(folder, model.port) as proxy:
        yield proxy, model


HEADS = {
    "length and coding": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "coding and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6",
    "the same length twice": b"Content-Length: 5\r\nContent-Length: 5",
    "a list of lengths": b"Content-Length: 5, 5",
    "negative length": b"Content-Length: -5",
    "signed length": b"Content-Length: +5",
    "hexadecimal length": b"Content-Length: 0x5",
    "two numbers": b"Content-Length: 5 5",
    "empty length": b"Content-Length:",
    "endless length": b"Content-Length: " + b"9" * 30,
    "unknown coding": b"Transfer-Encoding: gzip",
    "two codings": b"Transfer-Encoding: gzip, chunked",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "hidden coding": b"Transfer-Encoding: \x0bchunked",
    "quoted coding": b'Transfer-Encoding: "chunked"',
    "empty coding": b"Transfer-Encoding:",
    "space before the colon": b"Transfer-Encoding : chunked",
    "tab before the colon": b"Content-Length\t: 5",
    "folded line": b"X: a\r\n b",
    "folded coding": b"Transfer-Encoding:\r\n chunked",
    "folded by a tab": b"X: a\r\n\tTransfer-Encoding: chunked",
    "bare line feed": b"X: a\nTransfer-Encoding: chunked",
    "bare carriage return": b"X: a\rTransfer-Encoding: chunked",
    "zero byte in a value": b"X: a\x00b",
    "zero byte in a name": b"X\x00: a",
    "control character": b"X: a\x01",
    "no name": b": a",
    "no colon": b"X",
    "space in a name": b"X Y: a",
    "two hosts": b"Host: y",
}
LINES = {
    "two spaces": b"POST  /p HTTP/1.1",
    "two spaces before the version": b"POST /p  HTTP/1.1",
    "space at the end": b"POST /p HTTP/1.1 ",
    "tab": b"POST\t/p HTTP/1.1",
    "no version": b"POST /p",
    "HTTP/2": b"POST /p HTTP/2.0",
    "HTTP/0.9": b"POST /p HTTP/0.9",
    "another protocol": b"POST /p RTSP/1.0",
    "control character in the path": b"POST /\x01 HTTP/1.1",
    "zero byte in the path": b"POST /\x00 HTTP/1.1",
    "space in the path": b"POST /a b HTTP/1.1",
    "bytes above ASCII in the path": b"POST /\xff HTTP/1.1",
    "line before it": b"\n\rPOST /p HTTP/1.1",
    "CONNECT": b"CONNECT x:80 HTTP/1.1",
}
WHOLE = {
    "no host": b"POST /p HTTP/1.1\r\n\r\n",
    "a host that is none": b"POST /p HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a coding in HTTP/1.0": b"POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds only": b"POST /p HTTP/1.1\nHost: x\n\n",
    "one bare line feed": b"POST /p HTTP/1.1\nHost: x\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}
CHUNKS = {
    "no number": b"zz\r\n",
    "negative": b"-1\r\n",
    "prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"1_0\r\nhello\r\n0\r\n\r\n",
    "space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "more digits than a number has": b"f" * 17 + b"\r\n",
    "bare line feed behind the size": b"5\nhello\r\n0\r\n\r\n",
    "bare line feed behind the chunk": b"5\r\nhello\n0\r\n\r\n",
    "bare line feed in an extension": b"5;a\nhello\r\n0\r\n\r\n",
    "bare carriage return in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "zero byte in an extension": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "endless extension": b"5;" + b"a" * 20_000,
    "longer than its size": b"5\r\nhello!\r\n0\r\n\r\n",
    "trailer without a colon": b"0\r\nX\r\n\r\n",
    "folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
    "trailer with a zero byte": b"0\r\nX: a\x00\r\n\r\n",
    "length in a trailer": b"0\r\nContent-Length: 9\r\n\r\n",
    "coding in a trailer": b"0\r\ntransfer-encoding: chunked\r\n\r\n",
}


def attacks() -> list[object]:
    post = b"POST /p HTTP/1.1\r\nHost: x\r\n"
    found = {f"head: {k}": post + v + b"\r\n\r\nhello" for k, v in HEADS.items()}
    found |= {f"line: {k}": v + b"\r\nHost: x\r\n\r\n" for k, v in LINES.items()}
    coded = post + b"Transfer-Encoding: chunked\r\n\r\n"
    found |= WHOLE | {f"chunk: {k}": coded + v for k, v in CHUNKS.items()}
    return [pytest.param(raw, id=name) for name, raw in found.items()]


@pytest.mark.parametrize("raw", attacks())
async def test_refuses_what_can_be_read_in_two_ways(
    pair: Pair, raw: bytes, connect: Connect
) -> None:
    proxy, model = pair
    model.asked.clear()
    connection = await connect(proxy.port)
    reply = await connection.ask(raw + SECOND)
    assert reply.status == 400
    assert reply.header("connection") == "close"
    assert await connection.ended()
    assert (model.asked, model.errors) == ([], [])


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(get("/p", "X: " + "a" * 70_000), id="one line"),
        pytest.param(get("/p", *["X: " + "a" * 1000] * 70), id="many lines"),
        pytest.param(get("/" + "a" * 70_000), id="path"),
        pytest.param(b"GET /" + b"a" * 400_000, id="never ends"),
    ],
)
async def test_refuses_oversize_heads_at_once_or_in_pieces(
    pair: Pair, raw: bytes, connect: Connect
) -> None:
    proxy, model = pair
    model.asked.clear()
    for piece in (len(raw), 10_000):
        connection = await connect(proxy.port)
        for at in range(0, len(raw), piece):
            connection.send(raw[at : at + piece])
        assert (await connection.receive()).status == 431
        assert await connection.ended()
    assert (model.asked, model.errors) == ([], [])


# A grammar that is mostly right, so that what is wrong comes one at a time.
NASTY = [b"\n", b"\r", b"\x00", b" ", b"\t", b"\x0b", b"\x7f", b"\xff", b":", b",", b";", b"0", b""]
NAMES = st.sampled_from(
    [
        b"Content-Length",
        b"Transfer-Encoding",
        b"content-length",
        b"Connection",
        b"Host",
        b"X-A",
        b"TE",
    ]
)
VALUES = st.sampled_from([b"5", b"0", b"chunked", b"identity", b"close", b"x", b"", b"5,5", b"a b"])
BODIES = st.sampled_from(
    [
        b"",
        b"hello",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"0\r\n\r\n",
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    line = draw(st.sampled_from([b"POST /p HTTP/1.1", b"GET /p?q HTTP/1.1", b"PUT * HTTP/1.0"]))
    fields = [b"Host: x"] * draw(st.sampled_from([1, 1, 1, 0]))
    fields += [n + b": " + v for n, v in draw(st.lists(st.tuples(NAMES, VALUES), max_size=3))]
    raw = b"\r\n".join([line, *fields]) + b"\r\n\r\n" + draw(BODIES) + SECOND
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.sampled_from(NASTY)) + raw[at + draw(st.integers(0, 1)) :]
    return raw


def ours(raw: bytes) -> tuple[Message, int] | None:
    """The first request as the proxy reads it; None if it is refused or not whole."""
    while raw.startswith(b"\r\n"):
        raw = raw[2:]
    end = raw.find(HEAD_END) + len(HEAD_END)
    if end < len(HEAD_END):
        return None
    try:
        head = parse_request(raw[:end])
        framing = head.framing()
        length = framing.take(raw[end:])
        body = raw[end : end + length]
        content = unchunked(body) if head.chunked else body
    except (HeadError, FramingError):
        return None
    target = raw.split(b" ")[1]
    return (Message(head.method, target, content), end + length) if framing.done else None


@settings(max_examples=1500, deadline=None)
@given(raw=streams())
async def test_a_strict_peer_reads_what_is_accepted_in_the_same_way(raw: bytes) -> None:
    mine = ours(raw)
    if mine is None:
        return
    theirs = verdict(raw.lstrip(b"\r\n"))
    assert theirs == mine


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(raw=streams())
async def test_a_strict_peer_behind_the_proxy_never_sees_an_error(pair: Pair, raw: bytes) -> None:
    proxy, model = pair
    model.asked.clear()
    model.errors.clear()
    connection = await Connection.open(proxy.port)
    connection.send(raw)
    connection.writer.write_eof()
    async with asyncio.timeout(DEADLINE_SECONDS):
        answers = await connection.reader.read()
    await connection.close()
    assert model.errors == []
    assert answers.count(b"HTTP/1.1 200 OK") <= len(model.asked)
    assert len(model.asked) <= 1 + raw.count(b"HTTP/1.")


async def test_a_flood_of_empty_lines_delays_nobody(pair: Pair) -> None:
    proxy, _ = pair
    connection = await Connection.open(proxy.port)
    try:
        async with fair_clock(proxy.process.pid) as clock:
            began = clock()
            connection.send(b"\r\n" * (4 << 20) + get("/p"))
            assert (await connection.receive()).status == 200
            assert clock() - began < 5.0
    finally:
        await connection.close()
