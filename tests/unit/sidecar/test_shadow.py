"""Shadow copies through a real sidecar: compared, counted, and never felt."""

import asyncio
import time
from collections.abc import AsyncIterator
from math import sqrt
from pathlib import Path

import pytest
import pytest_asyncio
from tests.fair_clock import fair_clock
from tests.ports import free_port
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.harness import (
    CANDIDATE,
    Connection,
    Sidecar,
    eventually,
    mark,
    post,
    routing,
    sidecar,
    stalls,
)
from tests.unit.sidecar.upstream import Asked, predictions, response, upstream

from tidegate.sidecar.proxy.exchange import Budget, Exchange
from tidegate.sidecar.proxy.heads import parse_request, parse_response
from tidegate.sidecar.proxy.lane import ANSWER_SECONDS
from tidegate.sidecar.proxy.shadow import HELD_BYTES, LANES, WAITING, Shadow
from tidegate.sidecar.proxy.split import Route, Tcp
from tidegate.sidecar.records import Flag, Kind, Record
from tidegate.traffic import marks

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sidecar]:
    folder = tmp_path_factory.mktemp("shadow")

    async def moody(asked: Asked) -> bytes:
        return response(b"", "500 Oops") if asked.path == "/bad" else predictions(1)

    async with upstream(moody) as stable, sidecar(folder, stable.port) as running:
        await running.monitor_up()
        yield running


@pytest.fixture
def generation() -> int:
    """A number that is higher than that of any document before."""
    return time.monotonic_ns()


async def pairs(of: Sidecar, since: dict[str, float], **wanted: int) -> None:
    """Wait until these pairs were counted, and no others."""

    async def counted() -> bool:
        now = await of.scrape()
        gained = {
            name.partition('"')[2].partition('"')[0]: int(n - since.get(name, 0))
            for name, n in now.items()
            if name.startswith("tidegate_pairs_total") and n > since.get(name, 0)
        }
        assert sum(gained.values()) <= sum(wanted.values()), gained
        return gained == wanted

    await eventually(counted)


