"""The shell around the decisions: what is written, in which order, and after a crash."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes import FakeKube, FakeSidecars
from tests.unit.controllers.training_job.scenes import (
    ENDED,
    NOW,
    SPEC,
    STARTED,
    job_condition,
    lines,
    pod_manifest,
)
from typing_extensions import override

from tidegate.api.meta import ObjectKey, timestamp
from tidegate.api.names import API_VERSION, TRAINING_JOB
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import JOBS, PODS, TRAINING_JOBS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.store import Store
from tidegate.controllers.training_job.reconcile import reconcile
from tidegate.errors import TransientError
from tidegate.settings import Settings

KEY = ObjectKey(TRAINING_JOB, "growth", "churn-1")
LATER = ENDED + timedelta(days=8)


class MortalKube(FakeKube):
    """An API server that dates its objects, whose client dies before its `last` + 1st request."""

    def __init__(self, last: int | None = None) -> None:
        super().__init__()
        self.last = last
        self.requests = 0

    @override
    def _fail(self) -> None:
        if self.last is not None and self.requests >= self.last:
            raise TransientError("dead")
        self.requests += 1

    @override
    def _keep(self, wanted: Manifest, live: Manifest | None) -> Manifest:
        meta = {"creationTimestamp": timestamp(STARTED), **wanted["metadata"]}
        return super()._keep({**wanted, "metadata": meta}, live)


async def look(kube: FakeKube, now: datetime = NOW) -> timedelta | None:
    """One reconcile by an operator that has just started."""
    settings = Settings("tidegate", "pod-1", "sidecar:1", "runtime:1", Path("key.pem"))
    collector = Collector(FakeSidecars(), asyncio.get_running_loop().time, lambda _: None)
    cluster = Cluster(
        settings, kube, Store(), collector, Ed25519PrivateKey.generate(), Metrics(), lambda: now
    )
    for resource in (TRAINING_JOBS, JOBS):
        for (kind, _, _), obj in kube.objects.items():
            if kind == resource:
                cluster.store.put(resource, obj)
    return await reconcile(KEY, cluster, now)


def put(kube: FakeKube, manifest: Manifest) -> Manifest:
    return kube._store(manifest)


def training_job(kube: FakeKube) -> None:
    meta = {"namespace": "growth", "name": "churn-1"}
    put(kube, {"apiVersion": API_VERSION, "kind": TRAINING_JOB, "metadata": meta, "spec": SPEC})


def finish(kube: FakeKube) -> None:
    """What the cluster does with a Job whose stages all go well."""
    job = kube.objects[JOBS, "growth", "churn-1"]
    conditions = [job_condition("Complete")]
    put(kube, {**job, "status": {"startTime": timestamp(STARTED), "conditions": conditions}})
    containers = [
        {"name": s.value, "state": {"terminated": {"exitCode": 0, "message": json.dumps(told)}}}
        for s, told in lines().items()
    ]
    put(kube, pod_manifest(*containers, owner=job["metadata"]["uid"]))


def state(kube: FakeKube) -> str:
    found: str = kube.objects[TRAINING_JOBS, "growth", "churn-1"]["status"]["state"]
    return found


async def whole_life(kube: FakeKube) -> None:
    """From the creation to the end of the pods' time."""
    await look(kube)
    if (PODS, "growth", "churn-1-abcde") not in kube.objects:
        finish(kube)
    await look(kube)
    await look(kube, LATER)


async def test_nothing_is_done_for_what_is_not_there() -> None:
    kube = MortalKube()
    assert await look(kube) is None
    assert kube.writes == []


async def test_nothing_is_done_for_what_is_being_deleted() -> None:
    kube = MortalKube()
    meta = {"namespace": "growth", "name": "churn-1", "deletionTimestamp": timestamp(NOW)}
    put(kube, {"apiVersion": API_VERSION, "kind": TRAINING_JOB, "metadata": meta, "spec": SPEC})
    assert await look(kube) is None
    assert kube.writes == []


async def test_creates_the_job_then_tells_then_writes_the_status() -> None:
    kube = MortalKube()
    training_job(kube)
    assert await look(kube, STARTED) == timedelta(seconds=3)
    assert [verb for verb, _, _ in kube.writes] == ["create", "create", "status"]
    assert [plural for _, plural, _ in kube.writes] == ["jobs", "events", "trainingjobs"]


async def test_believes_no_pod_that_is_not_the_jobs_own() -> None:
    kube = MortalKube()
    training_job(kube)
    await look(kube)
    finish(kube)
    forged = kube.objects.pop((PODS, "growth", "churn-1-abcde"))
    (owner,) = forged["metadata"]["ownerReferences"]
    owner["uid"] = "uid-of-another-job"
    kube.objects[PODS, "growth", "forged"] = forged
    await look(kube)
    assert state(kube) == "Failed"


async def test_writes_the_end_before_it_deletes_anything() -> None:
    kube = MortalKube()
    training_job(kube)
    await look(kube)
    finish(kube)
    kube.writes.clear()
    again = await look(kube, LATER)
    assert again == timedelta(0)
    assert state(kube) == "Succeeded"
    assert "delete" not in [verb for verb, _, _ in kube.writes]
    kube.writes.clear()
    assert await look(kube, LATER) is None
    assert kube.writes == [("delete", "jobs", "churn-1")]
    kube.writes.clear()
    assert await look(kube, LATER) is None
    assert kube.writes == []


@pytest.mark.parametrize("last", range(9))
async def test_an_operator_that_dies_at_any_request_is_followed_by_one_that_ends_alike(
    last: int,
) -> None:
    kube = MortalKube(last)
    training_job(kube)
    try:
        await whole_life(kube)
    except TransientError:
        kube.last = None
        await whole_life(kube)
    await look(kube, LATER)
    assert state(kube) == "Succeeded"
    assert (JOBS, "growth", "churn-1") not in kube.objects
    created = [name for verb, plural, name in kube.writes if (verb, plural) == ("create", "jobs")]
    assert created == ["churn-1"]
