"""A DriftPolicy's reconcile on a real API server, where the test does the kubelet's part."""

import json

from tests.integration.reconciling import OURS, Reconciling, eventually
from typing_extensions import override

from tidegate.api.meta import ObjectKey
from tidegate.api.names import ANNOTATION_REVISION, DRIFT_POLICY, MODEL
from tidegate.api.v1alpha1.drift_policy import DriftPolicy, ModelDrift
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import (
    CONTROLLER_REVISIONS,
    DRIFT_POLICIES,
    JOBS,
    MODELS,
    PODS,
)
from tidegate.controllers.collector import Collector, Gathered
from tidegate.controllers.drift_policy.reconcile import reconcile
from tidegate.evidence.profile import make_profile
from tidegate.evidence.windows import BlockKey, Counts

REVISION = "churn-1"
PROFILE = make_profile({}, {}, ["yes"] * 10, "classification", {})
MODEL_SPEC: Manifest = {
    "artifact": {"uri": "s3://models/churn/v1/", "digest": f"sha256:{'1' * 64}"},
    "serving": {"sidecar": {"log": {"uri": "s3://logs/", "credentialsRef": {"name": "s3-write"}}}},
    "monitoring": {"driftPolicyRef": {"name": "together"}},
}
POLICY_SPEC: Manifest = {
    "signals": [{"name": "together", "type": "MultivariateDrift", "breach": "0.6"}],
    "sustain": {"breaches": 1, "of": 1},
    "actions": [{"when": {}, "do": "Notify"}],
}


class Heard(Collector):
    """Has heard of a revision with a profile."""

    @override
    def gathered(self, key: ObjectKey) -> Gathered:
        counts = Counts(requests=100, rows=100)
        return Gathered(
            windows={BlockKey(719, 1, REVISION): counts},
            labels={},
            closed_through=719,
            profiles={REVISION: PROFILE},
        )


class Watch(Reconciling):
    """One operator, a policy, and the Model that it watches."""

    listed = ((MODELS, ""), (DRIFT_POLICIES, ""), (JOBS, OURS), (CONTROLLER_REVISIONS, ""))
    collector = Heard

    async def begin(self) -> None:
        await self.make(MODEL, "churn", MODEL_SPEC)
        await self.make(DRIFT_POLICY, "together", POLICY_SPEC)
        status = {"stable": {"revision": REVISION}}
        await self.kube.apply_status(MODELS, self.namespace, "churn", status)
        where = {"uri": "s3://models/churn/v1/", "digest": f"sha256:{'1' * 64}"}
        await self.kube.create(
            {
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": {
                    "namespace": self.namespace,
                    "name": REVISION,
                    "annotations": {ANNOTATION_REVISION: json.dumps(where)},
                },
                "data": where,
                "revision": 1,
            }
        )

    async def look(self) -> None:
        """One reconcile with the store as its watches would have it by now."""
        await self.relist()
        key = ObjectKey(DRIFT_POLICY, self.namespace, "together")
        await reconcile(key, self.cluster, self.now)

    async def jobs(self) -> list[Manifest]:
        found, _ = await self.kube.list(JOBS, self.namespace, labels=OURS)
        return found

    async def end(self, said: Manifest, code: int = 0) -> None:
        """Let the pod have ended with a line, and wait for the Job controller."""
        terminated = {"exitCode": code, "reason": "Completed", "message": json.dumps(said)}
        container = {
            "name": "look",
            "ready": False,
            "restartCount": 0,
            "image": "runtime:1",
            "imageID": "",
            "state": {"terminated": terminated},
        }
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container]}
        name = (await self.pod())["metadata"]["name"]
        await self.kube.apply_status(PODS, self.namespace, name, status)

        async def ended() -> bool:
            (job,) = await self.jobs()
            listed = job.get("status", {}).get("conditions", ())
            return any(c["type"] in ("Complete", "Failed") for c in listed)

        await eventually(ended, "the Job's end")

    async def drift(self) -> ModelDrift:
        """What the policy says of the Model, as users see it."""
        found = await self.kube.get(DRIFT_POLICIES, self.namespace, "together")
        assert found is not None
        return DriftPolicy.model_validate(found).status.models[0]
