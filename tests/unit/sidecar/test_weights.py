"""Who answers: weights, the candidate's failures, and the pods of other revisions."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import sqrt
from pathlib import Path

import pytest
import pytest_asyncio
from tests.fair_clock import fair_clock
from tests.ports import free_port
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.harness import (
    CANDIDATE,
    STABLE,
    Connection,
    Sidecar,
    eventually,
    mark,
    once,
    post,
    routing,
    sidecar,
)
from tests.unit.sidecar.upstream import Asked, Upstream, predictions, upstream

from tidegate.traffic.marks import Kind
from tidegate.traffic.routing import Match

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS = 5000
REQUESTS_TOTAL = "tidegate_requests_total"


async def candidate_answer(_asked: Asked) -> bytes:
    """What a candidate's pod answers: its own sidecar has added the id."""
    head, _, body = predictions(2).partition(b"\r\n\r\n")
    return head + b"\r\nx-tidegate-id: pod-c.1.0123456789abcdef\r\n\r\n" + body


@pytest_asyncio.fixture(loop_scope="module")
async def stable() -> AsyncIterator[Upstream]:
    async with upstream() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def candidate() -> AsyncIterator[Upstream]:
    async with upstream(candidate_answer) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def proxy(tmp_path: Path, stable: Upstream) -> AsyncIterator[Sidecar]:
    async with sidecar(tmp_path, stable.port) as running:
        yield running


