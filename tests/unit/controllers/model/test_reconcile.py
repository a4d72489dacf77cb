"""A Model's reconcile against an API server in memory, also when the operator dies at a write."""

from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes import FakeKube, FakeSidecars
from tests.unit.controllers.model.scenes import CANARY, NEW_DIGEST, NEWER_DIGEST, NOW, OLD_DIGEST
from typing_extensions import override

from tidegate.api import names
from tidegate.api.meta import ObjectKey
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.model_status import RevisionStatus
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import (
    CHILDREN,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    CUSTOM,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    MODELS,
    PODS,
    SERVICES,
    Resource,
    of_manifest,
)
from tidegate.clients.sidecars import Target
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector, Gathered
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.model.reconcile import reconcile
from tidegate.controllers.model.state import revision_name
from tidegate.controllers.store import Store
from tidegate.errors import TerminalError, TransientError
from tidegate.evidence.windows import BlockKey, Counts, slot_of
from tidegate.settings import Settings
from tidegate.traffic.routing import Routing
from tidegate.traffic.signing import unseal

KEY = ObjectKey(names.MODEL, "growth", "churn")
OLD, NEW, NEWER = (
    revision_name("churn", digest, "Skops") for digest in (OLD_DIGEST, NEW_DIGEST, NEWER_DIGEST)
)
SIGNING_KEY = Ed25519PrivateKey.generate()
SETTINGS = Settings("tidegate", "op-1", "sidecar:1", "runtime:1", Path("unused"))


ERRORS = {
    "name": "errors",
    "source": "ErrorRate",
    "maxAbsoluteIncrease": "0.02",
    "onBreach": "Rollback",
}


class Died(BaseException):
    """The operator's process is gone; nothing in it may catch this."""


class MortalKube(FakeKube):
    """Kills the operator at its `dies_at`-th write from now on: before it, or right after it."""

    def __init__(self) -> None:
        super().__init__()
        self.dies_at: int | None = None
        self.after_effect = False
        self.offline = False
        """Whether nothing can be applied."""
        self.refused = ""
        """The name of the Deployment that admission refuses."""

    @override
    async def apply(self, manifest: Manifest) -> Manifest:
        self._die(before=True)
        if self.offline:
            raise TransientError("no connection")
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == self.refused:
            raise TerminalError("Invalid", "no such CPU")
        done = await super().apply(manifest)
        self._die(before=False)
        return done

    @override
    async def list(self, resource: Resource, *where: Any, **how: Any) -> Any:
        if self.offline and resource == PODS:
            raise TransientError("no connection")
        return await super().list(resource, *where, **how)

    @override
    async def apply_status(
        self, resource: Any, namespace: str, name: str, status: Mapping[str, Any]
    ) -> Manifest:
        self._die(before=True)
        done = await super().apply_status(resource, namespace, name, status)
        self._die(before=False)
        return done

    @override
    async def create(self, manifest: Manifest) -> Manifest | None:
        self._die(before=True)
        done = await super().create(manifest)
        self._die(before=False)
        return done

    @override
    async def delete(
        self, resource: Any, namespace: str, name: str, *, uid: str | None = None
    ) -> None:
        self._die(before=True)
        await super().delete(resource, namespace, name, uid=uid)
        self._die(before=False)

    def _die(self, *, before: bool) -> None:
        if self.dies_at is None or before == self.after_effect:
            return
        self.dies_at -= 1
        if self.dies_at == 0:
            self.dies_at = None
            raise Died


class ScriptedCollector(Collector):
    """Every pod confirms at once; what it counts follows the routing document."""

    def __init__(self, world: "World") -> None:
        super().__init__(FakeSidecars(), lambda: 0.0, lambda _key: None, lambda *_: None)
        self._world = world

    @override
    def gathered(self, key: ObjectKey) -> Gathered:
        return self._world.gathered()

    @override
    def follow(self, key: ObjectKey, *args: Any, **options: object) -> None:
        self._world.pushed = str(options["envelope"])
        (self._world.followed,) = args

    @override
    def forget(self, key: ObjectKey) -> None:
        pass


