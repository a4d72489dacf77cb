import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.patience import DEADLINE_SECONDS

from tidegate.api.meta import ObjectKey
from tidegate.controllers.workqueue import WorkQueue

A, B = ObjectKey("Model", "ns", "a"), ObjectKey("Model", "ns", "b")
Handle = Callable[[ObjectKey], Awaitable[timedelta | None]]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def queue_at(clock: Callable[[], float]) -> WorkQueue:
    return WorkQueue(clock, jitter=lambda: 1.0)


async def running(
    queue: WorkQueue, handle: Handle, until: Callable[[], bool], workers: int
) -> None:
    """Run the queue until `until` holds; a deadline bounds it."""
    work = asyncio.create_task(queue.run(workers, handle))
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not until():  # noqa: ASYNC110 - what is waited for is the queue's own state
                await asyncio.sleep(0)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def test_works_once_on_a_key_that_was_added_twice() -> None:
    queue, done = queue_at(asyncio.get_running_loop().time), list[ObjectKey]()

    async def handle(key: ObjectKey) -> None:
        done.append(key)

    for key in (A, A, B, A):
        queue.add(key)
    await running(queue, handle, lambda: len(done) >= 2 and queue.depth == 0, workers=2)
    assert sorted(done) == [A, B]


async def test_works_again_on_a_key_that_was_added_during_its_work() -> None:
    queue, done = queue_at(asyncio.get_running_loop().time), list[ObjectKey]()

    async def handle(key: ObjectKey) -> None:
        if not done:
            queue.add(key)
        done.append(key)

    queue.add(A)
    await running(queue, handle, lambda: len(done) == 2, workers=3)
    assert done == [A, A]


async def test_comes_back_after_what_the_reconcile_asked_for() -> None:
    queue, times = queue_at(asyncio.get_running_loop().time), list[float]()

    async def handle(_: ObjectKey) -> timedelta | None:
        times.append(asyncio.get_running_loop().time())
        return timedelta(seconds=0.05) if len(times) == 1 else None

    queue.add(A)
    await running(queue, handle, lambda: len(times) == 2, workers=1)
    assert times[1] - times[0] >= 0.05


async def test_an_event_ends_a_wait() -> None:
    queue, done = queue_at(asyncio.get_running_loop().time), list[ObjectKey]()

    async def handle(key: ObjectKey) -> None:
        done.append(key)

    queue.add(A, delay=3600)
    queue.add(A)
    await running(queue, handle, lambda: len(done) == 1, workers=1)
    assert queue.depth == 0


async def test_a_worker_that_breaks_ends_the_run() -> None:
    queue = queue_at(asyncio.get_running_loop().time)

    async def handle(_: ObjectKey) -> None:
        raise ZeroDivisionError

    queue.add(A)
    with pytest.raises(ExceptionGroup):
        await queue.run(2, handle)
    assert queue.workers == 0


def test_the_earliest_time_wins() -> None:
    clock = Clock()
    queue = queue_at(clock)
    queue.add(A, delay=5)
    queue.add(A, delay=60)
    clock.now += 5
    assert queue.depth == 1
    queue.add(B, delay=60)
    queue.add(B, delay=1)
    clock.now += 1
    assert queue.depth == 2


def test_knows_how_long_the_oldest_key_has_been_due() -> None:
    clock = Clock()
    queue = queue_at(clock)
    assert queue.oldest_seconds == 0
    queue.add(A, delay=10)
    clock.now += 4
    assert queue.oldest_seconds == 0
    clock.now += 9
    assert queue.oldest_seconds == 3


def due_in(queue: WorkQueue, clock: Clock) -> float:
    start = clock.now
    while queue.depth == 0:
        clock.now += 0.125
    return clock.now - start


def test_backs_off_from_a_key_that_keeps_failing() -> None:
    waits = []
    clock = Clock()
    for failures in (1, 2, 3, 4, 30):
        queue = queue_at(clock)
        for _ in range(failures):
            queue.failed(A)
            queue._due.clear()
        queue._failures[A] -= 1
        queue.failed(A)
        waits.append(due_in(queue, clock))
    assert waits == [0.5, 1.0, 2.0, 4.0, 300.0]


def test_a_success_ends_the_back_off() -> None:
    clock = Clock()
    queue = queue_at(clock)
    for _ in range(5):
        queue.failed(B)
    queue.forget(B)
    queue.failed(A)
    assert due_in(queue, clock) == 0.5


def test_waits_as_long_as_the_server_asks() -> None:
    clock = Clock()
    queue = queue_at(clock)
    queue.failed(A, retry_after=7)
    assert due_in(queue, clock) == 7


@given(
    adds=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 0.0, 0.001])), max_size=40),
    again=st.lists(st.integers(0, 4), max_size=10),
    workers=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_never_two_of_one_key_at_once_and_nothing_is_lost(
    adds: list[tuple[int, float]], again: list[int], workers: int
) -> None:
    keys = [ObjectKey("Model", "ns", str(n)) for n in range(5)]
    left = [keys[n] for n in again]
    at_work, asked, started = set[ObjectKey](), dict[ObjectKey, int](), dict[ObjectKey, int]()
    ticks = 0

    def ask(queue: WorkQueue, key: ObjectKey, delay: float) -> None:
        nonlocal ticks
        ticks += 1
        asked[key] = ticks
        queue.add(key, delay)

    async def scenario() -> None:
        queue = queue_at(asyncio.get_running_loop().time)

        async def handle(key: ObjectKey) -> None:
            nonlocal ticks
            assert key not in at_work
            at_work.add(key)
            ticks += 1
            started[key] = ticks
            await asyncio.sleep(0)
            if left:
                ask(queue, left.pop(), 0.0)
            await asyncio.sleep(0)
            at_work.remove(key)

        for number, delay in adds:
            ask(queue, keys[number], delay)
        await running(
            queue,
            handle,
            # Every key that was asked for was started after it was asked for the last time.
            lambda: all(started.get(k, 0) > tick for k, tick in asked.items()) and not at_work,
            workers,
        )

    asyncio.run(scenario())
