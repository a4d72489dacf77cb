"""Looks by Jobs: one at a time, once for each interval, whatever happens to the operator."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import FakeKube, FakeSidecars
from typing_extensions import override

from tidegate.api.meta import ObjectKey, timestamp
from tidegate.api.names import (
    ANNOTATION_REVISION,
    API_VERSION,
    DRIFT_POLICY,
    LABEL_MODEL,
    MODEL,
)
from tidegate.api.v1alpha1.drift_policy import DriftPolicy, ModelDrift, SignalStatus
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import CONTROLLER_REVISIONS, DRIFT_POLICIES, JOBS, MODELS, PODS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector, Gathered
from tidegate.controllers.drift_policy.reconcile import reconcile
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.store import Store
from tidegate.errors import TerminalError
from tidegate.evidence.profile import make_profile
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.settings import Settings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = ObjectKey(DRIFT_POLICY, "growth", "tabular")
PROFILE = make_profile({}, {}, ["yes"] * 10, "classification", {})
TOGETHER: Manifest = {
    "name": "together",
    "type": "MultivariateDrift",
    "breach": "0.6",
    "interval": "1h",
}
LOG: Manifest = {
    "uri": "s3://logs/churn/",
    "hashed": ["customer_id"],
    "credentialsRef": {"name": "s3-write"},
}
FOUND: Manifest = {"auc": 0.71, "samples": 1000, "clustering": 1.0, "top": [["age", 0.1]]}


class Heard(Collector):
    """Has heard of a revision with a profile."""

    @override
    def gathered(self, key: ObjectKey) -> Gathered:
        return Gathered(
            windows={BlockKey(659, 1, "r1"): Counts(requests=100, rows=100)},
            labels={},
            closed_through=659,
            profiles={"r1": PROFILE},
        )


class World:
    """A policy that looks at a Model, and what becomes of its Jobs."""

    def __init__(
        self,
        *signals: Manifest,
        log: Manifest | None = LOG,
        kube: FakeKube | None = None,
        **spec: Any,
    ) -> None:
        self.kube = kube or FakeKube()
        self.now = NOW
        self.restart()
        of_policy = {
            "selector": {"matchLabels": {"tier": "prod"}},
            "window": {"size": "1h", "minSamples": 100},
            "signals": signals or [TOGETHER],
            "sustain": {"breaches": 1, "of": 1},
            **spec,
        }
        self.put(DRIFT_POLICY, "tabular", of_policy, {})
        sidecar = {"log": log} if log else {}
        artifact = {"fromTraining": {}, "credentialsRef": {"name": "s3-models"}}
        of_model = {"artifact": artifact, "serving": {"sidecar": sidecar}}
        self.put(MODEL, "churn", of_model, {"stable": {"revision": "r1"}})
        where = json.dumps({"uri": "s3://models/churn/v1/", "digest": f"sha256:{'1' * 64}"})
        self.kube._store(
            {
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": {
                    "name": "r1",
                    "namespace": "growth",
                    "annotations": {ANNOTATION_REVISION: where},
                },
            }
        )

    def restart(self) -> None:
        """An operator that knows nothing but what is in the API server."""
        self.cluster = Cluster(
            Settings("tidegate", "pod-1", "sidecar:1", "runtime:1", Path("key.pem")),
            self.kube,
            Store(),
            Heard(FakeSidecars(), asyncio.get_running_loop().time, lambda _: None),
            Ed25519PrivateKey.generate(),
            Metrics(),
            lambda: self.now,
        )

    def put(self, kind: str, name: str, spec: Manifest, status: Manifest) -> None:
        made: dict[str, Any] = {"apiVersion": API_VERSION, "kind": kind, "spec": spec}
        made["metadata"] = {"name": name, "namespace": "growth", "labels": {"tier": "prod"}}
        self.kube._store({**made, "status": status})

    async def look(self, *, after: timedelta = timedelta()) -> None:
        """A reconcile with what the watches have brought by then."""
        self.now += after
        for resource in (DRIFT_POLICIES, MODELS, JOBS, CONTROLLER_REVISIONS):
            found, version = await self.kube.list(resource, "growth")
            self.cluster.store.replace(resource, "growth", found, version)
        await reconcile(KEY, self.cluster, self.now)

    @property
    def jobs(self) -> list[Manifest]:
        return [obj for (r, _, _), obj in self.kube.objects.items() if r == JOBS]

    @property
    def running(self) -> list[Manifest]:
        return [job for job in self.jobs if "status" not in job]

    def end(self, said: Manifest | str | None, *, code: int = 0, container: str = "look") -> None:
        """The Job that runs has ended; None: and its pod was deleted."""
        (job,) = self.running
        name = job["metadata"]["name"]
        kind = "Failed" if code else "Complete"
        condition = {"type": kind, "status": "True", "message": "Job has reached its limit"}
        self.kube._store({**job, "status": {"conditions": [condition]}})
        if said is None:
            return
        message = said if isinstance(said, str) else json.dumps(said)
        ended = {"exitCode": code, "reason": "OOMKilled" if code == 137 else "", "message": message}
        status = {"containerStatuses": [{"name": container, "state": {"terminated": ended}}]}
        labels = {"batch.kubernetes.io/job-name": name}
        meta = {"name": f"{name}-x", "namespace": "growth", "labels": labels}
        self.kube._store({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": status})

    def vanish(self) -> None:
        """Time to live has ended for all that has ended."""
        for job in self.jobs:
            if "status" in job:
                self.kube.vanish(JOBS, "growth", job["metadata"]["name"])
        for r, _, name in list(self.kube.objects):
            if r == PODS:
                self.kube.vanish(PODS, "growth", name)

    @property
    def drift(self) -> ModelDrift:
        policy = DriftPolicy.model_validate(self.kube.objects[DRIFT_POLICIES, "growth", "tabular"])
        return policy.status.models[0]

    @property
    def signal(self) -> SignalStatus:
        return self.drift.signals[0]


async def test_looks_at_the_last_whole_interval_as_soon_as_its_lines_are_uploaded() -> None:
    world = World()
    await world.look(after=timedelta(minutes=2))
    (job,) = world.jobs
    asked = _question(job)
    assert (asked["after"], asked["through"]) == ("2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z")
    world.end(FOUND)
    await world.look()
    assert world.running == []
    await world.look(after=timedelta(minutes=1))
    assert _question(world.running[0])["through"] == "2026-11-21T12:00:00Z"


def _question(job: Manifest) -> dict[str, Any]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = json.loads(
        next(e["value"] for e in container["env"] if e["name"] == "TIDEGATE_LOOK")
    )
    return found


async def test_the_job_gets_what_it_needs_and_nothing_else() -> None:
    world = World({**TOGETHER, "features": {"exclude": ["age"]}})
    await world.look()
    (job,) = world.jobs
    asked = _question(job)
    assert asked["folder"] == "s3://logs/churn/model=churn/revision=r1/"
    assert (asked["exclude"], asked["minSamples"]) == (["age", "customer_id"], 100)
    pod = job["spec"]["template"]["spec"]
    (fetch,), (look,) = pod["initContainers"], pod["containers"]
    assert fetch["args"][0] == "fetch-model"
    assert f"--digest=sha256:{'1' * 64}" in fetch["args"]
    secrets = [
        {e["valueFrom"]["secretKeyRef"]["name"] for e in c["env"] if "valueFrom" in e}
        for c in (fetch, look)
    ]
    assert secrets == [{"s3-models"}, {"s3-write"}]
    assert "TIDEGATE_LOG_SALT" not in {e["name"] for e in look["env"]}
    assert pod["automountServiceAccountToken"] is False
    assert all(c["securityContext"]["readOnlyRootFilesystem"] for c in (fetch, look))
    # The Model's disruption budget and Services must not take the pod for one that serves.
    assert LABEL_MODEL not in job["spec"]["template"]["metadata"]["labels"]


async def test_reads_the_log_with_the_secret_that_the_signal_names() -> None:
    world = World({**TOGETHER, "credentialsRef": {"name": "s3-read"}})
    await world.look()
    (look,) = world.jobs[0]["spec"]["template"]["spec"]["containers"]
    assert {e["valueFrom"]["secretKeyRef"]["name"] for e in look["env"][1:]} == {"s3-read"}


async def test_a_finding_becomes_a_level_and_leads_to_the_action() -> None:
    world = World(actions=[{"when": {}, "do": "Notify"}])
    await world.look()
    assert world.signal.level == "Unknown"
    world.end(FOUND)
    await world.look()
    assert (world.signal.level, world.signal.value) == ("Breach", "0.710")
    assert world.signal.top[0].feature == "age"
    assert world.drift.cause == "SharedDrift"
    assert world.drift.last_action is not None
    assert world.drift.last_action.reason == "DriftDetected"


async def test_writes_nothing_between_looks() -> None:
    world = World()
    await world.look()
    world.end(FOUND)
    await world.look()
    world.kube.writes.clear()
    await world.look(after=timedelta(minutes=1))
    world.vanish()
    world.restart()
    await world.look(after=timedelta(minutes=1))
    assert world.kube.writes == []


@pytest.mark.parametrize(
    ("said", "code", "container", "told"),
    [
        ({"ok": False, "reason": "AccessDenied", "message": "s3://logs: denied"}, 64, "look",
         "s3://logs: denied"),
        ("", 137, "look", "Container look ended with exit code 137 (OOMKilled)."),
        ({"message": "no such bucket"}, 64, "fetch", "no such bucket"),
        ("not json", 0, "look", "has ended without a result"),
        (None, 1, "look", "Job has reached its limit"),
        ({"samples": 7, "message": "7 rows are too few."}, 0, "look", "7 rows are too few."),
    ],
    ids=["denied", "killed", "no model", "another program", "no pod", "few rows"],
)  # fmt: skip
async def test_a_look_without_a_finding_is_unknown_and_says_why(
    said: Manifest | str | None, code: int, container: str, told: str
) -> None:
    world = World(actions=[{"when": {}, "do": "Notify"}])
    await world.look()
    world.end(said, code=code, container=container)
    await world.look()
    assert world.signal.level == "Unknown"
    assert told in world.signal.message
    assert world.drift.last_action is None
    assert world.running == [], "the next interval has another"


async def test_two_signals_look_one_after_the_other() -> None:
    world = World(TOGETHER, {**TOGETHER, "name": "others"})
    await world.look()
    await world.look()
    assert len(world.jobs) == 1
    world.end(FOUND)
    await world.look()
    assert len(world.jobs) == 2
    world.end(FOUND)
    await world.look()
    assert [s.level for s in world.drift.signals] == ["Breach", "Breach"]


async def test_a_model_without_a_log_is_unknown() -> None:
    world = World(log=None)
    await world.look()
    assert world.jobs == []
    assert "spec.serving.sidecar.log" in world.signal.message


class FullNamespace(FakeKube):
    """Takes no Job: its quota is used up."""

    @override
    async def create(self, manifest: Manifest) -> Manifest | None:
        if manifest["kind"] == "Job":
            raise TerminalError("Forbidden", "exceeded quota")
        return await super().create(manifest)


async def test_a_job_that_is_refused_is_told_and_not_asked_for_again_and_again() -> None:
    world = World(kube=FullNamespace())
    await world.look()
    await world.look()
    assert "exceeded quota" in world.signal.message
    world.kube.writes.clear()
    await world.look()
    assert world.kube.writes == []


async def test_another_revision_is_looked_at_anew() -> None:
    world = World()
    await world.look()
    world.end(FOUND)
    await world.look()
    policy = world.kube.objects[DRIFT_POLICIES, "growth", "tabular"]
    looks = policy["status"]["models"][0]["looks"]
    policy["status"]["models"][0]["looks"] = [{**looks[0], "revision": "r0"}]
    world.vanish()
    world.restart()
    await world.look()
    assert world.running != []


@given(
    steps=st.lists(
        st.sampled_from(
            ["look", "die before the status", "restart", "end", "fail", "gone", "hour"]
        ),
        max_size=25,
    )
)
@settings(deadline=None, max_examples=60)
def test_whatever_happens_each_interval_is_looked_at_once_and_one_at_a_time(
    steps: list[str],
) -> None:
    asyncio.run(_story(steps))


async def _story(steps: list[str]) -> None:
    world = World()
    made: list[str] = []
    for step in steps:
        match step:
            case "look":
                await world.look()
            case "die before the status":
                before = world.kube.objects[DRIFT_POLICIES, "growth", "tabular"]["status"]
                await world.look()
                live = world.kube.objects[DRIFT_POLICIES, "growth", "tabular"]
                world.kube._keep({**live, "status": before}, live)
                world.restart()
            case "restart":
                world.restart()
            case "end" | "fail" | "gone" if world.running:
                said = {"end": FOUND, "fail": {"message": "denied"}, "gone": None}[step]
                world.end(said, code=0 if step == "end" else 64)
            case "hour":
                world.now += HOUR
            case _:
                pass  # no Job runs that could end
        made = [w[2] for w in world.kube.writes if w[:2] == ("create", "jobs")]
        assert len(world.running) <= 1
        assert len({_question(j)["through"] for j in world.jobs}) == len(world.jobs)
    assert len(set(made)) == len(world.jobs)
    if world.running:
        world.end(FOUND)
    await world.look()
    await world.look()
    looks = world.drift.looks
    assert all(k.through <= timestamp(world.now) for k in looks)
    if not world.running:
        assert looks, "the newest interval is looked at"
