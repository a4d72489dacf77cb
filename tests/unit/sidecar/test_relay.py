"""Connections that are passed on as bytes: through a real sidecar, to real servers."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest
from tests.fair_clock import fair_clock
from tests.ports import free_port
from tests.unit.runtime.jobs import job, people, workspace
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.harness import (
    DEADLINE_SECONDS,
    Sidecar,
    eventually,
    get,
    once,
    routing,
    sidecar,
)
from tests.unit.sidecar.kernel import HELD_BYTES

from tidegate.runtime.predictor import load
from tidegate.runtime.serve.grpc_server import GrpcServer
from tidegate.runtime.serve.messages import SERVICE, message_types
from tidegate.runtime.serve.model import Limits, ServedModel
from tidegate.runtime.train import train
from tidegate.sidecar.proxy.patience import LIMIT_SECONDS, Phase
from tidegate.sidecar.proxy.relay import ClientEnd, Relay
from tidegate.sidecar.proxy.split import Tcp

pytestmark = pytest.mark.asyncio(loop_scope="module")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
# All bytes there are, so long that no buffer on the way holds them.
HELD_LIMIT_BYTES = HELD_BYTES + (8 << 20)  # with the proxy's and the test's own
LONG = os.urandom(1 << 20) * ((HELD_LIMIT_BYTES >> 20) + 8)


@asynccontextmanager
async def relaying(folder: Path, handler: Handler) -> AsyncIterator[Sidecar]:
    """A sidecar in front of a server that speaks what it likes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    grpc = {"TIDEGATE_PROTOCOL": "GRPC"}
    async with server, sidecar(folder, port, environment=grpc) as proxy:
        yield proxy


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def test_bytes_pass_unchanged_both_ways_at_once(tmp_path: Path, connect: Connect) -> None:
    async with relaying(tmp_path, echo) as proxy:
        connection = await connect(proxy.port)
        reading = asyncio.create_task(connection.reader.readexactly(len(LONG)))
        connection.send(LONG)
        assert await reading == LONG
        connection.writer.write_eof()
        assert await connection.ended()


async def test_each_side_may_end_before_the_other(tmp_path: Path, connect: Connect) -> None:
    async def last_word(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readline()) == b"client first\n":
            assert await reader.read() == b""
            writer.write(b"and an answer after it")
        else:
            writer.write_eof()
            heard.set_result(await reader.read())

    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    async with relaying(tmp_path, last_word) as proxy:
        first = await connect(proxy.port)
        first.send(b"client first\n")
        first.writer.write_eof()
        assert await first.reader.read() == b"and an answer after it"
        second = await connect(proxy.port)
        second.send(b"server first\n")
        assert await second.ended()
        second.send(b"still here")
        second.writer.write_eof()
        assert await heard == b"still here"


async def test_a_server_that_does_not_read_makes_its_client_wait(
    tmp_path: Path, connect: Connect
) -> None:
    go_on, received = asyncio.Event(), bytearray()

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        while data := await reader.read(65536):
            received.extend(data)
        writer.write(b"all")

    async with relaying(tmp_path, later) as proxy:
        connection = await connect(proxy.port)
        connection.send(LONG)
        await stalled(connection.writer.transport.get_write_buffer_size)
        assert len(LONG) - connection.writer.transport.get_write_buffer_size() < HELD_LIMIT_BYTES
        go_on.set()
        connection.writer.write_eof()
        assert await connection.reader.read() == b"all"
        assert bytes(received) == LONG


