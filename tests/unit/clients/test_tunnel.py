"""The tunnel against a real WebSocket server that forwards as the API server does."""

import gzip
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from tests.unit.clients.listening import listening

from tidegate.clients import tunnel
from tidegate.errors import TerminalError, TransientError

PORT = (8086).to_bytes(2, "little")
PATH = "/api/v1/namespaces/system/pods/operator-1/portforward"


class ApiServer:
    """Forwards to a pod that answers each request with `pieces`, and keeps what was asked."""

    def __init__(self, pieces: Iterable[bytes], *, error: bytes = b"", status: int = 101) -> None:
        self.pieces, self.error, self.status = tuple(pieces), error, status
        self.asked: list[tuple[str, str, bytes]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.status != 101:
            return web.Response(status=self.status)
        stream = web.WebSocketResponse(protocols=(tunnel.PROTOCOL,))
        await stream.prepare(request)
        await stream.send_bytes(b"\x00" + PORT)
        await stream.send_bytes(b"\x01" + PORT)
        message = await stream.receive_bytes()
        self.asked.append((request.path_qs, request.headers.get("Authorization", ""), message))
        if self.error:
            await stream.send_bytes(b"\x01" + self.error)
        for piece in self.pieces:
            await stream.send_bytes(b"\x00" + piece)
        await stream.close()
        return stream


@asynccontextmanager
async def reaching(server: ApiServer) -> AsyncIterator[Configuration]:
    application = web.Application()
    application.router.add_get("/{path:.*}", server.handle)
    how = Configuration()
    how.api_key = {"BearerToken": "Bearer secret"}
    async with listening(application) as address:
        how.host = f"http://{address}"
        yield how


async def got(how: Configuration) -> tuple[int, bytes]:
    return await tunnel.get(how, "system", "operator-1", 8086, "/evidence/growth/churn")


async def test_brings_the_answer_of_a_pod_in_any_pieces() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    server = ApiServer(raw[i : i + 7] for i in range(0, len(raw), 7))
    async with reaching(server) as how:
        assert await got(how) == (200, b"hello")
    ((path, authorization, request),) = server.asked
    assert path == f"{PATH}?ports=8086"
    assert authorization == "Bearer secret"
    assert request.startswith(b"\x00GET /evidence/growth/churn HTTP/1.1\r\n")


async def test_unpacks_what_was_compressed() -> None:
    body = gzip.compress(b"hello" * 100)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with reaching(ApiServer([head, body])) as how:
        assert await got(how) == (200, b"hello" * 100)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"], id="half a body"),
        pytest.param([b"no HTTP at all"], id="something else"),
    ],
)
async def test_half_an_answer_may_be_whole_the_next_time(pieces: list[bytes]) -> None:
    async with reaching(ApiServer(pieces)) as how:
        with pytest.raises(TransientError, match="broke off"):
            await got(how)


async def test_a_port_that_nobody_listens_on_is_told() -> None:
    async with reaching(ApiServer([], error=b"connection refused")) as how:
        with pytest.raises(TransientError, match="connection refused"):
            await got(how)


async def test_a_lack_of_rights_names_the_verb() -> None:
    async with reaching(ApiServer([], status=403)) as how:
        with pytest.raises(TerminalError, match="get and create on pods/portforward"):
            await got(how)


async def test_a_pod_that_is_gone_may_have_a_successor() -> None:
    async with reaching(ApiServer([], status=404)) as how:
        with pytest.raises(TransientError, match="404"):
            await got(how)


async def test_no_connection_is_told() -> None:
    how = Configuration()
    how.host = "http://127.0.0.1:1"
    with pytest.raises(TransientError, match="portforward"):
        await got(how)
