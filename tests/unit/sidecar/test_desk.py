"""What is counted, for whom: the rules that every connection shares."""

import asyncio
from random import Random

import pytest
from tests.unit.sidecar.front import Kept
from tests.unit.sidecar.harness import CANDIDATE, STABLE, get, mark, post, routing

from tidegate.evidence.windows import UNDRAWN
from tidegate.sidecar.proxy.capture import Capture
from tidegate.sidecar.proxy.desk import Desk
from tidegate.sidecar.proxy.exchange import Exchange
from tidegate.sidecar.proxy.heads import parse_request, parse_response
from tidegate.sidecar.proxy.lane import ANSWER_SECONDS
from tidegate.sidecar.proxy.shadow import Shadow
from tidegate.sidecar.proxy.split import Split, Tcp, Unix
from tidegate.sidecar.records import Flag
from tidegate.sidecar.records import Kind as Outcome
from tidegate.traffic.marks import Kind
from tidegate.traffic.routing import Match

NOW = 1000.0
MONITOR = Unix("/nowhere")
EVERYTHING = Capture(Random(1).random)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def desk(
    kept: Kept,
    weight: int = 0,
    match: tuple[Match, ...] = (),
    capture: Capture = EVERYTHING,
    shadow: int = 0,
) -> Desk:
    split = Split(STABLE, Tcp("127.0.0.1", 8000), Random(1).random)
    split.apply(routing(4, 99, weight, match=match, shadow=shadow))
    return Desk("pod", b"s" * 32, split, MONITOR, kept, capture, Shadow(kept))


def begin(at: Desk, raw: bytes) -> Exchange:
    """A request that was read and passed on whole."""
    head, _, body = raw.partition(b"\r\n\r\n")
    exchange = at.begin(parse_request(head + b"\r\n\r\n"))
    exchange.framing.take(body)
    exchange.asked.add(body)
    exchange.started = NOW
    return exchange


def answer(exchange: Exchange, status: int = 200, *, header: str = "X: y") -> None:
    raw = f"HTTP/1.1 {status} X\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode()
    exchange.answer = parse_response(raw, b"POST")
    exchange.answered_at = NOW + 0.25


def test_an_answer_is_counted_with_its_latency_and_bodies(kept: Kept) -> None:
    local = desk(kept)
    exchange = begin(local, post(b"{}"))
    answer(exchange)
    exchange.given.add(b"[]")
    local.finish(exchange)
    (record,) = kept.records
    assert (record.kind, record.status, record.generation) == (Outcome.ANSWERED, 200, 4)
    assert (record.latency, record.request, record.response) == (0.25, b"{}", b"[]")


def test_only_predictions_are_counted(kept: Kept) -> None:
    local = desk(kept)
    for raw in (get("/v2/models/churn"), post(b"{}", "/feedback"), post(b"{}", "/feedback?x=1")):
        exchange = begin(local, raw)
        answer(exchange)
        local.finish(exchange)
    assert kept.records == []
    assert exchange.route.target == MONITOR


def test_failures_carry_no_bodies(kept: Kept) -> None:
    local = desk(kept)
    exchange = begin(local, post(b"{}"))
    answer(exchange, 500)
    local.finish(exchange)
    assert (kept.records[0].status, kept.records[0].request) == (500, b"")


def test_a_model_that_does_not_answer_is_a_timeout(kept: Kept) -> None:
    local = desk(kept)
    exchange = begin(local, post(b"{}"))
    local.fail(exchange, 504, NOW + 61)
    assert kept.outcomes == [(Outcome.TIMEOUT, 504, STABLE)]


def test_a_candidate_that_does_not_answer_is_unreachable(kept: Kept) -> None:
    split = desk(kept, 100)
    exchange = begin(split, post(b"{}"))
    split.fail(exchange, 504, NOW + 66)
    assert kept.outcomes == [(Outcome.UNREACHABLE, 0, CANDIDATE)]


@pytest.mark.parametrize(
    ("header", "want"),
    [
        pytest.param("x-tidegate-id: c.1.0", [], id="its own pod counts it"),
        pytest.param("x: y", [(Outcome.UNREACHABLE, 0, CANDIDATE)], id="not from a sidecar"),
    ],
)
def test_a_forwarded_answer_counts_here_only_without_an_id(
    kept: Kept, header: str, want: list[tuple[Outcome, int, str]]
) -> None:
    split = desk(kept, 100)
    exchange = begin(split, post(b"{}"))
    answer(exchange, header=header)
    split.finish(exchange)
    assert kept.outcomes == want
    assert exchange.id_line == b""


def test_a_request_that_falls_back_is_counted_once_and_gets_an_id(kept: Kept) -> None:
    split = desk(kept, 100)
    exchange = begin(split, post(b"{}"))
    assert split.fall_back(exchange)
    assert not exchange.route.mark
    assert exchange.id_line.startswith(b"x-tidegate-id: pod.")
    assert not split.fall_back(exchange), "there is nowhere else to go"
    answer(exchange)
    split.finish(exchange)
    assert kept.outcomes == [(Outcome.UNREACHABLE, 0, CANDIDATE)]