class World:
    """An API server, a kubelet that starts pods at once, clients, and an operator that may die."""

    metrics: tuple[Mapping[str, Any], ...] = (ERRORS,)
    history = 10

    def __init__(self, *, error: float, strategy: Mapping[str, Any] = CANARY) -> None:
        self.kube = MortalKube()
        self.now = NOW
        self.error = error
        self.windows: dict[BlockKey, Counts] = {}
        self.strategy = strategy
        self.deaths = 0
        self.pushed = ""
        """The sealed document that the collector hands to the pods."""
        self.skews: dict[str, float] = {}
        """By how many seconds pods' clocks are ahead."""
        self.followed: tuple[Target, ...] = ()
        """The pods that the collector is told to ask."""
        self.hidden: tuple[Resource, str] | None = None
        """An object without our label, which the watches don't bring."""
        self.cluster = self._operator()

    def _operator(self) -> Cluster:
        """A new process: it knows what the API server knows, and nothing else."""
        return Cluster(
            SETTINGS,
            self.kube,
            Store((resource, None) for resource in (*CUSTOM, *CHILDREN)),
            ScriptedCollector(self),
            SIGNING_KEY,
            Metrics(),
            lambda: self.now,
        )

    async def want(self, digest: str) -> None:
        """What a user does: apply a Model."""
        dies, self.kube.dies_at = self.kube.dies_at, None
        await FakeKube.apply(
            self.kube,
            {
                "apiVersion": names.API_VERSION,
                "kind": names.MODEL,
                "metadata": {"name": "churn", "namespace": "growth"},
                "spec": {
                    "artifact": {"uri": "s3://lake/m/", "digest": digest},
                    "delivery": {
                        "strategy": self.strategy,
                        "keepPreviousWarm": "10s",
                        "revisionHistoryLimit": self.history,
                        "analysis": {
                            "minSamples": 100,
                            "metrics": list(self.metrics),
                        },
                    },
                },
            },
        )
        self.kube.dies_at = dies

    async def run(self, looks: int) -> None:
        for _ in range(looks):
            self.now += timedelta(seconds=10)
            self._kubelet()
            self._clients()
            for resource in (*CUSTOM, *CHILDREN):
                objects, version = await self.kube.list(resource)
                objects = [o for o in objects if (resource, o["metadata"]["name"]) != self.hidden]
                self.cluster.store.replace(resource, None, objects, version)
            try:
                await reconcile(KEY, self.cluster, self.now)
            except Died:
                self.deaths += 1
                self.cluster = self._operator()

    def _kubelet(self) -> None:
        """Every Deployment has one ready pod, every Service its slice."""
        found = {n for (r, _, n) in self.kube.objects if r == DEPLOYMENTS}
        slices = {n for (r, _, n) in self.kube.objects if r == ENDPOINT_SLICES}
        for name in slices - found:
            self.kube.vanish(ENDPOINT_SLICES, "growth", name)
        for name in found - slices:
            labels = {names.LABEL_MODEL: "churn", names.LABEL_REVISION: name}
            endpoint = {
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": True},
                "targetRef": {"uid": f"pod-of-{name}"},
            }
            self.kube._store(
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {"name": name, "namespace": "growth", "labels": labels},
                    "endpoints": [endpoint],
                }
            )

    def routing(self) -> Routing | None:
        config = self.kube.objects.get((CONFIG_MAPS, "growth", "churn-routing"))
        if config is None or "data" not in config:
            return None
        envelope = config["data"][names.ROUTING_FILE]
        return Routing.from_json(unseal(envelope, SIGNING_KEY.public_key()))

    def _clients(self) -> None:
        routing = self.routing()
        if routing is None:
            return
        share = routing.candidate.weight / 100 if routing.candidate else 0.0
        slot = slot_of(self.now.timestamp()) - 1
        parts = {routing.stable: 1 - share}
        if routing.candidate is not None:
            parts[routing.candidate.revision] = share
        for name, part in parts.items():
            n = round(400 * part)
            failed = round(n * self.error) if name == NEW else 0
            errors = {"5xx": failed} if failed else {}
            key = BlockKey(slot, routing.generation, name)
            self.windows[key] = Counts(requests=n, errors=errors)

    def gathered(self) -> Gathered:
        routing = self.routing()
        pods = [f"pod-of-{n}" for (r, _, n) in self.kube.objects if r == ENDPOINT_SLICES]
        closed = slot_of(self.now.timestamp()) - 1
        return Gathered(
            windows=self.windows,
            confirmed=dict.fromkeys(pods, routing.generation if routing else 0),
            closed_through=closed,
            labels_closed_through=closed,
            told=sum(c.requests for c in self.windows.values()),
            lost=3,
            skews=self.skews,
        )

    def model(self) -> Model:
        return Model.model_validate(self.kube.objects[MODELS, "growth", "churn"])

    def is_ready(self) -> bool:
        ready = self.model().status.condition("Ready")
        return ready is not None and ready.status == "True"

    def shares(self) -> list[RevisionStatus]:
        status = self.model().status
        return [r for r in (status.stable, status.candidate) if r is not None]

    def names(self, resource: Any) -> set[str]:
        return {n for (r, _, n) in self.kube.objects if r == resource}

    def outcome(self) -> tuple[object, ...]:
        """What must be the same in the end, whatever happened on the way."""
        status = self.model().status
        assert status.stable is not None
        routing = self.routing()
        assert routing is not None
        return (
            status.stable.revision,
            [r.revision for r in status.rejected],
            routing.stable,
            routing.candidate,
            self.names(DEPLOYMENTS),
            self.names(SERVICES),
            [(c.type, c.status, c.reason) for c in status.conditions],
        )


