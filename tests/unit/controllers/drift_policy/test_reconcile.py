"""The shell around a policy's decisions: one Model's trouble is not its neighbours'."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes import FakeKube, FakeSidecars
from typing_extensions import override

from tidegate.api.meta import ObjectKey
from tidegate.api.names import API_VERSION, DRIFT_POLICY, MODEL
from tidegate.api.v1alpha1.drift_policy import DriftPolicy, ModelDrift
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import DRIFT_POLICIES, MODELS, TRAINING_JOBS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector, Gathered
from tidegate.controllers.drift_policy.reconcile import reconcile
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.store import Store
from tidegate.errors import TerminalError
from tidegate.evidence.profile import Profile, make_profile
from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.settings import Settings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = ObjectKey(DRIFT_POLICY, "growth", "tabular")
FEATURES = 60
PROFILE = make_profile(
    {f"f{i}": np.arange(2000.0) for i in range(FEATURES)},
    {f"f{i}": "number" for i in range(FEATURES)},
    predictions=["yes"] * 600 + ["no"] * 1400,
    task="classification",
    metrics={},
)
QUALITY = {"name": "quality", "type": "Performance", "min": "0.82"}
INPUTS = {"name": "inputs", "type": "DataDrift", "breach": "0.25"}
TEMPLATE = {
    "data": {"inputs": [{"name": "train", "uri": "s3://lake/t.csv"}], "target": "y"},
    "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}},
    "output": {"uri": "s3://lake/models/"},
}


class Heard(Collector):
    """Has heard the same of every Model: an hour in which 40 % of the answers were wrong."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(FakeSidecars(), asyncio.get_running_loop().time, lambda _: None)
        self.profile = profile

    @override
    def gathered(self, key: ObjectKey) -> Gathered:
        features = tuple((100,) + (0,) * (len(f.counts) - 1) for f in self.profile.features)
        blocks = [BlockKey(slot, 1, "r1") for slot in range(600, 660)]
        return Gathered(
            windows={b: Counts(requests=100, rows=100, features=features) for b in blocks},
            labels={b: Labels(100, 40) for b in blocks},
            closed_through=659,
            profiles={"r1": self.profile},
        )


class World:
    """A policy, its Models, and an operator."""

    def __init__(self, profile: Profile, signal: dict[str, str], *models: str) -> None:
        self.kube = FakeKube()
        self.cluster = Cluster(
            Settings("tidegate", "pod-1", "sidecar:1", "runtime:1", Path("key.pem")),
            self.kube,
            Store(),
            Heard(profile),
            Ed25519PrivateKey.generate(),
            Metrics(),
            lambda: NOW,
        )
        spec = {
            "mode": "Enforce",
            "selector": {"matchLabels": {"tier": "prod"}},
            "window": {"size": "1m", "minSamples": 100},
            "signals": [signal],
            "sustain": {"breaches": 1, "of": 1},
            "actions": [{"when": {}, "do": "Retrain"}],
            "retrain": {},
        }
        self.put(DRIFT_POLICY, "tabular", spec, {})
        for name in models:
            training = {"template": {"spec": TEMPLATE}}
            of_model = {"artifact": {"fromTraining": {}}, "training": training}
            self.put(MODEL, name, of_model, {"stable": {"revision": "r1"}})

    def put(self, kind: str, name: str, spec: Manifest, status: Manifest) -> None:
        made: dict[str, Any] = {"apiVersion": API_VERSION, "kind": kind, "spec": spec}
        made["metadata"] = {"name": name, "namespace": "growth", "labels": {"tier": "prod"}}
        live = self.kube._store({**made, "status": status})
        self.cluster.store.put(DRIFT_POLICIES if kind == DRIFT_POLICY else MODELS, live)

    def drift(self) -> dict[str, ModelDrift]:
        live = self.kube.objects[DRIFT_POLICIES, "growth", "tabular"]
        return {m.name: m for m in DriftPolicy.model_validate(live).status.models}


async def test_a_run_that_is_refused_is_told_and_stops_no_other() -> None:
    world = World(replace(PROFILE, features=()), QUALITY, "churn", "spam")
    world.kube.failures = [TerminalError("Invalid", "spec.trainer: no such estimator")]
    await reconcile(KEY, world.cluster, NOW)
    reasons = {n: m.last_action.reason for n, m in world.drift().items() if m.last_action}
    assert reasons == {"churn": "InvalidSpec", "spam": "RetrainStarted"}
    refused = world.drift()["churn"].last_action
    assert refused is not None
    assert "no such estimator" in refused.message
    assert refused.training_job is None
    assert [name for (r, _, name) in world.kube.objects if r == TRAINING_JOBS] != []


async def test_weighing_a_wide_model_stops_nobody_else() -> None:
    """Seconds of arithmetic in the event loop would let leases and probes time out."""
    world = World(PROFILE, INPUTS, "churn")
    others = 0
    weighing = asyncio.create_task(reconcile(KEY, world.cluster, NOW))
    while not weighing.done():
        await asyncio.sleep(0)
        others += 1
    await weighing
    assert world.drift()["churn"].level == "Breach"
    assert others > 10


async def test_a_model_that_is_being_deleted_is_not_trained_again() -> None:
    world = World(replace(PROFILE, features=()), QUALITY)
    meta = {"name": "churn", "namespace": "growth", "labels": {"tier": "prod"}}
    going = {
        "apiVersion": API_VERSION,
        "kind": MODEL,
        "metadata": {**meta, "deletionTimestamp": "2026-11-21T11:59:00Z"},
        "spec": {"artifact": {"fromTraining": {}}, "training": {"template": {"spec": TEMPLATE}}},
        "status": {"stable": {"revision": "r1"}},
    }
    world.cluster.store.put(MODELS, world.kube._store(going))
    await reconcile(KEY, world.cluster, NOW)
    assert world.drift() == {}
