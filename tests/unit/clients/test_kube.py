"""What the client makes of an API server's refusals; its calls are tried on a real one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from tests.unit.clients.listening import listening

from tidegate.clients.kube import Kube, Manifest
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
