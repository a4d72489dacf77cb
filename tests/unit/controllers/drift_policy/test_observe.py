"""Which Models a policy watches: of several policies that match a Model, one does."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes import FakeKube, FakeSidecars

from tidegate.clients.kube import Manifest
from tidegate.clients.resources import DRIFT_POLICIES, MODELS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector
from tidegate.controllers.drift_policy.observe import observe
from tidegate.controllers.drift_policy.state import Observed
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.store import Store
from tidegate.settings import Settings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def meta(name: str, **labels: str) -> Manifest:
    return {
        "name": name,
        "namespace": "growth",
        "uid": name,
        "resourceVersion": "1",
        "labels": labels,
    }


def model(name: str, policy: str | None = None, **labels: str) -> Manifest:
    monitoring = {"driftPolicyRef": {"name": policy}} if policy else {}
    spec = {"artifact": {"fromTraining": {}}, "monitoring": monitoring}
    return {"metadata": meta(name, **labels), "spec": spec}


def policy(name: str, **labels: str) -> Manifest:
    spec: dict[str, Any] = {"signals": [{"name": "in", "type": "DataDrift", "breach": "0.25"}]}
    if labels:
        spec["selector"] = {"matchLabels": labels}
    return {"metadata": meta(name), "spec": spec}


def seen(models: list[Manifest], policies: list[Manifest]) -> dict[str, Observed]:
    """What each policy sees."""
    settings = Settings("tidegate", "pod-1", "sidecar:1", "runtime:1", Path("key.pem"))
    collector = Collector(FakeSidecars(), asyncio.get_running_loop().time, lambda _: None)
    key = Ed25519PrivateKey.generate()
    cluster = Cluster(settings, FakeKube(), Store(), collector, key, Metrics(), lambda: NOW)
    for resource, objects in ((MODELS, models), (DRIFT_POLICIES, policies)):
        for obj in objects:
            cluster.store.put(resource, obj)
    return {p.metadata.name: observe(p, cluster) for p in cluster.drift_policies("growth")}


async def watched(models: list[Manifest], policies: list[Manifest]) -> dict[str, list[str]]:
    """The names of the Models that each policy watches."""
    found = seen(models, policies)
    return {name: [w.model.metadata.name for w in found[name].watched] for name in found}


async def test_of_two_policies_that_select_a_model_the_first_by_name_watches_it() -> None:
    policies = [policy("strict", tier="prod"), policy("common", tier="prod")]
    found = await watched([model("churn", tier="prod")], policies)
    assert found == {"common": ["churn"], "strict": []}


async def test_the_policy_that_a_model_names_watches_it_alone() -> None:
    policies = [policy("strict"), policy("common", tier="prod")]
    found = await watched([model("churn", "strict", tier="prod")], policies)
    assert found == {"common": [], "strict": ["churn"]}


async def test_a_model_whose_policy_does_not_exist_is_watched_by_no_other() -> None:
    found = await watched([model("churn", "gone", tier="prod")], [policy("common", tier="prod")])
    assert found == {"common": []}


async def test_of_a_model_that_speaks_grpc_it_is_said_that_nothing_is_counted() -> None:
    churn = model("churn", tier="prod")
    churn["spec"]["serving"] = {"protocol": "GRPC"}
    (found,) = seen([churn], [policy("common", tier="prod")])["common"].watched
    assert found.current is None
    assert found.missing == "serving.protocol is GRPC, so nothing is counted."
