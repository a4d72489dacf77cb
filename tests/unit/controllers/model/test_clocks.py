"""Clocks that are set, far ahead and back: no step gets shorter, and no evidence is passed over."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.controllers.model.scenes import NEW_DIGEST, NOW, OLD, OLD_DIGEST, model, pod, wanted
from tests.unit.controllers.model.test_reconcile import NEW
from tests.unit.controllers.model.test_restarts import CountingWorld
from typing_extensions import override

from tidegate.api.meta import Condition, ObjectKey, parse_timestamp, timestamp
from tidegate.api.v1alpha1.model_status import (
    DecisionStatus,
    ModelStatus,
    PreviousStatus,
    RolloutStatus,
    StepStatus,
)
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.looks import Looks
from tidegate.controllers.model.clocks import in_step, skewed
from tidegate.controllers.model.state import Observed

DAY, PAUSE = timedelta(days=1), timedelta(minutes=3)
PAUSED = {"canary": {"steps": [{"setWeight": 50}, {"pause": {"duration": "3m"}}]}}
ANALYSED = {"canary": {"steps": [{"setWeight": 50}, {"analysis": {"timeout": "1h"}}]}}
KEY = ObjectKey("Model", "growth", "churn")


class ClockWorld(CountingWorld):
    """All clocks of this world are one, and somebody sets it."""

    ahead = timedelta()

    def __init__(self, strategy: dict[str, Any], *, error: float = 0.0) -> None:
        super().__init__(error=error, wrong=0.05)
        self.strategy = strategy

    @property
    def truth_now(self) -> datetime:
        return self.now - self.ahead

    def set_clock(self, step: timedelta) -> None:
        self.ahead += step
        self.now += step

    @override
    def _clock(self) -> float:
        return self.truth_now.timestamp()

    @override
    def _operator(self) -> Cluster:
        cluster = super()._operator()
        cluster.looks = Looks(self._clock)
        return cluster

    async def begun(self) -> None:
        """A candidate that has its share."""
        await self.want(OLD_DIGEST)
        for _ in range(6):
            await self.look()
        await self.want(NEW_DIGEST)
        for _ in range(8):
            await self.look()
        assert self.rollout.step.index == 1

    async def looks(self, number: int) -> None:
        for _ in range(number):
            await self.look()

    @property
    def rollout(self) -> RolloutStatus:
        rollout = self.model().status.rollout
        assert rollout is not None
        return rollout

    @property
    def decisions(self) -> tuple[DecisionStatus, ...]:
        return self.model().status.decisions

    @property
    def samples(self) -> int:
        return max((m.samples for m in self.rollout.metrics), default=0)


async def test_a_clock_that_leaps_ahead_and_back_ends_no_pause() -> None:
    world = ClockWorld(PAUSED)
    await world.begun()
    began = world.truth_now
    world.set_clock(DAY)
    await world.looks(3)
    assert (world.rollout.step.index, world.rollout.reason) == (1, "Paused")
    world.set_clock(-DAY)
    await world.looks(3)
    assert (world.rollout.step.index, world.rollout.reason) == (1, "Paused")
    told = [(d.action, d.message) for d in world.decisions if d.reason == "ClockSet"]
    assert [action for action, _ in told] == ["Hold", "Hold"]
    assert "set ahead by 24h; the step goes on from where it was" in told[0][1]
    assert "set back by 24h" in told[1][1]
    assert "the analysis begins anew" in told[1][1]
    while world.rollout.state != "Promoted":
        await world.look()
    assert PAUSE - timedelta(minutes=1) <= world.truth_now - began <= PAUSE + timedelta(minutes=1)
    await world.end()


async def test_a_clock_that_leaps_ahead_runs_an_analysis_out_of_no_time() -> None:
    world = ClockWorld(ANALYSED)
    await world.begun()
    samples = world.samples
    world.set_clock(DAY)
    await world.looks(3)
    assert world.rollout.reason == "AwaitingSamples"
    assert world.samples > samples, "and what was counted before still counts"
    await world.end()


@pytest.mark.parametrize("restarted", [False, True], ids=["the same operator", "another one"])
async def test_a_bad_candidate_is_found_after_the_clock_was_set_back(*, restarted: bool) -> None:
    """Before, nothing was folded until the clock had come to where it had been."""
    world = ClockWorld(ANALYSED, error=0.1)
    world.set_clock(DAY)
    await world.begun()
    world.set_clock(-DAY)
    if restarted:
        await world.restart()
    await world.looks(2)
    assert world.decisions[-1].reason == "ClockSet"
    assert "the analysis begins anew" in world.decisions[-1].message
    before = world.truth_now
    while world.rollout.state == "Stepping":
        assert world.truth_now - before < timedelta(hours=1)
        await world.look()
    assert world.rollout.state == "RolledBack"
    (rejected,) = world.model().status.rejected
    assert (rejected.revision, rejected.reason) == (NEW, "MetricBreached")
    await world.end()


@given(
    steps=st.lists(st.tuples(st.integers(0, 20), st.integers(-200, 200)), max_size=4),
    error=st.sampled_from([0.0, 0.15]),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_however_clocks_are_set_the_end_is_the_same_and_comes_no_sooner(
    steps: list[tuple[int, int]], error: float
) -> None:
    async def lived() -> None:
        world = ClockWorld(PAUSED, error=error)
        await world.begun()
        began, looks = world.truth_now, 0
        while world.rollout.state == "Stepping":
            world.set_clock(timedelta(hours=sum(h for look, h in steps if look == looks)))
            await world.look()
            looks += 1
        await world.end()
        assert world.rollout.state == ("RolledBack" if error else "Promoted")
        if not error:
            assert world.truth_now - began >= PAUSE - timedelta(minutes=1)

    asyncio.run(lived())


def test_only_a_clock_that_is_set_far_is_noticed() -> None:
    ticks = 0.0
    looks = Looks(lambda: ticks)
    assert looks.begin(KEY, NOW) == timedelta()
    looks.done(KEY)
    ticks = 100.0
    later = NOW + timedelta(seconds=100)
    assert looks.begin(KEY, later + timedelta(seconds=30)) == timedelta()
    assert looks.begin(KEY, later + DAY) == DAY
    assert looks.begin(KEY, later - DAY) == -DAY, "until a look is carried out"
    looks.done(KEY)
    assert looks.begin(KEY, later - DAY) == timedelta()
    looks.forget(KEY)
    assert looks.begin(KEY, NOW) == timedelta()


def test_a_look_that_takes_long_is_no_clock_that_was_set() -> None:
    ticks = 0.0
    looks = Looks(lambda: ticks)
    looks.begin(KEY, NOW)
    ticks = 90.0  # the API server was slow
    looks.done(KEY)
    ticks = 95.0
    assert looks.begin(KEY, NOW + timedelta(seconds=95)) == timedelta()


@pytest.mark.parametrize("step", [timedelta(), DAY, -DAY])
@pytest.mark.parametrize("age", [timedelta(minutes=3), -DAY], ids=["past", "future"])
def test_times_of_a_status_move_with_the_clock_and_never_lie_ahead(
    step: timedelta, age: timedelta
) -> None:
    begun = NOW - age
    status = ModelStatus(
        rollout=RolloutStatus(
            revision="a", state="Stepping", step=StepStatus(started_at=timestamp(begun))
        ),
        previous=PreviousStatus(revision="b", warm_until=timestamp(NOW + PAUSE)),
        conditions=(
            Condition(
                type="Ready", status="True", reason="x", last_transition_time=timestamp(begun)
            ),
        ),
    )
    moved = in_step(status, step, NOW + step)
    assert moved.rollout is not None
    assert moved.previous is not None
    want = timestamp(min(begun + step, NOW + step))
    assert moved.rollout.step.started_at == want
    assert moved.conditions[0].last_transition_time == want
    assert parse_timestamp(moved.previous.warm_until) == NOW + PAUSE + step


def observed(skews: dict[int, float], pods: int = 4) -> Observed:
    there = tuple(replace(pod(OLD, i), name=f"churn-{i}", node=f"node-{i}") for i in range(pods))
    return Observed(
        model(),
        wanted(OLD),
        pods=there,
        confirmed={p.uid: 1 for p in there},
        skews={there[i].uid: seconds for i, seconds in skews.items()},
    )


@pytest.mark.parametrize(
    ("skews", "said"),
    [
        pytest.param({}, [], id="none"),
        pytest.param(
            {0: -600.0},
            ["churn-0 on node-0 is 10m behind.", "(NTP) on these nodes"],
            id="one behind",
        ),
        pytest.param({1: 86400.0}, ["churn-1 on node-1 is 24h ahead"], id="one ahead"),
        pytest.param(dict.fromkeys(range(4), 90.0), ["churn-2 on node-2 is 1m30s ahead and 1 more",
                     "on the operator's node first"], id="all"),
    ],
)  # fmt: skip
def test_whose_clock_is_wrong_is_told_with_its_node(
    skews: dict[int, float], said: list[str]
) -> None:
    told = skewed(observed(skews))
    assert bool(told) == bool(said)
    for part in said:
        assert part in told
