"""The TrainingJob's reconcile on a real API server, where the test does the kubelet's part.

The pods ask for more memory than any node has: wherever the tests run, no kubelet takes them.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.reconciling import OURS, Reconciling, eventually

from tidegate.api.meta import ObjectKey
from tidegate.api.names import TRAINING_JOB
from tidegate.api.v1alpha1.training_job import TrainingJob
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import EVENTS, JOBS, PODS, TRAINING_JOBS
from tidegate.controllers.training_job.reconcile import reconcile

STAGES = ("fetch", "validate", "train", "publish")
TOO_LARGE = {"requests": {"memory": "900Ti"}}
DIGEST = f"sha256:{'d' * 64}"


class Trial(Reconciling):
    """One operator and its TrainingJobs."""

    listed = ((TRAINING_JOBS, ""), (JOBS, OURS))

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
        await self.make(TRAINING_JOB, name, given)

    async def look(self, name: str = "churn-1", at: datetime | None = None) -> timedelta | None:
        """One reconcile with the store as its watches would have it by now."""
        self.now = at or datetime.now(UTC)
        await self.relist()
        return await reconcile(
            ObjectKey(TRAINING_JOB, self.namespace, name), self.cluster, self.now
        )

    async def seen(self, name: str = "churn-1") -> TrainingJob:
        """The TrainingJob as users see it."""
        found = await self.kube.get(TRAINING_JOBS, self.namespace, name)
        assert found is not None
        return TrainingJob.model_validate(found)

    async def job(self, name: str = "churn-1") -> Manifest | None:
        return await self.kube.get(JOBS, self.namespace, name)

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

    async def is_late(self, name: str = "churn-1") -> None:
        """As if the deadline had passed, which is the Job controller's to see."""

        async def shortened() -> bool:
            job = await self.job(name)
            assert job is not None
            late = {**job, "spec": {**job["spec"], "activeDeadlineSeconds": 1}}
            return await self.kube.replace(late) is not None

        await eventually(shortened, "a write that the Job controller leaves alone")

    async def ends(self, condition: str, name: str = "churn-1") -> None:
        """Wait for the Job controller."""

        async def ended() -> bool:
            job = await self.job(name)
            listed = (job or {}).get("status", {}).get("conditions", ())
            return any(c["type"] == condition and c["status"] == "True" for c in listed)

        await eventually(ended, f"the Job's condition {condition}")

    async def told(self) -> list[tuple[str, str]]:
        """Type and reason of our Events."""
        found, _ = await self.kube.list(EVENTS, self.namespace, labels=OURS)
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