@pytest.mark.parametrize(
    ("line", "generations"),
    [
        pytest.param("x: y", [4], id="drawn here"),
        pytest.param(mark(Kind.LOT, 3), [3], id="drawn by another pod"),
        pytest.param(mark(Kind.HANDED, 3), [4], id="drawn here for another pod"),
        pytest.param(mark(Kind.MATCH, 4), [UNDRAWN], id="sent by a rule"),
        pytest.param("x-tidegate-routed: 4", [UNDRAWN], id="sent by a forged mark"),
        pytest.param(mark(Kind.SHADOW, 4), [], id="a copy"),
    ],
)
def test_only_what_was_drawn_counts_as_evidence(
    kept: Kept, line: str, generations: list[int]
) -> None:
    local = desk(kept)
    exchange = begin(local, post(b"{}", "/p", line))
    answer(exchange)
    local.finish(exchange)
    assert [r.generation for r in kept.records] == generations
    assert local.head_for_upstream(exchange) == post(b"{}", "/p", *["x: y"] * (line == "x: y"))[:-2]


async def test_copies_for_the_candidate_do_not_depend_on_what_the_monitor_gets(kept: Kept) -> None:
    """It is asked by the shadow step; whether predictions are captured is another question."""
    local = desk(kept, capture=Capture(lambda: 0.5, share=0.0), shadow=100)
    exchange = begin(local, post(b"{}"))
    answer(exchange)
    exchange.given.add(b"[]")
    copied = exchange.shadow
    local.finish(exchange)
    assert copied is not None
    assert copied.mark.decode() == mark(Kind.SHADOW, 4)
    assert [r.kind for r in kept.counted] == [Outcome.ANSWERED]
    local.sweep(asyncio.get_running_loop().time() + ANSWER_SECONDS)
    (record,) = kept.records
    assert (record.kind, record.request) == (Outcome.PAIRED, b"[]")


async def test_a_request_that_was_answered_before_it_was_whole_is_not_copied(kept: Kept) -> None:
    local = desk(kept, shadow=100)
    exchange = local.begin(parse_request(post(b"{}")[:-2]))
    exchange.asked.add(b"{")
    answer(exchange)
    local.finish(exchange)
    local.sweep(asyncio.get_running_loop().time() + ANSWER_SECONDS)
    (record,) = kept.records
    assert (record.kind, record.flags, record.request) == (Outcome.ANSWERED, Flag.INCOMPLETE, b"")


def test_a_matched_request_that_fails_is_no_evidence_against_the_candidate(kept: Kept) -> None:
    split = desk(kept, match=(Match("x-tester", "yes"),))
    exchange = begin(split, post(b"{}", "/p", "x-tester: yes"))
    assert split.fall_back(exchange)
    (record,) = kept.records
    assert (record.revision, record.generation) == (CANDIDATE, UNDRAWN)


def test_a_client_that_leaves(kept: Kept) -> None:
    local = desk(kept)
    waiting, reading = begin(local, post(b"{}")), begin(local, post(b"{}"))
    stuck = begin(local, post(b"{}"))
    answer(reading)
    answer(stuck)
    local.client_left(waiting, NOW + 3, stalled=False)
    local.client_left(reading, NOW + 3, stalled=False)
    local.client_left(stuck, NOW + 30, stalled=True)
    assert kept.outcomes == [
        (Outcome.TIMEOUT, 0, STABLE),
        (Outcome.ANSWERED, 200, STABLE),
        (Outcome.TIMEOUT, 0, STABLE),
    ]
    assert kept.records[1].flags & Flag.INCOMPLETE
    assert kept.records[1].request == b""


def test_an_answer_that_breaks_off_is_an_error(kept: Kept) -> None:
    local = desk(kept)
    exchange = begin(local, post(b"{}"))
    answer(exchange)
    local.broke_off(exchange)
    assert kept.outcomes == [(Outcome.ANSWERED, 502, STABLE)]


def test_callers_ids_are_read_only_when_somebody_needs_them(kept: Kept) -> None:
    asked = post(b"{}", "/p", "X-Request-Id: hop-1 ", "CE-ID:\torder-7")
    for caller_ids in (False, True):
        local = desk(kept, capture=Capture(Random(1).random, caller_ids=caller_ids))
        exchange = begin(local, asked)
        answer(exchange)
        local.finish(exchange)
    assert [r.caller_id for r in kept.records] == [b"", b"order-7"]


def test_without_capture_requests_are_counted_and_nothing_is_copied(kept: Kept) -> None:
    local = desk(kept, capture=Capture(Random(1).random, share=0.0))
    exchange = begin(local, post(b"{}"))
    answer(exchange)
    exchange.given.add(b"[]")
    local.finish(exchange)
    (counted,) = kept.counted
    assert (counted.kind, counted.status, counted.latency) == (Outcome.ANSWERED, 200, 0.25)
    assert (counted.generation, counted.revision) == (4, STABLE)
    assert kept.records == []


def test_a_sample_is_copied(kept: Kept) -> None:
    local = desk(kept, capture=Capture(Random(1).random, share=0.2))
    for _ in range(1_000):
        exchange = begin(local, post(b"{}"))
        answer(exchange)
        local.finish(exchange)
    assert len(kept.records) + len(kept.counted) == 1_000
    assert 150 < sum(bool(r.request) for r in kept.records) == len(kept.records) < 250
