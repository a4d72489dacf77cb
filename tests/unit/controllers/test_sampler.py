"""The sampler: each window of a rollout is asked for once, and nobody waits for an answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest
from tests.fakes import FakePrometheus
from tests.patience import DEADLINE_SECONDS
from typing_extensions import override

from tidegate.api.meta import ObjectKey
from tidegate.controllers import sampler as module
from tidegate.controllers.sampler import (
    KEPT_SLOTS,
    PATIENCE_SECONDS,
    SETTLE_SECONDS,
    Sampler,
    Wanted,
)
from tidegate.errors import TerminalError, TransientError
from tidegate.evidence.values import Question
from tidegate.evidence.windows import SLOT_SECONDS

KEY, OTHER = ObjectKey("Model", "growth", "churn"), ObjectKey("Model", "growth", "fraud")
QUESTION = Question("q", "conv({{revision}})", 3)
WANTED = Wanted((QUESTION,), ("new", "old"))
AFTER = 1000
FIRST = QUESTION.first_end(AFTER)
NEW, OLD = "conv(new)", "conv(old)"


class World:
    """A sampler over a fake Prometheus, with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at_end_of(FIRST - 1)
        self.prometheus = FakePrometheus()
        self.prometheus.answers = {NEW: 0.4, OLD: 0.5}
        self.news: list[ObjectKey] = []
        self.problems: list[str] = []
        self.came: Counter[str] = Counter()
        self.sampler = self.restarted()

    def restarted(self) -> Sampler:
        """A sampler that knows nothing, as after a crash."""
        self.sampler = Sampler(
            self.prometheus,
            lambda: self.now,
            self.news.append,
            self.problems.append,
            lambda result: self.came.update([result]),
        )
        return self.sampler

    def at_end_of(self, slot: int) -> None:
        self.now = (slot + 1) * SLOT_SECONDS + SETTLE_SECONDS

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not holds():  # noqa: ASYNC110 - it happens in the sampler's task
                await asyncio.sleep(0.002)

    async def closed(self, slot: int, key: ObjectKey = KEY) -> None:
        """Poll until windows up to this slot have been asked for."""
        await self.until(lambda: (self.sampler.sampled(key).closed_through or 0) >= slot)

    def values(self, key: ObjectKey = KEY) -> dict[tuple[int, str], float | None]:
        return {(k.slot, k.revision): v for k, v in self.sampler.sampled(key).values.items()}


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    world = World()
    yield world
    await world.sampler.close()


async def test_each_window_is_asked_for_once_at_its_end(world: World) -> None:
    world.at_end_of(FIRST + 3)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.closed(FIRST + 3)
    world.sampler.follow(KEY, WANTED, after=AFTER)  # as each look does
    ends = [(slot + 1) * SLOT_SECONDS for slot in (FIRST, FIRST + 3)]
    assert world.prometheus.asked == [(q, float(end)) for end in ends for q in (NEW, OLD)]
    assert world.values() == {
        (FIRST, "new"): 0.4, (FIRST, "old"): 0.5, (FIRST + 3, "new"): 0.4, (FIRST + 3, "old"): 0.5,
    }  # fmt: skip
    assert world.sampler.sampled(KEY).closed_through == FIRST + 5
    assert set(world.news) == {KEY}
    assert world.came == {"value": 4}


async def test_a_window_is_not_asked_for_before_it_has_ended(world: World) -> None:
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await asyncio.sleep(0.05)
    assert world.prometheus.asked == []
    assert world.sampler.sampled(KEY).closed_through == FIRST - 1


async def test_without_a_rollout_or_a_server_nothing_is_asked(world: World) -> None:
    world.at_end_of(FIRST + 3)
    world.sampler.follow(KEY, Wanted(), after=0)
    deaf = Sampler(None, lambda: world.now, world.news.append)
    deaf.follow(KEY, WANTED, after=AFTER)
    await asyncio.sleep(0.05)
    assert (world.prometheus.asked, world.news) == ([], [])
    assert not deaf.has_server
    assert world.sampler.has_server
    for one in (world.sampler, deaf):
        assert one.sampled(KEY).closed_through is None
    await deaf.close()


async def test_a_server_that_comes_back_is_asked_again_and_no_window_is_lost(world: World) -> None:
    world.prometheus.answers[OLD] = TransientError("no connection")
    world.at_end_of(FIRST)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.until(lambda: world.prometheus.asked.count((OLD, (FIRST + 1) * 10.0)) > 2)
    assert world.sampler.sampled(KEY).closed_through == FIRST - 1
    assert world.sampler.sampled(KEY).problem == ""
    world.prometheus.answers[OLD] = 0.5
    await world.closed(FIRST)
    assert world.values() == {(FIRST, "new"): 0.4, (FIRST, "old"): 0.5}
    assert world.prometheus.asked.count((NEW, (FIRST + 1) * 10.0)) == 1


async def test_a_window_without_an_answer_in_time_is_missing_and_the_next_ones_go_on(
    world: World,
) -> None:
    world.prometheus.answers[OLD] = TransientError("no connection")
    world.at_end_of(FIRST)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.until(lambda: world.came["failed"] > 0)
    world.at_end_of(FIRST + 6)
    world.now += PATIENCE_SECONDS - SETTLE_SECONDS - 1
    await world.closed(FIRST + 3)
    assert world.values()[FIRST, "old"] is None
    assert world.values()[FIRST + 3, "old"] is None
    assert world.sampler.sampled(KEY).problem == "no connection"
    assert world.came["failed"] > 0
    assert world.problems == [f"{KEY}: no connection"]
    world.prometheus.answers[OLD] = 0.5
    await world.closed(FIRST + 6)
    assert world.values()[FIRST + 6, "old"] == 0.5
    assert world.sampler.sampled(KEY).problem == ""