async def send(port: int, requests: int) -> None:
    """Ask over eight connections; every answer must be stable's."""

    async def ask() -> None:
        connection = await Connection.open(port)
        for _ in range(requests // 8):
            reply = await connection.ask(post({"instances": [[1]]}, "/p", "Accept: a/b"))
            assert (reply.status, reply.body) == (200, b'{"predictions": [1]}')
        await connection.close()

    await asyncio.gather(*(ask() for _ in range(8)))


async def test_a_share_of_the_requests_is_copied_whole_and_compared(
    proxy: Sidecar, generation: int
) -> None:
    async def differs_now_and_then(asked: Asked) -> bytes:
        return predictions(int(len(seen.asked) % 4 > 0))

    before = await proxy.scrape()
    async with upstream(differs_now_and_then) as seen:
        await proxy.route(routing(generation, seen.port, 0, shadow=30))
        await send(proxy.port, 1000)

        async def compared() -> bool:
            now = await proxy.scrape()
            names = [n for n in now if n.startswith("tidegate_pairs_total")]
            return sum(now[n] - before.get(n, 0) for n in names) == len(seen.asked)

        await eventually(compared)
        copies = len(seen.asked)
    assert abs(copies - 300) < 4.5 * sqrt(1000 * 0.3 * 0.7)
    await pairs(proxy, before, agreed=copies - copies // 4, differed=copies // 4)
    line = mark(marks.Kind.SHADOW, generation)
    assert {a.raw_head + a.body for a in seen.asked} == {
        post({"instances": [[1]]}, "/p", "Accept: a/b", line)
    }
    now = await proxy.scrape()
    assert not [n for n in now if n.startswith("tidegate_requests_total") and CANDIDATE in n]


async def test_only_predictions_that_stable_has_answered_well_are_copied(
    proxy: Sidecar, generation: int, connect: Connect
) -> None:
    before = await proxy.scrape()
    async with upstream() as candidate:
        await proxy.route(routing(generation, candidate.port, 0, shadow=100))
        connection = await connect(proxy.port)
        for raw in (
            post(b"{}", "/bad"),
            b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
            post(b"{}", "/feedback"),
            post(b"{}", "/p", mark(marks.Kind.MATCH, 1)),
            post(b"{}", "/good"),
        ):
            await connection.ask(raw)
        await pairs(proxy, before, agreed=1)
        assert [a.path for a in candidate.asked] == ["/good"]


async def test_a_candidate_that_is_down_is_counted_and_not_felt(
    proxy: Sidecar, generation: int
) -> None:
    before = await proxy.scrape()
    await proxy.route(routing(generation, free_port(), 0, shadow=100))
    await send(proxy.port, 80)
    await pairs(proxy, before, failed=80)


async def test_a_candidate_that_hangs_takes_no_more_than_its_lanes(
    proxy: Sidecar, generation: int
) -> None:
    before = await proxy.scrape()
    held = most = 0

    async def hang(asked: Asked) -> bytes:
        nonlocal held, most
        held += 1
        most = max(most, held)
        await asked.reader.read()  # until it is given up
        held -= 1
        return b""

    async with upstream(hang) as candidate:
        await proxy.route(routing(generation, candidate.port, 0, shadow=100))
        async with fair_clock(proxy.process.pid) as clock:
            began = clock()
            await send(proxy.port, 400)
            assert clock() - began < ANSWER_SECONDS / 2, "no client waits for it"

        async def all_asked() -> bool:
            return most >= LANES

        await eventually(all_asked)
        assert most == LANES
    await pairs(proxy, before, failed=400)


async def test_errors_of_the_candidate_and_lost_connections_are_failures(
    proxy: Sidecar, generation: int
) -> None:
    async def worse_and_worse(asked: Asked) -> bytes:
        return response(b"", "503 No") if len(candidate.asked) % 2 else b""

    before = await proxy.scrape()
    async with upstream(worse_and_worse) as candidate:
        await proxy.route(routing(generation, candidate.port, 0, shadow=100))
        await send(proxy.port, 16)
        await pairs(proxy, before, failed=16)


async def test_the_candidates_own_sidecar_counts_no_copies(
    proxy: Sidecar, tmp_path: Path, generation: int
) -> None:
    before = await proxy.scrape()
    async with (
        upstream() as model,
        sidecar(tmp_path, model.port, revision=CANDIDATE, uid="pod-c") as candidate,
    ):
        document = routing(generation, candidate.port, 0, shadow=100)
        for pod in (candidate, proxy):
            assert (await pod.route(document)).status == 200
        await candidate.monitor_up()
        await send(proxy.port, 40)
        await pairs(proxy, before, agreed=40)
        assert len(model.asked) == 40
        assert {a.header("x-tidegate-routed") for a in model.asked} == {None}
        await send(candidate.port, 8)

        async def counted() -> bool:
            numbers = await candidate.scrape()
            return [n for name, n in numbers.items() if "tidegate_requests_total" in name] == [8]

        await eventually(counted)


class Kept:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def send(self, record: Record) -> None:
        self.records.append(record)


def answered(size: int) -> Exchange:
    """An exchange with so many bytes in either body, of which all was copied."""
    budget = Budget(1 << 30)
    budget.left = 1 << 30
    head = parse_request(post(bytes(size)).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    exchange = Exchange(head, Route(Tcp("x", 1), 1, "r"), 5.0, budget, counted=True)
    exchange.asked.add(bytes(size))
    exchange.given.add(bytes(size))
    exchange.answered_at = time.monotonic()
    return exchange


ANSWER = parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", b"POST")


async def test_what_waits_is_bounded_and_the_rest_is_dropped_and_counted() -> None:
    kept = Kept()
    shadow = Shadow(kept)

    async def hang(_asked: Asked) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with upstream(hang) as candidate:
        route = Route(Tcp("127.0.0.1", candidate.port), 7, CANDIDATE, b"x-tidegate-routed: m")
        size = HELD_BYTES // 80
        for _ in range(100):
            shadow.copy(answered(size), ANSWER, route)
        dropped = [r for r in kept.records if r.flags == Flag.NO_ROOM]
        assert len(dropped) == len(kept.records) == 61, "39 times two bodies and a head fit"
        assert {(r.kind, r.revision, r.generation, r.request) for r in dropped} == {
            (Kind.PAIRED, CANDIDATE, 7, b"")
        }
        late = time.monotonic() + ANSWER_SECONDS + 1
        shadow.sweep(late)
        assert sum(r.status == 0 for r in kept.records) == LANES
        dropped = [r for r in kept.records if r.flags == Flag.NO_ROOM]
        assert len(dropped) == 61 + 39 - 2 * LANES, "what has waited too long tells nothing"
        shadow.sweep(late)
        assert len(kept.records) == 100, "every copy is told of once"
        shadow.copy(answered(size), ANSWER, route)
        assert len(kept.records) == 100, "there is room again"
        shadow.sweep(late)


async def test_a_backlog_of_small_copies_is_bounded_too() -> None:
    kept = Kept()
    shadow = Shadow(kept)
    nowhere = Route(Tcp("127.0.0.1", 1), 7, CANDIDATE, b"x-tidegate-routed: m")
    for _ in range(LANES + WAITING + 5):
        shadow.copy(answered(1), ANSWER, nowhere)
    assert [r.flags for r in kept.records] == [Flag.NO_ROOM] * 5
    for _ in range(2):
        shadow.sweep(time.monotonic() + ANSWER_SECONDS + 1)
    assert len(kept.records) == LANES + WAITING + 5


async def test_an_answer_that_is_far_too_large_is_not_kept() -> None:
    kept = Kept()

    async def large(_asked: Asked) -> bytes:
        return response(bytes(3 << 20))

    async with upstream(large) as candidate:
        route = Route(Tcp("127.0.0.1", candidate.port), 7, CANDIDATE, b"x-tidegate-routed: m")
        shadow = Shadow(kept)
        shadow.copy(answered(1), ANSWER, route)

        async def done() -> bool:
            return bool(kept.records)

        await eventually(done)
        (record,) = kept.records
        assert (record.flags, len(record.response)) == (Flag.INCOMPLETE, 0)


async def test_connections_to_the_candidate_are_used_again(
    proxy: Sidecar, generation: int, connect: Connect
) -> None:
    before = await proxy.scrape()
    async with upstream() as candidate:
        await proxy.route(routing(generation, candidate.port, 0, shadow=100))
        connection, moments = await connect(proxy.port), [time.monotonic()]
        for number in range(20):
            await connection.ask(post({"instances": [[1]]}))
            await pairs(proxy, before, agreed=number + 1)
            moments.append(time.monotonic())
        assert candidate.connections <= 1 + stalls(moments)
