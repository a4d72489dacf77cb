"""No slot is lost and none counts twice, whenever the operator dies and whatever it had pulled.

The whole way is real: reports of pods, collector, analysis, plan, status. What every decision says
that it rests on is compared with what the pods have really counted.
"""

import asyncio
import base64
import json
import zlib
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes import FakeSidecars
from tests.unit.controllers.model.scenes import NEW_DIGEST, OLD_DIGEST
from tests.unit.controllers.model.test_reconcile import (
    ERRORS,
    NEW,
    SETTINGS,
    SIGNING_KEY,
    World,
)
from typing_extensions import override

from tidegate.clients.resources import CHILDREN, CUSTOM, ENDPOINT_SLICES
from tidegate.clients.sidecars import Target
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector
from tidegate.controllers.decision_log import DecisionLog
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.store import Store
from tidegate.errors import TransientError
from tidegate.evidence.windows import (
    BlockKey,
    Counts,
    Labels,
    Report,
    merged,
    merged_labels,
    slot_of,
)
from tidegate.rollout import analysis
from tidegate.rollout.analysis import Evidence, weigh_again
from tidegate.rollout.decision_line import parsed

PODS_EACH = 2
MISTAKEN_LOOK = 4  # while the first weight is analysed
LABELS_LATE = 2  # slots until the labels of a slot are complete
ACCURACY = {
    "name": "accuracy",
    "source": "LabelledAccuracy",
    "maxAbsoluteDrop": "0.1",
    "onBreach": "Rollback",
}


class Pods(FakeSidecars):
    """Pods that count by themselves, and tell what they are asked for unless they are silent."""

    def __init__(self) -> None:
        super().__init__()
        self.windows_of: dict[str, dict[BlockKey, Counts]] = {}
        self.labels_of: dict[str, dict[BlockKey, Labels]] = {}
        self.closed = 0
        self.generation = 0
        self.silent: set[str] = set()

    @override
    async def windows(self, target: Target, *, after: int, labels_after: int) -> Report:
        if target.uid in self.silent:
            raise TransientError("silent")
        counted = self.windows_of.get(target.uid, {})
        told = self.labels_of.get(target.uid, {})
        return Report(
            member=target.uid,
            revision=target.revision,
            generation=self.generation,
            first_slot=0,
            closed_through=self.closed,
            labels_closed_through=self.closed - LABELS_LATE,
            windows={k: c for k, c in counted.items() if after < k.slot <= self.closed},
            labels={k: n for k, n in told.items() if labels_after < k.slot <= self.closed},
        )

    @override
    async def push(self, target: Target, envelope: str) -> int:
        if target.uid in self.silent:
            raise TransientError("silent")
        return self.generation


class EagerCollector(Collector):
    """Asks without a pause, so that a test need not wait."""

    @override
    def follow(self, key: Any, targets: Any, **options: Any) -> None:
        super().follow(key, targets, **{**options, "every": 0.0})


