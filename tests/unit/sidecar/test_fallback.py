"""What this pod does with a request that it could not hand to another one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.ports import free_port
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.front import fronted
from tests.unit.sidecar.harness import post, routing
from tests.unit.sidecar.upstream import upstream

from tidegate.traffic.routing import Match, Routing

pytestmark = pytest.mark.asyncio(loop_scope="module")

TO_CANDIDATE = "x-arm: candidate"
MEGABYTE = 1 << 20
Attempt = Awaitable[Any]


def to(port: int) -> Routing:
    """The candidate listens there, and gets what asks for it."""
    return routing(1, port, match=(Match(*TO_CANDIDATE.split(": ")),))


def connecting(
    patch: pytest.MonkeyPatch, port: int, how: Callable[[Attempt], Awaitable[Any]]
) -> None:
    """Have the network take its time: attempts to connect to the port go like this."""
    loop = asyncio.get_running_loop()
    connect: Callable[..., Attempt] = loop.create_connection

    async def connected(factory: object, host: str, to: int, **options: object) -> object:
        attempt = connect(factory, host, to, **options)
        return await (how(attempt) if to == port else attempt)

    patch.setattr(loop, "create_connection", connected)


async def test_a_client_that_was_made_to_wait_may_go_on(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = free_port()
    async with upstream() as model, fronted(model.port, to(nobody)) as front:

        async def slowly(attempt: Attempt) -> object:
            await front.client(lambda client: client._paused)
            return await attempt

        connecting(monkeypatch, nobody, slowly)
        connection = await connect(front.port)
        assert (await connection.ask(post(b"{}"))).status == 200
        reply = await connection.ask(post(bytes(8 * MEGABYTE), "/p", TO_CANDIDATE))
        assert reply.status == 200
        assert [len(asked.body) for asked in model.asked] == [2, 8 * MEGABYTE]


async def test_a_request_that_may_have_been_heard_is_not_sent_again(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        upstream() as model,
        upstream() as candidate,
        fronted(model.port, to(candidate.port)) as front,
    ):

        async def just_too_late(attempt: Attempt) -> object:
            await attempt
            raise TimeoutError

        connecting(monkeypatch, candidate.port, just_too_late)
        connection = await connect(front.port)
        assert (await connection.ask(post(b"{}", "/p", TO_CANDIDATE))).status == 502
        assert model.asked == []