class LingeringWorld(World):
    """Pods that take their time to end."""

    lingers = False

    @override
    def _kubelet(self) -> None:
        gone = {n for (r, _, n) in self.kube.objects if r == ENDPOINT_SLICES}
        gone -= self.there(DEPLOYMENTS)
        slices = {n: self.kube.objects[ENDPOINT_SLICES, "growth", n] for n in gone}
        super()._kubelet()
        for piece in slices.values() if self.lingers else ():
            (endpoint,) = piece["endpoints"]
            ending = {**endpoint, "conditions": {"ready": False, "terminating": True}}
            self.kube._store({**piece, "endpoints": [ending]})

    def there(self, resource: Resource) -> set[str]:
        return {name for (r, _, name) in self.kube.objects if r == resource}


async def delivered(world: World) -> None:
    await world.want(OLD_DIGEST)
    await world.run(4)
    await world.want(NEW_DIGEST)
    await world.run(30)


async def test_a_good_version_is_promoted_and_only_its_objects_are_left() -> None:
    world = World(error=0.0)
    await delivered(world)
    assert world.names(DEPLOYMENTS) == {NEW}
    assert world.names(SERVICES) == {"churn", NEW}
    decisions = [d.action for d in world.model().status.decisions]
    assert decisions[0] == "Promote"
    assert decisions[-1] == "Promote"


@pytest.mark.parametrize(("history", "kept"), [(1, {NEW, NEWER}), (2, {OLD, NEW, NEWER})])
async def test_no_more_revisions_are_remembered_than_wanted(history: int, kept: set[str]) -> None:
    world = World(error=0.0)
    world.history = history
    await delivered(world)
    await world.want(NEWER_DIGEST)
    await world.run(30)
    assert world.names(DEPLOYMENTS) == {NEWER}
    assert world.names(CONTROLLER_REVISIONS) == kept


async def test_a_bad_version_is_rolled_back_and_only_the_old_objects_are_left() -> None:
    world = World(error=0.3)
    await delivered(world)
    assert world.names(DEPLOYMENTS) == {OLD}
    assert [r.revision for r in world.model().status.rejected] == [NEW]


async def test_at_rest_nothing_is_written() -> None:
    world = World(error=0.0)
    await delivered(world)
    before = list(world.kube.writes)
    await world.run(5)
    assert world.kube.writes == before


async def test_a_model_whose_end_no_watch_has_told_gets_its_objects_once_more_at_most() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(5)
    for resource, namespace, name in list(world.kube.objects):
        world.kube.vanish(resource, namespace, name)
    for resource in CHILDREN:
        world.cluster.store.replace(resource, None, [], str(world.kube._version))
    await reconcile(KEY, world.cluster, world.now)
    before = list(world.kube.writes)
    assert await reconcile(KEY, world.cluster, world.now) is None
    assert world.kube.writes == before


async def test_after_a_restart_nothing_is_written_that_is_so_already() -> None:
    world = World(error=0.0)
    await delivered(world)
    before = list(world.kube.writes)
    world.cluster = world._operator()
    await world.run(2)
    assert world.kube.writes == before


@pytest.mark.parametrize("error", [0.0, 0.3])
@pytest.mark.parametrize("after_effect", [False, True])
async def test_dying_at_any_write_ends_in_the_same_state(
    *, error: float, after_effect: bool
) -> None:
    calm = World(error=error)
    await delivered(calm)
    writes = len(calm.kube.writes) - 2  # two of them are the user's
    for k in range(1, writes + 1):
        world = World(error=error)
        world.kube.dies_at, world.kube.after_effect = k, after_effect
        await delivered(world)
        await world.run(8)  # what the dead have cost
        assert world.deaths == 1, f"no write number {k}"
        assert world.outcome() == calm.outcome(), f"died at write {k} of {writes}"


