"""What was learned of hours, on a real API server: it fits, is read again, and goes in the end."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes import FakeSidecars
from tests.integration.operator_core.objects import OURS, model
from typing_extensions import override

from tidegate.api.meta import ObjectKey
from tidegate.api.names import API_VERSION, DRIFT_POLICY
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.clients.kube import Kube, Manifest
from tidegate.clients.resources import CONFIG_MAPS, DRIFT_POLICIES, MODELS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector, Gathered
from tidegate.controllers.drift_policy.desired import hours_config
from tidegate.controllers.drift_policy.plan import NewHours
from tidegate.controllers.drift_policy.reconcile import reconcile
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.store import Store
from tidegate.evidence.hours import CELL_LIMIT, DAY, HOUR_SLOTS, Hours, HourTable
from tidegate.evidence.profile import make_profile
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.season import Learned
from tidegate.settings import Settings

pytestmark = pytest.mark.apiserver

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
END = 500_000 * HOUR_SLOTS
PROFILE = make_profile({}, {}, ["yes"] * 10, "classification", {})
SPEC: Manifest = {
    "reference": {"seasonality": "HourOfDay"},
    "signals": [{"name": "answers", "type": "PredictionDrift", "breach": "0.1"}],
}


class Heard(Collector):
    """Has heard of one hour."""

    @override
    def gathered(self, key: ObjectKey) -> Gathered:
        block = BlockKey(END - 1, 1, "r1")
        counts = Counts(requests=900, rows=900, predictions={"yes": 900})
        return Gathered({block: counts}, closed_through=END - 1, profiles={"r1": PROFILE})


async def operator(kube: Kube, namespace: str) -> Cluster:
    """One that has just started, and knows what the server tells it."""
    settings = Settings("tidegate", "pod-1", "sidecar:1", "runtime:1", Path("key.pem"))
    collector = Heard(FakeSidecars(), asyncio.get_running_loop().time, lambda _: None)
    key = Ed25519PrivateKey.generate()
    cluster = Cluster(settings, kube, Store(), collector, key, Metrics(), lambda: NOW)
    for resource, labels in ((MODELS, ""), (DRIFT_POLICIES, ""), (CONFIG_MAPS, OURS)):
        found, version = await kube.list(resource, namespace, labels=labels)
        cluster.store.replace(resource, namespace, found, version)
    return cluster


async def begin(kube: Kube, namespace: str) -> None:
    watched = model(namespace)
    watched["spec"]["monitoring"] = {"driftPolicyRef": {"name": "daily"}}
    await kube.create(watched)
    meta = {"namespace": namespace, "name": "daily"}
    await kube.create(
        {"apiVersion": API_VERSION, "kind": DRIFT_POLICY, "metadata": meta, "spec": SPEC}
    )
    await kube.apply_status(MODELS, namespace, "churn", {"stable": {"revision": "r1"}})


async def test_an_hour_outlives_the_operator_that_counted_it(
    kube: Kube, crds: object, namespace: str, answers: list[tuple[str, str, int]]
) -> None:
    await begin(kube, namespace)
    key = ObjectKey(DRIFT_POLICY, namespace, "daily")
    await reconcile(key, await operator(kube, namespace), NOW)
    kept = await kube.get(CONFIG_MAPS, namespace, "churn-hours")
    assert kept is not None
    learned = Learned.from_json(json.loads(kept["data"]["hours.json"]))
    assert learned.through == END - 1
    await reconcile(key, await operator(kube, namespace), NOW)
    answers.clear()
    restarted = await operator(kube, namespace)
    await reconcile(key, restarted, NOW)
    assert {verb for verb, _, _ in answers} <= {"list"}
    assert await kube.get(CONFIG_MAPS, namespace, "churn-hours") == kept
    found = await kube.get(DRIFT_POLICIES, namespace, "daily")
    season = DriftPolicy.model_validate(found).status.models[0].season
    assert season is not None
    assert (season.source, season.of, season.provisional) == ("Traffic", 24, True)


async def test_the_largest_table_fits_into_its_config_map(
    kube: Kube, crds: object, namespace: str
) -> None:
    """Millions of rows in each bin, at random: hardly anything is left to compress."""
    bins = CELL_LIMIT // DAY
    counts = np.random.default_rng(1).integers(0, 1 << 24, (DAY, bins))
    table = HourTable(counts, np.zeros((DAY, 0), np.int64), ())
    await begin(kube, namespace)
    found: Any = await kube.get(MODELS, namespace, "churn")
    learned = Learned("0" * 16, END - HOUR_SLOTS, END - 1, Hours.of(table))
    cluster = await operator(kube, namespace)
    hours = NewHours(Model.model_validate(found), learned)
    assert await cluster.apply([hours_config(hours)]) == 1
    assert await cluster.apply([hours_config(hours)]) == 0
    later = replace(hours, learned=replace(learned, through=END + HOUR_SLOTS - 1))
    assert await cluster.apply([hours_config(later)]) == 1