async def test_a_client_that_does_not_read_makes_its_server_wait(
    tmp_path: Path, connect: Connect
) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def gush(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writers.append(writer)
        writer.write(LONG)
        await writer.drain()

    async with relaying(tmp_path, gush) as proxy:
        connection = await connect(proxy.port)
        connection.send(b"go\n")

        async def gushing() -> bool:
            return bool(writers)

        await eventually(gushing)
        await stalled(writers[0].transport.get_write_buffer_size)
        assert writers[0].transport.get_write_buffer_size() > len(LONG) - HELD_LIMIT_BYTES
        assert await connection.reader.read() == LONG
        await connection.close()


async def stalled(size: Callable[[], int]) -> None:
    """Wait until a buffer has stopped shrinking."""
    before, same = -1, 0
    async with asyncio.timeout(DEADLINE_SECONDS):
        while same < 10:
            await asyncio.sleep(0.02)
            same = same + 1 if size() == before else 0
            before = size()


async def test_connections_and_bytes_are_counted_and_requests_are_not(
    tmp_path: Path, connect: Connect
) -> None:
    async with relaying(tmp_path, echo) as proxy:
        await proxy.monitor_up()
        assert (await proxy.route(routing(1))).status == 200
        connection = await connect(proxy.port)
        connection.send(b"POST / HTTP/1.1\r\n\r\n")
        assert await connection.reader.readexactly(19) == b"POST / HTTP/1.1\r\n\r\n"

        async def counted() -> bool:
            seen = await proxy.scrape()
            return seen.get('tidegate_relayed_bytes_total{direction="out"}') == 19.0

        await eventually(counted)
        seen = await proxy.scrape()
        assert seen['tidegate_connections_total{result="passed"}'] == 1
        assert seen["tidegate_connections_open"] == 1
        assert seen['tidegate_relayed_bytes_total{direction="in"}'] == 19
        report = await proxy.report()
        assert (report.generation, report.counted, report.windows) == (1, 0, {})
        await connection.close()


async def test_drains_with_its_pod(tmp_path: Path, connect: Connect) -> None:
    async with relaying(tmp_path, echo) as proxy:
        assert (await once(proxy.control, get("/readyz"))).status == 200
        busy = await connect(proxy.port)
        proxy.process.send_signal(signal.SIGUSR1)

        async def retired() -> bool:
            return (await once(proxy.control, get("/readyz"))).status == 503

        await eventually(retired)
        # The word has not reached everybody yet that the pod ends.
        late = await connect(proxy.port)
        late.send(b"late")
        assert await late.reader.readexactly(4) == b"late"
        await late.close()
        proxy.process.send_signal(signal.SIGTERM)

        async def closed() -> bool:
            try:
                with suppress(ConnectionResetError):  # it waited when the port was closed
                    await (await connect(proxy.port)).close()
            except ConnectionRefusedError:
                return True
            return False

        await eventually(closed)
        busy.send(b"on its way")
        assert await busy.reader.readexactly(10) == b"on its way"
        async with fair_clock(*proxy.pids) as clock, asyncio.timeout(DEADLINE_SECONDS):
            began = clock()
            await busy.close()
            assert await proxy.process.wait() == 0
            assert clock() - began < 5.0


@asynccontextmanager
async def relay_to(port: int, limit: int = 100) -> AsyncIterator[tuple[Relay, int]]:
    """A relay in this process, and where it listens."""
    loop = asyncio.get_running_loop()
    relay = Relay(Tcp("127.0.0.1", port), loop, limit)
    front = await loop.create_server(lambda: ClientEnd(relay), "127.0.0.1", 0)
    async with front:
        yield relay, front.sockets[0].getsockname()[1]


async def test_clients_are_limited_and_dead_ones_are_given_up(connect: Connect) -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await echo(reader, writer)
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    behind = server.sockets[0].getsockname()[1]
    async with server, relay_to(behind, limit=1) as (relay, port):
        first = await connect(port)
        first.send(b"1")
        assert await first.reader.readexactly(1) == b"1"
        second = await connect(port)
        assert await second.ended()
        assert (relay.passed, relay.refused) == (1, 1)
        relay.sweep(0.0)
        relay.sweep(LIMIT_SECONDS[Phase.IDLE])
        first.send(b"2")
        assert await first.reader.readexactly(1) == b"2"
        relay.sweep(LIMIT_SECONDS[Phase.IDLE] + 1)
        relay.sweep(2 * LIMIT_SECONDS[Phase.IDLE] + 2)
        assert await first.ended()


async def test_a_client_is_told_by_the_end_that_no_model_listens(connect: Connect) -> None:
    async with relay_to(port=1) as (relay, port):
        connection = await connect(port)
        connection.send(b"PRI * HTTP/2.0\r\n\r\n")
        assert await connection.ended()
        assert (relay.passed, relay.unreachable) == (0, 1)


async def test_no_call_fails_while_clients_are_sent_from_connection_to_connection(
    tmp_path: Path,
) -> None:
    train(job(data={"features": ["age"]}), workspace(tmp_path, train=people()))
    model = ServedModel("churn", load(tmp_path / "out", allow_unsafe=False), Limits())
    behind = free_port()
    server = GrpcServer(model, f"127.0.0.1:{behind}", connection_seconds=0.1)
    await server.start()
    types = message_types()
    request = types["ModelInferRequest"](model_name="churn")
    ages = types["InferTensorContents"](fp64_contents=[70.0])
    request.inputs.add(name="age", datatype="FP64", shape=[1], contents=ages)
    async with (
        relay_to(behind) as (relay, port),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")

        async def calls() -> None:
            while relay.passed < 4:
                await infer(request.SerializeToString())

        await asyncio.gather(*(calls() for _ in range(4)))
    await server.stop(0)
