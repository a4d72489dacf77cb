"""What becomes of a reconcile that fails."""

import asyncio
import builtins
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes import FakeKube
from tests.patience import DEADLINE_SECONDS
from tests.ports import free_port
from typing_extensions import override

from tidegate.api.meta import ObjectKey
from tidegate.api.names import API_VERSION, LEASE_NAME, MODEL, TRAINING_JOB
from tidegate.api.v1alpha1.training_job import TrainingJobStatus
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import EVENTS, LEASES, MODELS, Resource
from tidegate.controllers import __main__ as main
from tidegate.controllers import leader
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.metrics import Metrics
from tidegate.errors import TerminalError, TransientError
from tidegate.settings import Settings

KEY = ObjectKey(MODEL, "growth", "churn")


def operator_on(kube: FakeKube, **more: Any) -> main.Operator:
    settings = Settings("tidegate", "pod-1", "sidecar:1", "runtime:1", Path("key.pem"), **more)
    return main.Operator(settings, Ed25519PrivateKey.generate(), kube, Metrics())


@pytest.fixture
async def operator() -> AsyncIterator[main.Operator]:
    made = operator_on(FakeKube())
    yield made
    await made._sidecars.close()


@pytest.mark.parametrize(
    ("outcome", "result", "retried"),
    [
        pytest.param(timedelta(seconds=5), "ok", False, id="all well"),
        pytest.param(TransientError("busy", retry_after=9), "transient", True, id="may pass"),
        pytest.param(TerminalError("Invalid", "no"), "terminal", False, id="needs a change"),
        pytest.param(ZeroDivisionError("oops"), "bug", True, id="a bug"),
    ],
)
async def test_a_reconcile_that_fails_never_stops_the_operator(
    operator: main.Operator,
    monkeypatch: pytest.MonkeyPatch,
    outcome: timedelta | Exception,
    result: str,
    *,
    retried: bool,
) -> None:
    async def reconcile(key: ObjectKey, cluster: Cluster, now: datetime) -> timedelta | None:
        assert (key, now.tzinfo is not None) == (KEY, True)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setitem(main.RECONCILES, MODEL, reconcile)
    again = await operator._handle(KEY)
    assert again == (outcome if isinstance(outcome, timedelta) else None)
    assert (KEY in operator._queue._due) is retried
    line = f'tidegate_reconcile_total{{kind="Model",result="{result}"}} 1.0'
    assert line in operator._metrics.exposition().decode()


async def test_an_object_that_can_not_be_read_gets_an_event_and_only_one(
    operator: main.Operator,
) -> None:
    meta = {"namespace": "growth", "name": "churn", "uid": "u1", "resourceVersion": "1"}
    spec = {"artifact": {"uri": "of no kind"}}
    stored = {"apiVersion": API_VERSION, "kind": MODEL, "metadata": meta, "spec": spec}
    operator._store.replace(MODELS, "growth", [stored], "1")
    for _ in range(2):
        assert await operator._handle(KEY) is None
    kube = operator._kube
    assert isinstance(kube, FakeKube)
    (event,) = (o for (resource, _, _), o in kube.objects.items() if resource == EVENTS)
    assert (event["type"], event["reason"]) == ("Warning", "Unreadable")
    assert event["involvedObject"]["uid"] == "u1"
    assert "spec.artifact.uri" in event["message"]


async def test_a_standby_is_alive_and_ready(operator: main.Operator) -> None:
    assert operator._wrong_with_life() is None
    assert operator._wrong_with_readiness() is None


async def test_a_leader_is_ready_when_everything_is_listed(operator: main.Operator) -> None:
    operator._leadership.renewed_at = asyncio.get_running_loop().time()
    assert operator._wrong_with_readiness() == "the first lists are not in yet"
    for resource, space, _ in operator._places:
        operator._store.replace(resource, space, [], "1")
    assert operator._wrong_with_readiness() is None


async def test_nothing_is_reconciled_before_everything_is_listed(
    operator: main.Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ObjectKey] = []
    reconciled = asyncio.Event()

    async def reconcile(key: ObjectKey, *_: object) -> timedelta | None:
        seen.append(key)
        reconciled.set()
        return None

    monkeypatch.setitem(main.RECONCILES, MODEL, reconcile)
    operator._queue.add(KEY)
    async with asyncio.TaskGroup() as group:
        working = group.create_task(operator._work())
        for resource, space, _ in operator._places:
            for _ in range(50):  # turns of the loop, ten times what a worker needs to begin
                await asyncio.sleep(0)
            assert not seen
            operator._store.replace(resource, space, [], "1")
        async with asyncio.timeout(DEADLINE_SECONDS):
            await reconciled.wait()
        working.cancel()
    assert seen == [KEY]


class Unready(FakeKube):
    """An API server that has no CRDs."""

    @override
    async def served(self, api_version: str) -> frozenset[str]:
        return frozenset()


class Silent(FakeKube):
    """An API server that does not answer what is asked first of each namespace."""

    @override
    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
    ) -> tuple[builtins.list[Manifest], str]:
        raise TransientError("not now")


@pytest.mark.parametrize("kube", [Unready(), Silent()], ids=["no CRDs", "no lists"])
async def test_a_leader_that_waits_for_the_api_server_leads_and_ends_when_it_is_told_to(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leader, "RETRY_SECONDS", 0.01)
    ports = {"http_port": free_port(), "evidence_port": free_port()}
    operator = operator_on(kube, watch_namespaces=("growth",), **ports)
    stop = asyncio.Event()

    def renewals() -> int:
        return kube.writes.count(("update", "leases", LEASE_NAME))

    async with asyncio.timeout(DEADLINE_SECONDS):
        running = asyncio.create_task(operator.run(stop))
        while renewals() < 3 or not caplog.messages:  # noqa: ASYNC110 - nobody is told of them
            await asyncio.sleep(0.01)
        stop.set()
        assert await running == 0
    holder = kube.objects[LEASES, "tidegate", LEASE_NAME]["spec"]["holderIdentity"]
    assert holder == "", "it lets go"


async def test_a_leader_whose_workers_died_is_not_alive(operator: main.Operator) -> None:
    operator._leadership.renewed_at = asyncio.get_running_loop().time()
    for resource, space, _ in operator._places:
        operator._store.replace(resource, space, [], "1")
    assert operator._wrong_with_life() == "0 of 20 workers are at it"


async def test_what_one_reconcile_writes_wakes_those_who_wait_for_it(
    operator: main.Operator,
) -> None:
    job = {
        "apiVersion": API_VERSION,
        "kind": TRAINING_JOB,
        "metadata": {"namespace": "growth", "name": "churn-1"},
        "spec": {
            "modelRef": {"name": "churn"},
            "data": {
                "inputs": [{"name": "train", "uri": "s3://data/train.csv"}],
                "target": "churned",
            },
            "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}},
            "output": {"uri": "s3://models/churn/"},
        },
    }
    await operator._cluster.create(job)
    operator._queue._due.clear()
    await operator._cluster.apply_status(
        ObjectKey(TRAINING_JOB, "growth", "churn-1"), TrainingJobStatus(state="Succeeded")
    )
    assert KEY in operator._queue._due
