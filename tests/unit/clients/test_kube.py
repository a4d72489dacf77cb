"""What the client makes of an API server's refusals; its calls are tried on a real one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from tests.unit.clients.certificate import certificate
from tests.unit.clients.listening import listening

from tidegate.clients.kube import Kube, Manifest
from tidegate.clients.resources import JOBS
from tidegate.errors import TransientError

JOB: Manifest = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"namespace": "growth", "name": "churn"},
}


@asynccontextmanager
async def answering(status: int, body: Manifest) -> AsyncIterator[Configuration]:
    """How to reach a server that answers everything with this."""

    async def handle(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    how = Configuration()
    async with listening(application) as address:
        how.host = f"http://{address}"
        yield how


@asynccontextmanager
async def refusing(reason: str) -> AsyncIterator[Kube]:
    """A client of a server that answers 409."""
    async with answering(409, {"reason": reason, "message": "try again"}) as how:
        kube = Kube(how)
        try:
            yield kube
        finally:
            await kube.close()


async def test_what_is_there_already_is_not_created_again() -> None:
    async with refusing("AlreadyExists") as kube:
        assert await kube.create(JOB) is None


async def test_a_quota_that_changes_meanwhile_is_no_object_that_is_there() -> None:
    async with refusing("Conflict") as kube:
        with pytest.raises(TransientError, match="try again"):
            await kube.create(JOB)


async def test_a_watch_that_is_left_is_hung_up_on(tmp_path: Path) -> None:
    """TLS says goodbye, and waits for the answer: of a busy server, longer than there is a loop."""
    authority, context = certificate(tmp_path)
    left, ended = asyncio.Event(), asyncio.Event()
    event = json.dumps({"type": "ADDED", "object": JOB})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\n\r\n{event}\n".encode())
        writer.transport.pause_reading()  # type: ignore[attr-defined] # asyncio's own has it
        await left.wait()
        writer.transport.abort()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    how = Configuration()
    how.host, how.ssl_ca_cert = f"https://127.0.0.1:{port}", str(authority)
    kube, heard = Kube(how), asyncio.Event()

    async def follow() -> None:
        async for _ in kube.watch(JOBS, "growth", labels="", resource_version="1"):
            heard.set()

    async with server:
        following = asyncio.create_task(follow())
        await heard.wait()
        (connection,) = connections(port)
        following.cancel()
        await asyncio.wait([following])
        assert connection.is_closing()
        await kube.close()
        left.set()
        await ended.wait()


def connections(port: int) -> list[asyncio.BaseTransport]:
    """Those of this loop to the port, below TLS."""
    loop = asyncio.get_running_loop()
    known: list[asyncio.BaseTransport] = list(loop._transports.values())  # type: ignore[attr-defined] # asyncio's own have it
    return [t for t in known if (t.get_extra_info("peername") or ("", 0))[1] == port]
