"""The hours that are learned from traffic outlive the operator, and cost no write at rest."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes import FakeKube, FakeSidecars
from typing_extensions import override

from tidegate.api.meta import ObjectKey
from tidegate.api.names import API_VERSION, DRIFT_POLICY, MODEL
from tidegate.api.v1alpha1.drift_policy import DriftPolicy, SeasonStatus
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import CONFIG_MAPS, DRIFT_POLICIES, MODELS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector, Gathered
from tidegate.controllers.drift_policy.reconcile import reconcile
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.store import Store
from tidegate.evidence.hours import HOUR_SLOTS
from tidegate.evidence.profile import make_profile
from tidegate.evidence.windows import SLOT_SECONDS, BlockKey, Counts
from tidegate.settings import Settings

KEY = ObjectKey(DRIFT_POLICY, "growth", "daily")
FIRST = 500_000 * HOUR_SLOTS
PROFILE = make_profile(
    {"age": np.arange(2000.0)},
    {"age": "number"},
    predictions=["yes"] * 600 + ["no"] * 1400,
    task="classification",
    metrics={},
)
ROW = tuple(60 if i < 10 else 0 for i in range(len(PROFILE.features[0].counts)))


class Heard(Collector):
    """Has heard the same of every hour, and knows the last one."""

    closed_through = FIRST - 1

    def __init__(self) -> None:
        super().__init__(FakeSidecars(), asyncio.get_running_loop().time, lambda _: None)

    @override
    def gathered(self, key: ObjectKey) -> Gathered:
        end = self.closed_through + 1
        blocks = [BlockKey(slot, 1, "r1") for slot in range(end - HOUR_SLOTS, end, 60)]
        one = Counts(requests=600, rows=600, features=(ROW,), predictions={"yes": 180, "no": 420})
        return Gathered(
            windows=dict.fromkeys(blocks, one),
            closed_through=self.closed_through,
            profiles={"r1": PROFILE},
        )


class World:
    """A policy, a Model, and operators that come and go."""

    def __init__(self, seasonality: str = "HourOfDay") -> None:
        self.kube = FakeKube()
        self.heard = Heard()
        self.cluster = self.operator()
        self.ask(seasonality)
        of_model: Manifest = {"artifact": {"fromTraining": {}}}
        self.put(MODEL, "churn", of_model, {"stable": {"revision": "r1"}})

    def operator(self) -> Cluster:
        """Another one, that reads what its predecessor has left."""
        cluster = Cluster(
            Settings("tidegate", "pod-1", "sidecar:1", "runtime:1", Path("key.pem")),
            self.kube,
            Store(),
            self.heard,
            Ed25519PrivateKey.generate(),
            Metrics(),
            self.now,
        )
        for (resource, _, _), obj in self.kube.objects.items():
            cluster.store.put(resource, obj)
        return cluster

    def ask(self, seasonality: str) -> None:
        spec = {
            "selector": {"matchLabels": {"tier": "prod"}},
            "window": {"size": "10m", "minSamples": 100},
            "reference": {"seasonality": seasonality},
            "signals": [{"name": "inputs", "type": "DataDrift", "breach": "0.25"}],
        }
        self.put(DRIFT_POLICY, "daily", spec, {})

    def put(self, kind: str, name: str, spec: Manifest, status: Manifest) -> None:
        made: dict[str, Any] = {"apiVersion": API_VERSION, "kind": kind, "spec": spec}
        made["metadata"] = {"name": name, "namespace": "growth", "labels": {"tier": "prod"}}
        live = self.kube._store({**made, "status": status})
        self.cluster.store.put(DRIFT_POLICIES if kind == DRIFT_POLICY else MODELS, live)

    def now(self) -> datetime:
        return datetime.fromtimestamp((self.heard.closed_through + 1) * SLOT_SECONDS, tz=UTC)

    async def pass_(self, slots: int) -> list[str]:
        """So much time passes; the ConfigMaps that are written or deleted after it."""
        self.heard.closed_through += slots
        before = len(self.kube.writes)
        await reconcile(KEY, self.cluster, self.now())
        return [verb for verb, plural, _ in self.kube.writes[before:] if plural == "configmaps"]

    def season(self) -> SeasonStatus | None:
        live = self.kube.objects[DRIFT_POLICIES, "growth", "daily"]
        return DriftPolicy.model_validate(live).status.models[0].season


async def test_what_is_learned_is_written_once_an_hour_and_not_in_between() -> None:
    world = World()
    assert await world.pass_(HOUR_SLOTS) == ["apply"]
    assert [await world.pass_(60) for _ in range(5)] == [[]] * 5
    assert await world.pass_(60) == ["apply"]


async def test_after_a_week_nothing_is_written_any_more() -> None:
    world = World()
    writes = [await world.pass_(HOUR_SLOTS) for _ in range(24 * 7 + 3)]
    assert writes == [["apply"]] * (24 * 7) + [[]] * 3
    season = world.season()
    assert season is not None
    assert (season.known, season.of, season.provisional) == (24, 24, False)


async def test_an_operator_that_restarts_goes_on_and_counts_no_hour_twice() -> None:
    world = World()
    await world.pass_(HOUR_SLOTS)
    kept = world.kube.objects[CONFIG_MAPS, "growth", "churn-hours"]
    world.cluster = world.operator()
    assert await world.pass_(0) == []
    assert world.kube.objects[CONFIG_MAPS, "growth", "churn-hours"] == kept
    assert await world.pass_(HOUR_SLOTS) == ["apply"]
    assert await world.pass_(60) == []
    season = world.season()
    assert season is not None
    assert (season.source, season.known, season.provisional) == ("Traffic", 2, True)
    assert "Learned from the traffic since" in season.message


async def test_a_damaged_config_map_is_learned_anew() -> None:
    world = World()
    await world.pass_(HOUR_SLOTS)
    kept = world.kube.objects[CONFIG_MAPS, "growth", "churn-hours"]
    world.kube._store({**kept, "data": {"hours.json": "{"}})
    world.cluster = world.operator()
    assert await world.pass_(HOUR_SLOTS) == ["apply"]
    await world.pass_(60)
    season = world.season()
    assert season is not None
    assert season.known == 1


async def test_hours_that_nobody_asks_for_any_more_are_deleted() -> None:
    world = World()
    await world.pass_(HOUR_SLOTS)
    world.ask("None")
    assert await world.pass_(60) == ["delete"]
    assert world.season() is None


async def test_a_config_map_of_that_name_that_is_not_ours_is_left_alone_and_told() -> None:
    world = World()
    theirs = {"name": "churn-hours", "namespace": "growth"}
    world.kube._store(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": theirs, "data": {"a": "b"}}
    )
    assert await world.pass_(HOUR_SLOTS) == []
    assert world.kube.objects[CONFIG_MAPS, "growth", "churn-hours"]["data"] == {"a": "b"}
    season = world.season()
    assert season is not None
    assert "ConfigMap churn-hours exists already" in season.message


async def test_the_config_map_goes_with_its_model() -> None:
    world = World()
    await world.pass_(HOUR_SLOTS)
    meta = world.kube.objects[CONFIG_MAPS, "growth", "churn-hours"]["metadata"]
    model = world.kube.objects[MODELS, "growth", "churn"]["metadata"]
    assert [(o["kind"], o["uid"]) for o in meta["ownerReferences"]] == [(MODEL, model["uid"])]
    assert meta["labels"]["app.kubernetes.io/managed-by"] == "tidegate"