async def ask_many(port: int, requests: int) -> Counter[tuple[int, bytes]]:
    """Statuses and bodies of as many requests, over eight connections."""
    seen: Counter[tuple[int, bytes]] = Counter()

    async def ask() -> None:
        connection = await Connection.open(port)
        for _ in range(requests // 8):
            reply = await connection.ask(post({"instances": [[1]]}))
            seen[reply.status, reply.body] += 1
        await connection.close()

    await asyncio.gather(*(ask() for _ in range(8)))
    return seen


@pytest.mark.parametrize("weight", [5, 50])
async def test_the_candidate_gets_its_weight(
    proxy: Sidecar, stable: Upstream, candidate: Upstream, weight: int
) -> None:
    await proxy.route(routing(7, candidate.port, weight))
    assert sum((await ask_many(proxy.port, REQUESTS)).values()) == REQUESTS
    share = weight / 100
    bound = 4.5 * sqrt(REQUESTS * share * (1 - share))  # one run in 150,000 lies beyond
    assert abs(len(candidate.asked) - share * REQUESTS) < bound
    assert len(stable.asked) + len(candidate.asked) == REQUESTS
    said = {f"x-tidegate-routed: {a.header('x-tidegate-routed')}" for a in candidate.asked}
    assert said == {mark(Kind.LOT, 7)}
    assert {a.header("x-tidegate-routed") for a in stable.asked} == {None}


async def test_weights_change_at_once_and_reach_0_and_100(
    proxy: Sidecar, stable: Upstream, candidate: Upstream, connect: Connect
) -> None:
    connection = await connect(proxy.port)
    for generation, weight in enumerate((100, 0, 100, 0), start=1):
        assert (await proxy.route(routing(generation, candidate.port, weight))).status == 200
        before = len(candidate.asked)
        for _ in range(50):
            assert (await connection.ask(post(b"{}"))).status == 200
        assert len(candidate.asked) - before == (50 if weight else 0)


async def test_the_candidates_answer_passes_unchanged(proxy: Sidecar, candidate: Upstream) -> None:
    await proxy.route(routing(1, candidate.port, 100))
    reply = await once(proxy.port, post(b"{}"))
    assert reply.raw_head + reply.body == await candidate_answer(candidate.asked[0])


async def test_a_pod_that_goes_away_breaks_no_request_that_another_answers(
    proxy: Sidecar, candidate: Upstream, connect: Connect
) -> None:
    held = asyncio.Event()

    async def slowly(_asked: Asked) -> bytes:
        await held.wait()
        return predictions(1)

    connection = await connect(proxy.port)
    async with upstream(slowly) as slow:
        await proxy.route(routing(1, candidate.port, 100))
        assert (await connection.ask(post(b"{}"))).status == 200
        # The connection to the candidate is idle now; the next request goes elsewhere.
        await proxy.route(routing(2, slow.port, 100))
        connection.send(post(b"{}"))

        async def arrived() -> bool:
            return bool(slow.asked)

        await eventually(arrived)
        gone = candidate.asked[-1].writer
        gone.write_eof()
        await gone.wait_closed()  # the proxy has seen it, and closed its side
        held.set()
        assert (await connection.receive()).status == 200


async def test_an_unreachable_candidate_fails_no_request_and_is_counted(
    proxy: Sidecar, stable: Upstream
) -> None:
    await proxy.route(routing(1, free_port(), 50))
    seen = await ask_many(proxy.port, 400)
    assert seen == {(200, b'{"predictions": [1]}'): 400}
    assert len(stable.asked) == 400
    await proxy.monitor_up()

    async def counted() -> bool:
        numbers = await proxy.scrape()
        unreachable = numbers.get(
            "tidegate_requests_total"
            f'{{code="unreachable",revision="{CANDIDATE}",track="candidate"}}',
            0,
        )
        served = numbers.get(
            f'tidegate_requests_total{{code="200",revision="{STABLE}",track="stable"}}', 0
        )
        return unreachable + served == 400 and 100 < unreachable < 300

    await eventually(counted)


@asynccontextmanager
async def swallowing() -> AsyncIterator[int]:
    """The port of a node that answers no attempt to connect, as one does that is gone."""
    with socket.socket() as listener, socket.socket() as last:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        last.connect(listener.getsockname())  # the only one that there is room for
        yield listener.getsockname()[1]


async def test_a_candidate_that_takes_no_connection_holds_no_request_up_for_long(
    proxy: Sidecar, stable: Upstream
) -> None:
    large = bytes(range(250)) * 80_000  # 20 MB: much more than waits in the proxy meanwhile
    async with swallowing() as port:
        await proxy.route(routing(1, port, 100))
        async with fair_clock(proxy.process.pid) as clock:
            began, fairly = time.monotonic(), clock()
            replies = await asyncio.gather(*(once(proxy.port, post(b)) for b in (b"{}", large)))
            took, fairly = time.monotonic() - began, clock() - fairly
    assert [reply.status for reply in replies] == [200, 200]
    assert took >= 1.0
    assert fairly < 10.0
    assert sorted((asked.body for asked in stable.asked), key=len) == [b"{}", large]
    await proxy.monitor_up()

    async def counted() -> bool:
        numbers = await proxy.scrape()
        return sum(n for name, n in numbers.items() if REQUESTS_TOTAL in name) == 2

    await eventually(counted)
    unreachable = f'{REQUESTS_TOTAL}{{code="unreachable",revision="{CANDIDATE}",track="candidate"}}'
    assert (await proxy.scrape())[unreachable] == 2


async def test_a_candidate_that_breaks_off_is_counted_and_not_asked_twice(
    proxy: Sidecar, stable: Upstream
) -> None:
    async def vanish(_asked: Asked) -> bytes:
        return b""

    async with upstream(vanish) as candidate:
        await proxy.route(routing(1, candidate.port, 100))
        reply = await once(proxy.port, post(b"{}"))
    assert (reply.status, reply.header("x-tidegate-id")) == (502, None)
    assert stable.asked == []
    await proxy.monitor_up()

    async def counted() -> bool:
        numbers = await proxy.scrape()
        return any(CANDIDATE in name and 'code="unreachable"' in name for name in numbers)

    await eventually(counted)


@pytest.mark.parametrize("line", [mark(Kind.LOT, 1), "x-tidegate-routed: 1", "X-Tidegate-Routed:"])
async def test_a_request_that_says_it_was_routed_is_answered_here_without_its_mark(
    proxy: Sidecar, stable: Upstream, candidate: Upstream, line: str
) -> None:
    await proxy.route(routing(1, candidate.port, 100))
    await once(proxy.port, post(b"{}", "/p", "X-Before: 1", line, "X-After: 2"))
    assert (len(stable.asked), len(candidate.asked)) == (1, 0)
    without = post(b"{}", "/p", "X-Before: 1", "X-After: 2")
    assert stable.asked[0].raw_head + stable.asked[0].body == without


async def test_a_session_stays_where_it_is_when_the_weight_rises(
    proxy: Sidecar, stable: Upstream, candidate: Upstream, connect: Connect
) -> None:
    connection = await connect(proxy.port)
    on_candidate: list[set[int]] = []
    for generation, weight in enumerate((10, 25, 60), start=1):
        await proxy.route(routing(generation, candidate.port, weight, sticky="X-User"))
        candidate.asked.clear()
        for user in range(300):
            for _ in range(2):
                await connection.ask(post(b"{}", "/p", f"x-user: {user}"))
        asked = [int(a.header("x-user") or -1) for a in candidate.asked]
        on_candidate.append(set(asked))
        assert len(asked) == 2 * len(set(asked)), "both requests of a user go the same way"
        share = weight / 100
        assert abs(len(set(asked)) - share * 300) < 4.5 * sqrt(300 * share * (1 - share))
    assert on_candidate[0] < on_candidate[1] < on_candidate[2]


async def test_a_matching_request_gets_the_candidate_and_is_no_evidence(
    proxy: Sidecar, stable: Upstream, candidate: Upstream, connect: Connect
) -> None:
    testers = (Match("X-Tester", "yes"), Match("x-office", "berlin"))
    await proxy.route(routing(1, candidate.port, 0, match=testers))
    connection = await connect(proxy.port)
    for line in ("x-tester: yes", "X-Office:   berlin  ", "x-tester: no", "x-office: yes", "a: b"):
        await connection.ask(post(b"{}", "/p", line))
    assert [a.path for a in candidate.asked] == ["/p", "/p"]
    said = {f"x-tidegate-routed: {a.header('x-tidegate-routed')}" for a in candidate.asked}
    assert said == {mark(Kind.MATCH, 1)}
    assert len(stable.asked) == 3


async def test_after_a_promotion_the_old_stable_forwards_everything(
    proxy: Sidecar, stable: Upstream, candidate: Upstream
) -> None:
    promoted = routing(3, stable="churn-new", stable_port=candidate.port)
    await proxy.route(promoted)
    await ask_many(proxy.port, 40)
    assert (len(stable.asked), len(candidate.asked)) == (0, 40)
    said = {f"x-tidegate-routed: {a.header('x-tidegate-routed')}" for a in candidate.asked}
    assert said == {mark(Kind.HANDED, 3)}, "the new stable pods still draw for them"


async def test_a_candidates_pod_answers_what_reaches_it_directly(
    tmp_path: Path, stable: Upstream, candidate: Upstream
) -> None:
    async with sidecar(tmp_path, candidate.port, revision=CANDIDATE) as pod:
        await pod.route(routing(1, 1, 10, stable_port=stable.port))
        await ask_many(pod.port, 40)
    assert (len(stable.asked), len(candidate.asked)) == (0, 40)
