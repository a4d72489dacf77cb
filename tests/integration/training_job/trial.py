"""The TrainingJob's reconcile on a real API server, where the test does the kubelet's part.

The pods ask for more memory than any node has: wherever the tests run, no kubelet takes them.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes import FakeSidecars

from tidegate.api.meta import ObjectKey
from tidegate.api.names import API_VERSION, LABEL_MANAGED_BY, MANAGED_BY, TRAINING_JOB
from tidegate.api.v1alpha1.training_job import TrainingJob
from tidegate.clients.kube import Kube, Manifest
from tidegate.clients.resources import EVENTS, JOBS, PODS, TRAINING_JOBS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.store import Store
from tidegate.controllers.training_job.reconcile import reconcile
from tidegate.settings import Settings

WAIT_SECONDS = 30.0
STAGES = ("fetch", "validate", "train", "publish")
TOO_LARGE = {"requests": {"memory": "900Ti"}}
OURS = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
DIGEST = f"sha256:{'d' * 64}"


def now() -> datetime:
    return datetime.now(UTC)


class Trial:
    """One operator and one namespace."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.restart()

    def restart(self) -> None:
        """Forget all that is not in the API server."""
        settings = Settings("tidegate", "pod-1", "sidecar:1", "runtime:1", Path("key.pem"))
        collector = Collector(FakeSidecars(), asyncio.get_running_loop().time, lambda _: None)
        key = Ed25519PrivateKey.generate()
        self.cluster = Cluster(settings, self.kube, Store(), collector, key, Metrics(), now)

    async def create(self, name: str = "churn-1", **spec: Any) -> None:
        given: Manifest = {
            "data": {
                "inputs": [{"name": "train", "uri": "s3://features/churn/train.csv"}],
                "target": "churned",
                "credentialsRef": {"name": "s3"},
            },
            "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}},
            "output": {"uri": "s3://models/churn/"},
            "resources": TOO_LARGE,
            **spec,
        }
        meta = {"namespace": self.namespace, "name": name}
        await self.kube.create(
            {"apiVersion": API_VERSION, "kind": TRAINING_JOB, "metadata": meta, "spec": given}
        )

    async def look(self, name: str = "churn-1", at: datetime | None = None) -> timedelta | None:
        """One reconcile with the store as its watches would have it by now."""
        for resource, labels in ((TRAINING_JOBS, ""), (JOBS, OURS)):
            found, version = await self.kube.list(resource, self.namespace, labels=labels)
            self.cluster.store.replace(resource, self.namespace, found, version)
        return await reconcile(
            ObjectKey(TRAINING_JOB, self.namespace, name), self.cluster, at or now()
        )

    async def seen(self, name: str = "churn-1") -> TrainingJob:
        """The TrainingJob as users see it."""
        found = await self.kube.get(TRAINING_JOBS, self.namespace, name)
        assert found is not None
        return TrainingJob.model_validate(found)

    async def job(self, name: str = "churn-1") -> Manifest | None:
        return await self.kube.get(JOBS, self.namespace, name)

    async def pod(self) -> Manifest:
        """The newest pod, as soon as there is one."""
        found: list[Manifest] = []

        async def there() -> bool:
            found[:], _ = await self.kube.list(PODS, self.namespace)
            return bool(found)

        await eventually(there, "a pod")
        return max(found, key=lambda p: str(p["metadata"]["creationTimestamp"]))

    async def run(self, **ended: Manifest | str) -> None:
        """Let the pod's stages be so: ended with a line, or `running`; the others wait."""
        name = (await self.pod())["metadata"]["name"]
        exits = [_exit_code(ended.get(stage)) for stage in STAGES]
        phase = "Failed" if any(exits) else "Succeeded" if exits[-1] == 0 else "Pending"
        containers = [_container(stage, ended.get(stage)) for stage in STAGES]
        status = {
            "phase": phase,
            "initContainerStatuses": containers[:-1],
            "containerStatuses": containers[-1:],
        }
        await self.kube.apply_status(PODS, self.namespace, name, status)

    async def ends(self, condition: str, name: str = "churn-1") -> None:
        """Wait for the Job controller."""

        async def ended() -> bool:
            job = await self.job(name)
            listed = (job or {}).get("status", {}).get("conditions", ())
            return any(c["type"] == condition and c["status"] == "True" for c in listed)

        await eventually(ended, f"the Job's condition {condition}")

    async def told(self) -> list[tuple[str, str]]:
        """Type and reason of our Events."""
        found, _ = await self.kube.list(
            EVENTS, self.namespace, labels=f"{LABEL_MANAGED_BY}={MANAGED_BY}"
        )
        return sorted((e["type"], e["reason"]) for e in found)


def line(stage: str, **facts: Any) -> Manifest:
    return {"stage": stage, "ok": True, **facts}


def whole_run(name: str = "churn-1") -> dict[str, Manifest]:
    """The lines of a run without a fault."""
    metrics = {"accuracy": 0.953, "roc_auc": 0.991}
    inputs = {"train": f"sha256:{'a' * 64}"}
    return {
        "fetch": line("fetch", inputs=inputs),
        "validate": line("validate", rows=569, warnings=[]),
        "train": line("train", metrics=metrics),
        "publish": line(
            "publish",
            uri=f"s3://models/churn/{name}/",
            digest=DIGEST,
            profile=DIGEST,
            format="Skops",
            metrics=metrics,
            inputs=inputs,
            seed=42,
            packages="sha256:cc",
        ),
    }


async def eventually(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll the server until it holds; fail the test when it does not in time."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await holds():  # noqa: ASYNC110 - it happens in the server
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise AssertionError(f"waited {WAIT_SECONDS:g} s in vain for {what}") from error


def _exit_code(told: Manifest | str | None) -> int | None:
    if not isinstance(told, dict):
        return None
    return 0 if told["ok"] else int(told.get("exitCode", 64))


def _container(stage: str, told: Manifest | str | None) -> Manifest:
    exit_code = _exit_code(told)
    state: Manifest = {"waiting": {"reason": "PodInitializing"}}
    if told == "running":
        state = {"running": {}}
    elif exit_code is not None:
        terminated = {"exitCode": exit_code, "reason": "Completed", "message": json.dumps(told)}
        state = {"terminated": terminated}
    image = {"image": "runtime:1", "imageID": "runtime@sha256:ff"}
    return {"name": stage, "ready": False, "restartCount": 0, "state": state, **image}
