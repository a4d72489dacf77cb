from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio
from tests.unit.sidecar.harness import Connection

Connect = Callable[[int], Awaitable[Connection]]


@pytest_asyncio.fixture(loop_scope="module")
async def connect() -> AsyncIterator[Connect]:
    """Opens connections to a port of this machine, and closes them after the test."""
    opened: list[Connection] = []

    async def open_one(port: int) -> Connection:
        opened.append(await Connection.open(port))
        return opened[-1]

    yield open_one
    for connection in opened:
        await connection.close()