async def test_the_share_of_a_candidate_is_not_shown_as_that_of_the_next() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    await world.want(NEW_DIGEST)
    while (candidate := world.model().status.candidate) is None or not candidate.weight:
        await world.run(1)
    weights = {r.revision: r.weight for r in world.shares()}
    assert weights == {OLD: 90, NEW: 10}
    await world.want(NEWER_DIGEST)
    await world.run(1)
    weights = {r.revision: r.weight for r in world.shares()}
    assert weights == {OLD: 90, NEWER: 0}  # pods have yet to be told not to send any more to NEW


async def test_a_lost_revision_object_does_not_let_a_candidate_through() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    world.kube.vanish(CONTROLLER_REVISIONS, "growth", OLD)
    await world.want(NEW_DIGEST)
    await world.run(1)
    routing = world.routing()
    assert routing is not None
    assert routing.stable == OLD
    assert OLD in world.names(CONTROLLER_REVISIONS)


async def test_an_edited_selector_promotes_nobody() -> None:
    world = World(error=0.3)
    await world.want(OLD_DIGEST)
    await world.run(4)
    await world.want(NEW_DIGEST)
    await world.run(3)
    edited = deepcopy(world.kube.objects[SERVICES, "growth", "churn"])
    edited["spec"]["selector"][names.LABEL_REVISION] = NEW
    world.kube._store(edited)
    await world.run(1)
    service = world.kube.objects[SERVICES, "growth", "churn"]
    assert service["spec"]["selector"][names.LABEL_REVISION] == OLD
    assert world.model().status.decisions[-1].action != "Promote"


@pytest.mark.parametrize(
    ("kind", "version", "name"),
    [
        ("Service", "v1", "churn"),
        ("ConfigMap", "v1", "churn-routing"),
        ("PodDisruptionBudget", "policy/v1", "churn"),
    ],
)
async def test_what_belongs_to_somebody_else_is_left_alone_and_named(
    kind: str, version: str, name: str
) -> None:
    world = World(error=0.0)
    theirs = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "growth", "annotations": {"whose": "theirs"}},
    }
    kept = world.kube._store(theirs)
    world.hidden = (of_manifest(theirs), name)
    await world.want(OLD_DIGEST)
    await world.run(3)
    assert world.kube.objects[of_manifest(theirs), "growth", name] == kept
    for condition in ("Accepted", "Ready"):
        found = world.model().status.condition(condition)
        assert found is not None
        assert (found.status, found.reason) == ("False", "NameTaken")
        assert f"{kind} {name} exists" in found.message
    before = list(world.kube.writes)
    await world.run(3)
    applied = [w for w in world.kube.writes[len(before) :] if w[0] != "apply"]
    assert applied == [], "the status is written once"
    world.hidden = None
    world.kube.vanish(of_manifest(theirs), "growth", name)
    await world.run(4)
    assert world.is_ready()


async def test_a_model_that_is_gone_leaves_no_series() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    assert 'model="churn"' in world.cluster.metrics.exposition().decode()
    world.kube.vanish(MODELS, "growth", "churn")
    await world.run(1)
    assert 'model="churn"' not in world.cluster.metrics.exposition().decode()


async def test_a_candidate_that_is_refused_leaves_stable_serving() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    world.kube.refused = NEW
    await world.want(NEW_DIGEST)
    await world.run(3)
    accepted = world.model().status.condition("Accepted")
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", "InvalidSpec")
    assert "no such CPU" in accepted.message
    routing = world.routing()
    assert routing is not None
    assert (routing.stable, routing.candidate) == (OLD, None)
    assert world.names(DEPLOYMENTS) == {OLD}


async def test_a_roll_back_reaches_the_pods_while_the_api_server_fails() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    await world.want(NEW_DIGEST)
    while (routing := world.routing()) is None or routing.candidate is None:
        await world.run(1)
    world.error = 0.9
    world.kube.offline = True
    for _ in range(10):
        with suppress(TransientError):
            await world.run(1)
    assert world.routing() == routing
    told = Routing.from_json(unseal(world.pushed, SIGNING_KEY.public_key()))
    assert told.candidate is None
    assert told.generation > routing.generation


