"""The decision log: every decision once, and nobody waits for the store."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.patience import DEADLINE_SECONDS

from tidegate.api.meta import ObjectKey, ObjectMeta, timestamp
from tidegate.api.names import MODEL
from tidegate.api.v1alpha1.model_status import DecisionStatus
from tidegate.controllers import decision_log
from tidegate.controllers.decision_log import DecisionLog
from tidegate.errors import TerminalError, TidegateError, TransientError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = ObjectKey(MODEL, "growth", "churn")
META = ObjectMeta(name="churn", namespace="growth", uid="0a1b")


class Bucket:
    """A store in memory; it refuses while `trouble` is set."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.trouble: TidegateError | None = None
        self.asked = asyncio.Event()

    async def put(self, key: str, body: bytes) -> None:
        await asyncio.sleep(0)
        self.asked.set()
        if self.trouble is not None:
            raise self.trouble
        self.objects[key] = body

    def decisions(self) -> list[dict[str, Any]]:
        return [json.loads(self.objects[key]) for key in sorted(self.objects)]

    def ids(self) -> list[str]:
        return [d["id"] for d in self.decisions()]


def decided(first: int, last: int, at: datetime = NOW) -> tuple[DecisionStatus, ...]:
    return tuple(
        DecisionStatus(
            id=f"d-{i:04d}",
            at=timestamp(at),
            action="Advance",
            revision="churn-1",
            reason="AnalysisPassed",
        )
        for i in range(first, last + 1)
    )


@asynccontextmanager
async def operator(bucket: Bucket) -> AsyncIterator[tuple[DecisionLog, Counter[str]]]:
    """As long as it lives, lines are on their way; it ends as a killed process does."""
    counted: Counter[str] = Counter()
    log = DecisionLog(bucket, lambda result: counted.update([result]))
    task = asyncio.create_task(log.run())
    yield log, counted
    task.cancel()
    await asyncio.wait([task])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds():  # noqa: ASYNC110 - the log has nobody to tell
            await asyncio.sleep(0.001)


async def written(log: DecisionLog, counted: Counter[str], lines: int) -> None:
    await until(lambda: counted["written"] >= lines and not log.waiting)


async def test_each_decision_is_written_once() -> None:
    bucket = Bucket()
    async with operator(bucket) as (log, counted):
        for last in (1, 1, 3, 3):
            log.offer(KEY, META, decided(1, last), NOW)
        await written(log, counted, 3)
        assert bucket.ids() == ["d-0001", "d-0002", "d-0003"]
        # The status keeps the last ones only; numbers begin anew when it was lost.
        log.offer(KEY, META, decided(3, 22), NOW)
        log.offer(KEY, META, decided(1, 1, NOW + timedelta(minutes=1)), NOW)
        await written(log, counted, 23)
        assert counted == {"written": 23}
        assert len(bucket.objects) == 23
    assert bucket.decisions()[0]["model"] == "churn"


async def test_a_successor_writes_what_was_left_to_the_same_places() -> None:
    bucket = Bucket()
    async with operator(bucket) as (log, counted):
        log.offer(KEY, META, decided(1, 6), NOW)
        await written(log, counted, 5)  # the newest ones of a Model that was not looked at before
        before = dict(bucket.objects)
        bucket.trouble = TransientError("down")
        log.offer(KEY, META, decided(1, 8), NOW)
    bucket.trouble = None
    async with operator(bucket) as (log, counted):
        log.offer(KEY, META, decided(1, 8), NOW + timedelta(hours=1))
        await written(log, counted, 5)
    assert bucket.ids() == [f"d-{i:04d}" for i in range(2, 9)]
    assert before.items() <= bucket.objects.items()
    assert counted == {"written": 5}


async def test_an_operator_that_starts_leaves_old_decisions_alone() -> None:
    bucket = Bucket()
    async with operator(bucket) as (log, counted):
        log.offer(KEY, META, decided(1, 20), NOW + timedelta(days=2))
        log.offer(KEY, META, (*decided(2, 20), *decided(21, 21, NOW + timedelta(days=2))), NOW)
        await written(log, counted, 1)
    assert bucket.ids() == ["d-0021"]


@pytest.mark.parametrize(
    "trouble", [TransientError("down"), TerminalError("AccessDenied", "no s3:PutObject")]
)
async def test_trouble_is_waited_for(
    trouble: TidegateError, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_log, "FIRST_PAUSE_SECONDS", 0.001)
    bucket = Bucket()
    bucket.trouble = trouble
    async with operator(bucket) as (log, counted):
        log.offer(KEY, META, decided(1, 3), NOW)
        await until(lambda: counted["failed"] >= 4)
        assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
        bucket.trouble = None
        await written(log, counted, 3)
    assert bucket.ids() == ["d-0001", "d-0002", "d-0003"]


async def test_what_waits_is_bounded_and_the_oldest_lines_are_counted_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decision_log, "MOST_WAITING", 10)
    monkeypatch.setattr(decision_log, "FIRST_PAUSE_SECONDS", 0.001)
    bucket = Bucket()
    bucket.trouble = TransientError("down")
    async with operator(bucket) as (log, counted):
        log.offer(KEY, META, decided(1, 1), NOW)
        await bucket.asked.wait()
        for last in range(2, 31):
            log.offer(KEY, META, decided(max(1, last - 5), last), NOW)
        assert log.waiting <= 10
        bucket.trouble = None
        await written(log, counted, 10)
    assert counted["dropped"] == 20
    assert bucket.ids() == [f"d-{i:04d}" for i in range(21, 31)]


async def test_a_model_that_comes_back_under_its_name_is_another_one() -> None:
    bucket = Bucket()
    async with operator(bucket) as (log, counted):
        log.offer(KEY, META, decided(1, 1), NOW)
        log.forget(KEY)
        log.offer(KEY, META.model_copy(update={"uid": "ffff"}), decided(1, 1), NOW)
        await written(log, counted, 2)
    assert {d["uid"] for d in bucket.decisions()} == {"0a1b", "ffff"}
