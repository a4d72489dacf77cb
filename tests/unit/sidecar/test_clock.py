"""A node's clock is set: by how much, and what becomes of the counts."""

import asyncio
import json
import socket
from collections.abc import Callable

import pytest
from tests.unit.sidecar.harness import STABLE

from tidegate.evidence.ids import InferenceId, nonce
from tidegate.evidence.windows import SLOT_SECONDS, Report
from tidegate.sidecar.monitor.answers import Outcome
from tidegate.sidecar.monitor.intake import Intake
from tidegate.sidecar.proxy.channel import Channel
from tidegate.sidecar.records import Kind, Reader, Record

SECRET = b"s" * 32
START = 1_800_000_000.0
SLOT = int(START) // SLOT_SECONDS


class Monitor:
    """A monitor, and the clock that it and its proxy have."""

    def __init__(self, first_slot: int = SLOT) -> None:
        self.now = START
        self._intake = Intake("m", STABLE, None, lambda: self.now)
        self._requests = 0
        hello = {"secret": SECRET.hex(), "firstSlot": first_slot}
        self._intake.take(Record(Kind.HELLO, request=json.dumps(hello).encode()))

    def ask(self, arrival: float | None = None) -> None:
        """A request is answered now; it came at another time if the clock was set meanwhile."""
        self._requests += 1
        self._intake.take(
            Record(
                Kind.ANSWERED,
                status=200,
                arrival=self.now if arrival is None else arrival,
                sequence=self._requests,
                revision=STABLE,
                request=json.dumps({"instances": [{"age": 50}]}).encode(),
                response=json.dumps({"predictions": [1]}).encode(),
            )
        )

    def report(self, after: int = 0) -> Report:
        """What it reports when the proxy has told the time."""
        self._intake.take(Record(Kind.MARK, arrival=self.now, sequence=self._requests))
        return self._intake.report(after, 0)

    def label(self, sequence: int) -> Outcome:
        return self._intake.label(InferenceId("m", sequence, nonce(SECRET, sequence)), [1])


def requests(report: Report) -> dict[int, int]:
    """By slot."""
    return {key.slot: counts.requests for key, counts in report.windows.items()}


@pytest.mark.parametrize("hours", [0.1, 1, 30, 100_000])
def test_a_clock_that_was_far_ahead_silences_nobody(hours: float) -> None:
    monitor = Monitor()
    monitor.ask()
    monitor.now = START + 12
    assert requests(monitor.report()) == {SLOT: 1}
    monitor.now += 3600 * hours
    monitor.ask()
    monitor.report()
    monitor.now += 20
    monitor.ask()
    assert monitor.report().closed_through > SLOT + 30
    monitor.now = START + 34
    back = monitor.report(after=SLOT)
    assert (back.first_slot, back.closed_through) == (SLOT + 4, SLOT + 3)
    assert (back.counted, back.windows) == (3, {}), "what was counted in no man's time is lost"
    monitor.ask()
    monitor.now = START + 52
    report = monitor.report(after=SLOT)
    assert requests(report) == {SLOT + 4: 1}
    assert report.counted == 4
    assert monitor.label(3) is Outcome.LATE
    assert monitor.label(4) is Outcome.ACCEPTED


def test_a_monitor_that_starts_when_the_clock_was_far_ahead_is_not_silent() -> None:
    monitor = Monitor(first_slot=SLOT + 1000)
    monitor.ask()
    report = monitor.report()
    assert (report.first_slot, report.closed_through, report.counted) == (SLOT + 1, SLOT, 1)


def test_a_clock_that_was_far_ahead_between_two_marks_leaves_no_open_slot() -> None:
    monitor = Monitor()
    monitor.ask(arrival=START + 7200)
    monitor.now = START + 5
    report = monitor.report()
    assert (report.counted, report.closed_through) == (1, SLOT)


def test_a_clock_that_is_set_back_a_little_costs_nothing() -> None:
    monitor = Monitor()
    monitor.ask()
    monitor.now = START + 32
    monitor.report()
    monitor.now -= 29
    monitor.ask()
    monitor.report()
    monitor.now += 60
    assert requests(monitor.report()) == {SLOT: 1, SLOT + 3: 1}


class Sent:
    """What a channel sends."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._reader = Reader()
        self._records: list[Record] = []
        channel.attach(self._ours, [])

    async def until(self, done: Callable[[Record], bool]) -> list[Record]:
        """All records up to the first that is `done`."""
        loop = asyncio.get_running_loop()
        while not any(map(done, self._records)):
            self._records += self._reader.feed(await loop.sock_recv(self._theirs, 1 << 20))
        end = next(n for n, record in enumerate(self._records) if done(record)) + 1
        found, self._records = self._records[:end], self._records[end:]
        return found

    def close(self) -> None:
        self._channel.detach()
        self._theirs.close()


def answered(sequence: int, arrival: float) -> Record:
    return Record(Kind.ANSWERED, status=200, arrival=arrival, sequence=sequence, revision="r1")


async def test_a_clock_set_back_far_is_told_at_once_and_behind_what_came_before() -> None:
    channel = Channel(asyncio.get_running_loop())
    channel.mark(1e6)
    channel.send(answered(1, 1e6))
    channel.mark(2e6)  # the first one waits, so this one need not be told
    channel.count(Kind.ANSWERED, 200, 2e6, 3, "r1", 0.001)
    channel.mark(1e6 + 9)
    assert channel.marked == 1e6 + 9
    sent = Sent(channel)
    records = await sent.until(lambda record: record.arrival == 1e6 + 9)
    assert [r.kind for r in records] == [Kind.MARK, Kind.ANSWERED, Kind.TALLY, Kind.MARK]
    assert records[-1].sequence == 2
    sent.close()


async def test_a_request_that_seems_to_come_from_another_time_counts_in_the_present() -> None:
    channel = Channel(asyncio.get_running_loop())
    channel.mark(9e6)
    channel.mark(1e6)
    channel.send(answered(1, 1e6 + 29))
    channel.send(answered(2, 9e6))
    channel.count(Kind.ANSWERED, 200, 9e6, 3, "r1", 0.001)
    sent = Sent(channel)
    records = await sent.until(lambda record: record.sequence == 2)
    assert [r.arrival for r in records[-2:]] == [1e6 + 29, 1e6]
    channel.mark(1e6 + 1)
    tally, _ = await sent.until(lambda record: record.kind is Kind.MARK)
    assert json.loads(tally.request)["key"][0] == 1e5
    sent.close()