async def test_the_patience_of_a_rollout_begins_with_it(world: World) -> None:
    world.prometheus.answers[NEW] = TransientError("no connection")
    world.at_end_of(FIRST)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.until(lambda: world.came["failed"] > 0)
    world.sampler.follow(KEY, Wanted(), after=0)
    world.at_end_of(FIRST + 300)
    failed = world.came["failed"]
    world.sampler.follow(KEY, WANTED, after=FIRST + 270)
    await world.until(lambda: world.came["failed"] > failed)
    await asyncio.sleep(0)
    assert world.sampler.sampled(KEY).problem == ""
    world.prometheus.answers[NEW] = 0.4
    await world.closed(FIRST + 300)
    assert None not in world.values().values()


async def test_what_is_refused_is_missing_at_once_and_said(world: World) -> None:
    world.prometheus.answers[NEW] = TerminalError("QueryRefused", "parse error")
    world.at_end_of(FIRST)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.closed(FIRST)
    assert world.values() == {(FIRST, "new"): None, (FIRST, "old"): 0.5}
    assert world.sampler.sampled(KEY).problem == "parse error"
    assert world.came == {"refused": 1, "value": 1}
    assert len(world.prometheus.asked) == 2


async def test_an_empty_answer_is_missing_and_no_problem(world: World) -> None:
    world.prometheus.answers[NEW] = None
    world.at_end_of(FIRST)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.closed(FIRST)
    assert world.values() == {(FIRST, "new"): None, (FIRST, "old"): 0.5}
    assert (world.sampler.sampled(KEY).problem, world.problems) == ("", [])
    assert world.came == {"empty": 1, "value": 1}


async def test_a_model_whose_answers_do_not_come_keeps_no_other_waiting(world: World) -> None:
    hung = asyncio.Event()

    class Hanging(FakePrometheus):
        @override
        async def value(self, query: str, at: float) -> float | None:
            if "stuck" in query:
                await hung.wait()
            return 1.0

    world.prometheus = Hanging()
    world.restarted()
    world.at_end_of(FIRST)
    stuck = Wanted((Question("s", "stuck({{revision}})", 3),), ("new", "old"))
    world.sampler.follow(KEY, stuck, after=AFTER)
    world.sampler.follow(OTHER, WANTED, after=AFTER)
    await world.closed(FIRST, OTHER)
    assert world.values(KEY) == {}


async def test_an_operator_that_comes_back_asks_for_what_it_has_missed(world: World) -> None:
    world.at_end_of(FIRST + 3)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.closed(FIRST + 3)
    before = world.sampler.sampled(KEY)
    await world.sampler.close()
    world.restarted().follow(KEY, WANTED, after=AFTER)
    await world.closed(FIRST + 3)
    assert world.sampler.sampled(KEY) == before


async def test_what_was_missed_is_not_given_up_for_one_question_without_an_answer(
    world: World,
) -> None:
    world.prometheus.answers[OLD] = TransientError("no connection")
    last = FIRST + 3 * 20
    world.at_end_of(last)  # ten minutes, in which no operator was there
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.until(lambda: world.came["failed"] > 0)
    world.prometheus.answers[OLD] = 0.5
    await world.closed(last)
    assert world.values()[FIRST, "old"] == 0.5
    assert None not in world.values().values()


async def test_nobody_asks_for_more_than_an_hour(world: World) -> None:
    world.at_end_of(AFTER + 2 * KEPT_SLOTS)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.closed(AFTER + 2 * KEPT_SLOTS - 3)
    assert min(slot for slot, _ in world.values()) > AFTER + KEPT_SLOTS


async def test_values_stay_an_hour_for_whoever_records_them(world: World) -> None:
    world.at_end_of(FIRST)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.closed(FIRST)
    world.at_end_of(FIRST + KEPT_SLOTS - 1)
    world.sampler.follow(KEY, Wanted(), after=0)
    await asyncio.sleep(0.02)
    assert len(world.values()) == 2
    assert len(world.prometheus.asked) == 2
    world.at_end_of(FIRST + KEPT_SLOTS + 1)
    world.sampler.follow(KEY, Wanted(), after=0)
    assert world.values() == {}


async def test_another_candidate_is_asked_about_from_its_own_beginning(world: World) -> None:
    world.at_end_of(FIRST)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.closed(FIRST)
    world.prometheus.answers["conv(newer)"] = 0.6
    world.at_end_of(FIRST + 6)
    world.sampler.follow(KEY, Wanted((QUESTION,), ("newer", "old")), after=FIRST + 2)
    await world.closed(FIRST + 6)
    assert {slot for slot, revision in world.values() if revision == "newer"} == {FIRST + 6}


async def test_windows_are_asked_for_again_when_the_clock_was_set_back(world: World) -> None:
    tomorrow = 8640
    world.at_end_of(FIRST + tomorrow)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.closed(FIRST + tomorrow)
    world.at_end_of(FIRST)
    world.sampler.follow(KEY, WANTED, after=AFTER)
    await world.until(lambda: set(world.values()) == {(FIRST, "new"), (FIRST, "old")})


async def test_what_is_forgotten_is_not_asked_for(world: World) -> None:
    world.sampler.follow(KEY, WANTED, after=AFTER)
    world.sampler.forget(KEY)
    world.at_end_of(FIRST)
    await asyncio.sleep(0.02)
    assert world.prometheus.asked == []
    assert world.sampler.sampled(KEY).values == {}