async def test_a_candidate_that_dies_loses_its_weight_while_the_api_server_fails() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    await world.want(NEW_DIGEST)
    while (routing := world.routing()) is None or routing.candidate is None:
        await world.run(1)
    world.kube.objects[ENDPOINT_SLICES, "growth", NEW]["endpoints"] = []
    version = world.kube.objects[ENDPOINT_SLICES, "growth", NEW]["metadata"]
    version["resourceVersion"] = str(10**6)
    world.kube.offline = True
    with suppress(TransientError):
        await world.run(1)
    told = Routing.from_json(unseal(world.pushed, SIGNING_KEY.public_key()))
    assert told.candidate is None


async def test_labels_may_come_for_ever() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    live = deepcopy(world.kube.objects[MODELS, "growth", "churn"])
    live["spec"]["monitoring"] = {"feedback": {"horizon": "999999d"}}
    world.kube._store(live)
    await world.run(4)
    assert world.is_ready()


async def test_the_weight_that_is_measured_is_the_one_that_is_shown() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    await world.want(NEW_DIGEST)
    seen = set()
    for _ in range(30):
        await world.run(1)
        text = world.cluster.metrics.exposition().decode()
        for share in world.shares():
            series = f'model="churn",namespace="growth",revision="{share.revision}"'
            assert f"tidegate_rollout_weight{{{series}}} {float(share.weight)}" in text
            seen.add(share.weight)
    assert seen == {0, 10, 50, 90, 100}


async def test_evidence_grows_old_while_nobody_answers() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    lag = 'tidegate_evidence_lag_seconds{model="churn",namespace="growth"}'
    assert f"{lag} 0.0" in world.cluster.metrics.exposition().decode()
    world.now += timedelta(minutes=5)
    assert f"{lag} 300.0" in world.cluster.metrics.exposition().decode()


async def test_a_service_goes_after_its_pods_for_they_have_requests_to_tell_of() -> None:
    world = LingeringWorld(error=0.2)
    await world.want(OLD_DIGEST)
    await world.run(4)
    await world.want(NEW_DIGEST)
    while world.there(DEPLOYMENTS) != {OLD, NEW}:
        await world.run(1)
    world.lingers = True
    while world.there(DEPLOYMENTS) != {OLD}:
        await world.run(1)
    await world.run(3)
    assert NEW in world.there(SERVICES)
    assert NEW in {t.revision for t in world.followed if t.ending}
    world.lingers = False
    await world.run(2)
    assert world.there(SERVICES) == {OLD, "churn"}


async def test_requests_that_pods_told_of_and_those_they_lost_are_shown() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    told = sum(c.requests for c in world.windows.values())
    assert told > 0
    text = world.cluster.metrics.exposition().decode()
    of = '{model="churn",namespace="growth"}'
    assert f"tidegate_evidence_requests{of} {float(told)}" in text
    assert f"tidegate_evidence_lost_requests{of} 3.0" in text


async def test_a_pod_whose_clock_is_wrong_is_named() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    world.skews = {f"pod-of-{OLD}": -600.0}
    await world.run(1)
    guarded = world.model().status.condition("Guarded")
    assert guarded is not None
    assert (guarded.status, guarded.reason) == ("False", "ClockSkewed")
    assert f"pod-of-{OLD} is 10m behind" in guarded.message
    of = '{model="churn",namespace="growth"}'
    shown = f"tidegate_evidence_skewed_pods{of}"
    assert f"{shown} 1.0" in world.cluster.metrics.exposition().decode()
    world.skews = {}
    await world.run(1)
    guarded = world.model().status.condition("Guarded")
    assert guarded is not None
    assert guarded.status == "True"
    assert f"{shown} 0.0" in world.cluster.metrics.exposition().decode()


async def test_a_model_that_no_policy_watches_has_no_level_of_drift() -> None:
    world = World(error=0.0)
    await world.want(OLD_DIGEST)
    await world.run(4)
    world.cluster.metrics.drift_level.labels("growth", "churn").set(2)  # of a policy that is gone
    await world.run(1)
    assert "tidegate_model_drift_level{" not in world.cluster.metrics.exposition().decode()


@pytest.mark.parametrize("resource", [DEPLOYMENTS, SERVICES, CONFIG_MAPS])
async def test_deleted_objects_come_back(resource: Any) -> None:
    world = World(error=0.0)
    await delivered(world)
    before = world.names(resource)
    for name in before:
        world.kube.vanish(resource, "growth", name)
    await world.run(3)
    assert world.names(resource) == before
    assert world.model().status.stable is not None