class CountingWorld(World):
    """Two pods to a revision, each with windows and labels of its own."""

    metrics = (ERRORS, ACCURACY)
    logging: asyncio.Task[None]

    def __init__(self, *, error: float, wrong: float) -> None:
        self.pods = Pods()
        self.lines: dict[str, bytes] = {}
        self.wrong = wrong
        self.now: datetime
        super().__init__(error=error)

    async def put(self, key: str, body: bytes) -> None:
        """The store of the decision log."""
        self.lines[key] = body

    @override
    def _operator(self) -> Cluster:
        log = DecisionLog(self, lambda _result: None)
        self.logging = asyncio.create_task(log.run())
        return Cluster(
            SETTINGS,
            self.kube,
            Store((resource, None) for resource in (*CUSTOM, *CHILDREN)),
            EagerCollector(self.pods, self._clock, lambda _key: None),
            SIGNING_KEY,
            Metrics(),
            lambda: self.now,
            decision_log=log,
        )

    def _clock(self) -> float:
        return self.now.timestamp()

    async def look(self) -> None:
        """Ten seconds of the world, and what the operator makes of them."""
        before, logging = self.cluster.collector, self.logging
        await self.run(1)
        if self.cluster.collector is not before:
            logging.cancel()
            await before.close()
        for _ in range(60):  # the pods are asked meanwhile
            await asyncio.sleep(0)

    async def restart(self) -> None:
        """The process ends between two looks, with whatever it had pulled."""
        await self.end()
        self.cluster = self._operator()

    async def end(self) -> None:
        self.logging.cancel()
        await self.cluster.collector.close()

    @override
    def _kubelet(self) -> None:
        super()._kubelet()
        for (resource, _, name), piece in self.kube.objects.items():
            if resource == ENDPOINT_SLICES:
                (endpoint, *_) = piece["endpoints"]
                piece["endpoints"] = [
                    {**endpoint, "targetRef": {"uid": f"{name}-{i}"}, "addresses": [f"10.0.0.{i}"]}
                    for i in range(PODS_EACH)
                ]

    @override
    def _clients(self) -> None:
        routing = self.routing()
        self.pods.closed = slot_of(self.now.timestamp()) - 1
        if routing is None:
            return
        self.pods.generation = routing.generation
        share = routing.candidate.weight / 100 if routing.candidate else 0.0
        parts = {routing.stable: 1 - share}
        if routing.candidate is not None:
            parts[routing.candidate.revision] = share
        for revision, part in parts.items():
            for i in range(PODS_EACH):
                self._count(f"{revision}-{i}", revision, routing.generation, 1000 * part, i)

    def _count(self, uid: str, revision: str, generation: int, mean: float, pod: int) -> None:
        """What a pod answers in a slot: never the same twice, so that no mistake goes unseen."""
        slot = self.pods.closed
        n = int(mean) + (7 * slot + 3 * pod) % 11
        error, wrong = (self.error, self.wrong) if revision == NEW else (0.0, 0.05)
        failed = round(n * error)
        key = BlockKey(slot, generation, revision)
        errors = {"5xx": failed} if failed else {}
        self.pods.windows_of.setdefault(uid, {})[key] = Counts(requests=n, errors=errors)
        late = BlockKey(slot - LABELS_LATE + 1, generation, revision)
        labels = Labels(n // 2, round(n // 2 * wrong))
        self.pods.labels_of.setdefault(uid, {})[late] = labels

    def truth(self) -> Evidence:
        """What all pods have counted."""
        windows = merged(self.pods.windows_of.values())
        return Evidence(windows, merged_labels(self.pods.labels_of.values()), None, None)


EVENTS = st.sampled_from(
    ["nothing", "nothing", "restart", "die before", "die after", "silence", "restart and silence"]
)


@given(
    events=st.lists(st.tuples(EVENTS, st.integers(1, 4)), min_size=16, max_size=16),
    arms=st.sampled_from([(0.0, 0.05), (0.1, 0.05), (0.0, 0.4)]),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_decision_rests_on_each_slot_once(
    events: list[tuple[str, int]], arms: tuple[float, float]
) -> None:
    world = asyncio.run(_lived(events, *arms))
    _check_evidence(world)
    status = world.model().status
    logged = parsed(world.lines[key].decode() for key in sorted(world.lines))
    assert tuple(line.decision for line in logged) == status.decisions
    # However often it died, it got to a verdict in the end.
    assert status.decisions[-1].action in ("Promote", "RollBack")
    assert (status.decisions[-1].action == "Promote") == (arms == (0.0, 0.05))


@pytest.mark.parametrize("mistake", [-1, 1], ids=["a slot twice", "a slot not at all"])
def test_a_cursor_that_is_off_by_one_slot_would_be_found(
    mistake: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The property has teeth: it fails for an operator that folds a slot twice, or none."""
    weigh, looks = analysis.weigh, count()

    def mistaken(*asked: Any) -> analysis.Weighed:
        weighed = weigh(*asked)
        if next(looks) != MISTAKEN_LOOK:
            return weighed
        kept = json.loads(zlib.decompress(base64.b64decode(weighed.cursor)))
        kept["slot"] += mistake
        packed = base64.b64encode(zlib.compress(json.dumps(kept).encode()))
        return replace(weighed, cursor=packed.decode())

    monkeypatch.setattr(analysis, "weigh", mistaken)
    world = asyncio.run(_lived([("nothing", 1)] * 16, 0.0, 0.05))
    assert next(looks) > MISTAKEN_LOOK
    with pytest.raises(AssertionError):
        _check_evidence(world)


def _check_evidence(world: CountingWorld) -> None:
    """What the decisions say that they rest on is what the pods have counted, to the last count."""
    status, truth = world.model().status, world.truth()
    judged = [(d.evidence, d.revision, d.metrics) for d in status.decisions if d.evidence]
    if status.rollout is not None and status.rollout.evidence is not None:
        judged.append((status.rollout.evidence, status.rollout.revision, status.rollout.metrics))
    for used, candidate, metrics in judged:
        again = weigh_again(world.model().spec.delivery.analysis, used, candidate, truth)
        assert again.evidence == used
        assert again.results == metrics


async def _lived(events: list[tuple[str, int]], error: float, wrong: float) -> CountingWorld:
    world = CountingWorld(error=error, wrong=wrong)
    await world.want(OLD_DIGEST)
    for _ in range(6):
        await world.look()
    await world.want(NEW_DIGEST)
    for event, number in events:
        await _happens(world, event, number)
        await world.look()
        world.kube.dies_at = None
        world.pods.silent.clear()
    for _ in range(24):
        await world.look()
    await world.end()
    return world


async def _happens(world: CountingWorld, event: str, number: int) -> None:
    if event.startswith("die"):
        world.kube.dies_at, world.kube.after_effect = number, event == "die after"
    if "restart" in event:
        await world.restart()
    if "silence" in event:
        uids = sorted(world.pods.windows_of)
        world.pods.silent = {uids[number % len(uids)]} if uids else set()
