"""That at rest nothing is written, and that whatever differs is: against the real defaults."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes import FakeSidecars
from tests.integration.apiserver import Manifest
from tests.integration.operator_core.objects import config_map, deployment, model

from tidegate.api.meta import Condition, ObjectKey
from tidegate.api.names import MODEL
from tidegate.api.v1alpha1.model_status import ModelStatus
from tidegate.clients.kube import Kube
from tidegate.clients.resources import CONFIG_MAPS, DEPLOYMENTS, EVENTS, MODELS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.store import Store
from tidegate.settings import Settings

pytestmark = pytest.mark.apiserver

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Answers = list[tuple[str, str, int]]


def cluster_of(kube: Kube) -> Cluster:
    settings = Settings("tidegate", "pod-1", "sidecar:1", "runtime:1", Path("key.pem"))
    collector = Collector(FakeSidecars(), asyncio.get_running_loop().time, lambda _: None)
    key = Ed25519PrivateKey.generate()
    return Cluster(settings, kube, Store(), collector, key, Metrics(), lambda: NOW)


async def reread(cluster: Cluster, kube: Kube, manifest: Manifest) -> None:
    """What a restarted operator starts from: the server's words."""
    resource = DEPLOYMENTS if manifest["kind"] == "Deployment" else CONFIG_MAPS
    meta = manifest["metadata"]
    found = await kube.get(resource, meta["namespace"], meta["name"])
    assert found is not None
    cluster.store.put(resource, found)


async def test_writes_once_and_not_again(kube: Kube, namespace: str, answers: Answers) -> None:
    cluster = cluster_of(kube)
    wanted = [config_map(namespace, "a", x="1"), deployment(namespace, "web")]
    assert await cluster.apply(wanted) == 2
    answers.clear()
    assert await cluster.apply(wanted) == 0
    assert answers == []


async def test_a_restarted_operator_writes_nothing(kube: Kube, namespace: str) -> None:
    wanted = [config_map(namespace, "a", x="1"), deployment(namespace, "web")]
    await cluster_of(kube).apply(wanted)
    restarted = cluster_of(kube)
    for manifest in wanted:
        await reread(restarted, kube, manifest)
    assert await restarted.apply(wanted) == 0


async def test_mends_what_somebody_else_changed(kube: Kube, namespace: str) -> None:
    cluster = cluster_of(kube)
    await cluster.apply([config_map(namespace, "a", x="1")])
    await kube.apply(config_map(namespace, "a", x="changed"))
    await reread(cluster, kube, config_map(namespace, "a"))
    assert await cluster.apply([config_map(namespace, "a", x="1")]) == 1
    found = await kube.get(CONFIG_MAPS, namespace, "a")
    assert found is not None
    assert found["data"] == {"x": "1"}


async def test_gives_up_fields_that_are_no_longer_wanted(kube: Kube, namespace: str) -> None:
    await cluster_of(kube).apply([config_map(namespace, "a", x="1", y="2")])
    restarted = cluster_of(kube)
    await reread(restarted, kube, config_map(namespace, "a"))
    assert await restarted.apply([config_map(namespace, "a", x="1")]) == 1
    found = await kube.get(CONFIG_MAPS, namespace, "a")
    assert found is not None
    assert found["data"] == {"x": "1"}


async def test_deletes_what_it_knows_and_nothing_else(kube: Kube, namespace: str) -> None:
    cluster = cluster_of(kube)
    await cluster.apply([config_map(namespace, "a", x="1")])
    await cluster.delete(CONFIG_MAPS, cluster.store.list(CONFIG_MAPS, namespace))
    assert await kube.get(CONFIG_MAPS, namespace, "a") is None


@pytest.mark.usefixtures("crds")
async def test_writes_a_status_once(kube: Kube, namespace: str, answers: Answers) -> None:
    cluster = cluster_of(kube)
    await kube.apply(model(namespace))
    key = ObjectKey(MODEL, namespace, "churn")
    status = ModelStatus(
        observed_generation=1,
        conditions=(
            Condition(type="Ready", status="True", reason="Serving", observed_generation=1),
            Condition(type="Accepted", status="True", reason="Valid", observed_generation=1),
        ),
    )
    await cluster.apply_status(key, status)
    answers.clear()
    await cluster.apply_status(key, status)
    assert answers == []
    found = cluster.model(key)
    assert found is not None
    assert found.status == status
    restarted = cluster_of(kube)
    restarted.store.put(MODELS, await kube.get(MODELS, namespace, "churn") or {})
    answers.clear()
    await restarted.apply_status(key, status)
    assert answers == []


@pytest.mark.usefixtures("crds")
async def test_says_a_thing_once(kube: Kube, namespace: str) -> None:
    cluster = cluster_of(kube)
    cluster.store.put(MODELS, await kube.apply(model(namespace)))
    churn = cluster.model((namespace, "churn"))
    assert churn is not None
    for _ in range(2):
        await cluster.event(churn, type="Normal", reason="Promoted", message="v2 is stable now.")
    (said,), _ = await kube.list(EVENTS, namespace)
    assert said["involvedObject"]["name"] == "churn"
    assert said["message"] == "v2 is stable now."
    assert said["lastTimestamp"] == "2026-01-02T03:04:05Z"


async def test_an_event_that_can_not_be_written_stops_nothing(kube: Kube, namespace: str) -> None:
    cluster = cluster_of(kube)
    cluster.store.put(MODELS, {**model("no-such-namespace"), "status": {}})
    churn = cluster.model(("no-such-namespace", "churn"))
    assert churn is not None
    await cluster.event(churn, type="Warning", reason="RolledBack", message="v2 is worse.")
