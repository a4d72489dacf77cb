import asyncio
import json
import socket
import time
from collections.abc import Callable

from tests.fair_clock import fair_clock
from tests.patience import DEADLINE_SECONDS

from tidegate.sidecar.monitor.intake import Intake
from tidegate.sidecar.proxy.channel import QUEUE_LIMIT_BYTES, Channel
from tidegate.sidecar.records import Kind, Reader, Record

BODY = b"x" * 100_000


def answered(sequence: int, body: bytes = BODY) -> Record:
    return Record(
        Kind.ANSWERED,
        status=500 if sequence % 10 == 0 else 200,
        arrival=time.time(),
        sequence=sequence,
        latency=0.01,
        revision="r1",
        request=body,
        response=body,
    )


async def drain(end: socket.socket, done: Callable[[Record], bool]) -> list[Record]:
    """All records up to the first that is `done`."""
    loop = asyncio.get_running_loop()
    end.setblocking(False)
    reader = Reader()
    records: list[Record] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            for record in reader.feed(await loop.sock_recv(end, 1 << 20)):
                records.append(record)
                if done(record):
                    return records


async def test_a_stalled_monitor_costs_copies_but_no_counts() -> None:
    channel = Channel(asyncio.get_running_loop())
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel.attach(ours, [])
    count = 2 * QUEUE_LIMIT_BYTES // len(BODY)
    for sequence in range(count):
        channel.send(answered(sequence))
    channel.mark(time.time())
    intake = Intake("m", "r1", None, time.time)

    def counted(record: Record) -> bool:
        intake.take(record)
        return sum(intake.totals.requests.values()) == count

    records = await drain(theirs, counted)
    whole = sum(r.kind is Kind.ANSWERED for r in records)
    assert 0 < whole < count
    assert intake.totals.dropped == count - whole
    assert sum(intake.totals.requests.values()) == count
    assert intake.totals.requests["r1", "500"] == -(-count // 10)
    assert sum(intake.totals.latency["r1"].values()) == count
    channel.detach()
    theirs.close()


async def test_what_is_not_copied_goes_to_the_monitor_as_sums() -> None:
    channel = Channel(asyncio.get_running_loop())
    intake = Intake("m", "r1", None, time.time)
    intake.take(Record(Kind.HELLO, request=b'{"secret": "", "firstSlot": 6}'))
    for second in range(60, 80):
        channel.count(Kind.ANSWERED, 200, float(second), 3, "r1", 0.001)
        channel.count(Kind.ANSWERED, 503, float(second), 3, "r1", 0.1)
    channel.count(Kind.UNREACHABLE, 0, 79.0, 3, "r2", 0.0)
    channel.mark(82.0)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel.attach(ours, [])
    records = await drain(theirs, lambda record: record.kind is Kind.MARK)
    assert len(records) == 2 * 2 + 1 + 1, "however many requests there are"
    for record in records:
        intake.take(record)
    report = intake.report(0, 0)
    windows = {(k.slot, k.revision): n for k, n in report.windows.items()}
    assert {k: n.requests for k, n in windows.items()} == {
        (6, "r1"): 20,
        (7, "r1"): 20,
        (7, "r2"): 1,
    }
    assert windows[6, "r1"].latency == {"26": 10, "79": 10}
    assert windows[6, "r1"].errors == {"5xx": 10}
    assert windows[7, "r2"].errors == {"unreachable": 1}
    assert report.counted == 41
    channel.detach()
    theirs.close()


async def test_marks_come_behind_all_that_they_speak_of_and_never_pile_up() -> None:
    channel = Channel(asyncio.get_running_loop())
    count = 2 * QUEUE_LIMIT_BYTES // len(BODY)
    for sequence in range(count):
        channel.send(answered(sequence))
        channel.mark(float(sequence))
    channel.mark(1e6)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel.attach(ours, [Record(Kind.HELLO)])
    assert channel.marked == 0.0
    channel.mark(2e6)
    records = await drain(theirs, lambda record: record.arrival == 2e6)
    assert [r.kind for r in records[:3]] == [Kind.HELLO, Kind.ANSWERED, Kind.MARK]
    marks = [r for r in records if r.kind is Kind.MARK]
    assert [(r.arrival, r.sequence) for r in marks] == [(0.0, 1), (2e6, count)]
    tallied = sum(json.loads(r.request)["requests"] for r in records if r.kind is Kind.TALLY)
    assert tallied > 0
    assert sum(r.kind is Kind.ANSWERED for r in records) + tallied == count
    channel.detach()
    theirs.close()


async def test_the_next_monitor_gets_what_the_last_one_was_not_sent() -> None:
    channel = Channel(asyncio.get_running_loop())
    for sequence in range(30):
        channel.send(answered(sequence))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel.attach(ours, [Record(Kind.HELLO)])
    first = list(Reader().feed(theirs.recv(150_000)))
    theirs.close()
    channel.detach()
    channel.send(answered(30))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel.attach(ours, [Record(Kind.HELLO)])
    second = await drain(theirs, lambda record: record.sequence == 30)
    missing = second[1].sequence
    assert [r.kind for r in (first[0], second[0])] == [Kind.HELLO] * 2
    assert 0 < missing <= 10, "only what the socket had taken is gone"
    assert [r.sequence for r in second[1:]] == list(range(missing, 31))
    channel.detach()
    theirs.close()


async def test_what_has_queued_up_is_sent_before_the_end() -> None:
    channel = Channel(asyncio.get_running_loop())
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel.attach(ours, [])
    for sequence in range(1, 31):
        channel.send(answered(sequence))
    reading = asyncio.create_task(drain(theirs, lambda record: record.sequence == 30))
    await channel.drain(DEADLINE_SECONDS)
    channel.detach()
    assert [r.sequence for r in await reading] == list(range(1, 31))
    theirs.close()


async def test_the_end_does_not_wait_for_a_monitor_that_hangs() -> None:
    channel = Channel(asyncio.get_running_loop())
    await channel.drain(10.0)  # nor for one that is not there
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel.attach(ours, [])
    for sequence in range(30):
        channel.send(answered(sequence))
    async with fair_clock() as clock, asyncio.timeout(DEADLINE_SECONDS):
        began = clock()
        await channel.drain(0.05)
        assert clock() - began < 5.0
    channel.detach()
    theirs.close()
