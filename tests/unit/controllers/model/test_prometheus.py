"""A Model whose rollout asks Prometheus, through an operator that is restarted all the time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes import FakePrometheus
from tests.patience import DEADLINE_SECONDS
from tests.unit.controllers.model.scenes import NEW_DIGEST, OLD_DIGEST
from tests.unit.controllers.model.test_reconcile import ERRORS, KEY, NEW, OLD, World
from typing_extensions import override

from tidegate.api.v1alpha1.model_status import MetricStatus
from tidegate.controllers import sampler as sampler_module
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.sampler import SETTLE_SECONDS, Sampler
from tidegate.errors import TerminalError, TransientError
from tidegate.evidence.values import ValueKey, question_of
from tidegate.evidence.windows import SLOT_SECONDS, slot_of
from tidegate.rollout.analysis import Evidence, weigh_again

CONVERSION = {
    "name": "conversion",
    "source": "Prometheus",
    "query": "conv({{revision}})",
    "window": "10s",
    "range": {"min": "0", "max": "1"},
    "maxAbsoluteDrop": "0.2",
    "onBreach": "Rollback",
}


class Asking(World):
    """A world with a Prometheus, whose operator lives for two looks."""

    metrics: tuple[Mapping[str, Any], ...] = (ERRORS, CONVERSION)

    def __init__(self, *, candidate: float | Exception | None, has_server: bool = True) -> None:
        self.prometheus = FakePrometheus()
        self.prometheus.answers = {f"conv({NEW})": candidate, f"conv({OLD})": 0.6}
        self.sampler: Sampler | None = None
        self.has_server = has_server
        super().__init__(error=0.0)

    @override
    def _operator(self) -> Cluster:
        cluster = super()._operator()
        if self.has_server:
            self.sampler = Sampler(
                self.prometheus, lambda: self.now.timestamp() + SETTLE_SECONDS, lambda _: None
            )
            cluster.sampler = self.sampler
        return cluster

    async def asked(self) -> None:
        """Wait until the sampler has asked for all that has ended."""
        now = slot_of(self.now.timestamp())
        if self.sampler is not None:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while (self.sampler.sampled(KEY).closed_through or now) < now - 1:  # noqa: ASYNC110 - it happens in the sampler's task
                    await asyncio.sleep(0.001)

    async def delivered(self, lives: int = 20) -> None:
        await self.want(OLD_DIGEST)
        await self.run(4)
        await self.want(NEW_DIGEST)
        for _ in range(lives):
            await self.run(1)
            await self.asked()
            await self.run(1)
            if self.sampler is not None:
                await self.sampler.close()
            self.cluster = self._operator()

    def condition(self, kind: str) -> tuple[str, str, str]:
        found = self.model().status.condition(kind)
        assert found is not None
        return found.status, found.reason, found.message

    def result(self) -> MetricStatus:
        """The newest that was said of the conversion."""
        status = self.model().status
        told = [d.metrics for d in status.decisions if d.metrics]
        metrics = status.rollout.metrics if status.rollout and status.rollout.metrics else told[-1]
        return next(m for m in metrics if m.name == "conversion")


async def test_a_candidate_that_converts_as_well_is_promoted_and_no_window_counts_twice() -> None:
    world = Asking(candidate=0.6)
    await world.delivered()
    status = world.model().status
    assert status.stable is not None
    assert status.stable.revision == NEW
    passed = next(d for d in status.decisions if d.reason == "AnalysisPassed")
    (seen,) = (m for m in passed.metrics if m.name == "conversion")
    assert passed.evidence is not None
    assert passed.evidence.values_through is not None
    windows = passed.evidence.values_through - passed.evidence.after
    assert seen.windows is not None
    assert windows - 2 <= seen.windows <= windows


async def test_a_candidate_that_converts_less_is_rolled_back_and_told_with_numbers() -> None:
    world = Asking(candidate=0.05)
    await world.delivered()
    status = world.model().status
    assert [r.reason for r in status.rejected] == ["MetricBreached"]
    (told,) = (d.message for d in status.decisions if d.action == "RollBack")
    assert told.startswith("conversion: 0.05 against 0.6 on stable, the means of ")
    assert "lower; tolerance -0.2." in told


@pytest.mark.parametrize(
    ("candidate", "guarded"),
    [
        pytest.param(None, "AnalysisConfigured", id="an empty answer"),
        pytest.param(TerminalError("QueryRefused", "no such function"), "MetricUnanswered",
                     id="a refusal"),
    ],
)  # fmt: skip
async def test_without_values_there_is_no_verdict(
    candidate: Exception | None, guarded: str
) -> None:
    world = Asking(candidate=candidate)
    await world.delivered(8)
    rollout = world.model().status.rollout
    assert rollout is not None
    assert (rollout.step.index, rollout.reason) == (1, "AwaitingSamples")
    seen = world.result()
    assert (seen.verdict, seen.windows, seen.samples) == ("Inconclusive", 0, 0)
    assert (seen.missing or 0) > 5
    await world.run(1)
    await world.asked()
    await world.run(1)
    assert world.condition("Guarded")[1] == guarded


async def test_an_operator_without_a_prometheus_says_so_and_waits() -> None:
    world = Asking(candidate=0.6, has_server=False)
    await world.delivered(8)
    rollout = world.model().status.rollout
    assert rollout is not None
    assert (rollout.step.index, rollout.reason) == (1, "AwaitingSamples")
    assert "conversion" in rollout.message
    status, reason, message = world.condition("Guarded")
    assert (status, reason) == ("False", "NoPrometheus")
    assert "prometheus.url" in message
    assert world.result().verdict == "Inconclusive"


async def test_nobody_is_asked_before_and_after_a_rollout() -> None:
    world = Asking(candidate=0.6)
    await world.want(OLD_DIGEST)
    await world.run(6)
    assert world.prometheus.asked == []
    await world.delivered()
    before = len(world.prometheus.asked)
    await world.run(5)
    await asyncio.sleep(0.02)
    assert len(world.prometheus.asked) == before


async def test_a_model_without_such_a_metric_asks_nobody() -> None:
    world = Asking(candidate=0.6)
    world.metrics = (ERRORS,)
    await world.delivered()
    assert world.prometheus.asked == []


class Waves(FakePrometheus):
    """Says something else of each window, so that no mistake goes unseen; may be out of reach."""

    def __init__(self, candidate: float) -> None:
        super().__init__()
        self.level = {f"conv({NEW})": candidate, f"conv({OLD})": 0.6}
        self.failing = 0
        """So many questions more are not answered."""

    @override
    async def value(self, query: str, at: float) -> float | None:
        if self.failing:
            self.failing -= 1
            raise TransientError("no connection")
        return self.said(query, round(at / SLOT_SECONDS) - 1)

    def said(self, query: str, slot: int) -> float:
        return self.level[query] + (slot * 7 + len(query) + ord(query[-2])) % 11 / 1000


EVENTS = st.sampled_from(["nothing", "die before", "die after", "no answer"])


@given(
    st.lists(st.tuples(EVENTS, st.integers(1, 5)), min_size=18, max_size=18),
    st.sampled_from([0.6, 0.05]),
)
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_whenever_it_dies_and_whoever_is_away_no_window_is_lost_or_counted_twice(
    monkeypatch: pytest.MonkeyPatch, events: list[tuple[str, int]], candidate: float
) -> None:
    """Every process lives for two looks; in some it dies at a write, in some nobody answers."""
    monkeypatch.setattr(sampler_module, "AGAIN_SECONDS", 0.001)
    world = asyncio.run(_lived(events, candidate))
    status, analysis = world.model().status, world.model().spec.delivery.analysis
    assert isinstance(world.prometheus, Waves)
    question = question_of((analysis.metrics or ())[1])
    assert question is not None
    last = slot_of(world.now.timestamp())
    truth = Evidence(
        world.windows,
        {},
        last,
        last,
        values={
            ValueKey(slot, question.id, name): world.prometheus.said(f"conv({name})", slot)
            for slot in range(last - 200, last)
            for name in (OLD, NEW)
        },
        values_closed_through=last,
    )
    weighed = [d for d in status.decisions if d.evidence is not None]
    assert weighed
    for decision in weighed:
        assert decision.evidence is not None
        again = weigh_again(analysis, decision.evidence, decision.revision, truth)
        assert again.evidence == decision.evidence
        assert again.results == decision.metrics
    assert status.decisions[-1].action == ("Promote" if candidate == 0.6 else "RollBack")


async def _lived(events: list[tuple[str, int]], candidate: float) -> Asking:
    world = Asking(candidate=None)
    world.prometheus = Waves(candidate)
    world.cluster = world._operator()
    await world.want(OLD_DIGEST)
    await world.run(4)
    await world.want(NEW_DIGEST)
    for event, number in [*events, *[("nothing", 0)] * 8]:
        assert isinstance(world.prometheus, Waves)
        if event.startswith("die"):
            world.kube.dies_at, world.kube.after_effect = number, event == "die after"
        if event == "no answer":
            world.prometheus.failing = number
        sampler = world.sampler
        await world.run(1)
        await world.asked()
        await world.run(1)
        world.kube.dies_at = None
        for old in {sampler, world.sampler}:
            assert old is not None
            await old.close()
        world.cluster = world._operator()
    return world
