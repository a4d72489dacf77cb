"""The whole operator, as its image starts it, on a real API server."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.integration.accounts import Installed
from tests.integration.apiserver import ApiServer, Manifest, wait_until
from tests.integration.conftest import install_crds
from tests.integration.helm import helm
from tests.integration.operator_core.objects import eventually, model
from tests.integration.operator_core.replicas import replica
from tests.integration.runtime.programs import S3Server

from tidegate.api.meta import timestamp
from tidegate.api.names import API_VERSION, LEASE_NAME
from tidegate.api.v1alpha1.model_status import DecisionStatus
from tidegate.clients.kube import Kube
from tidegate.clients.refusals import not_installed
from tidegate.clients.resources import CUSTOM, LEASES, MODELS
from tidegate.controllers.leader import LEASE_SECONDS
from tidegate.controllers.namespaces import LOOK_SECONDS
from tidegate.rollout.decision_line import Logged, parsed

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("crds")]


async def test_starts_reconciles_and_stops(
    kube: Kube, kubeconfig: Path, key: Path, namespace: str
) -> None:
    await kube.apply(model(namespace, "before"))
    async with replica(kubeconfig, key, namespace, "a") as operator:
        await eventually(operator.says("workers start"), "the start")
        assert (await operator.get("/livez"))[0] == 200
        assert (await operator.get("/readyz"))[0] == 200
        await operator.has_reconciled(1)
        await kube.apply(model(namespace, "after"))
        await operator.has_reconciled(2)
        found = await kube.get(MODELS, namespace, "after")
        assert found is not None
        assert "finalizers" not in found["metadata"]
        assert "annotations" not in found["metadata"]
        await operator.is_quiet()
        before = await operator.reconciles()
        await kube.delete(MODELS, namespace, "after")
        await operator.has_reconciled(before + 1)
        assert await operator.stop() == 0, operator.log
        assert "Traceback" not in operator.log
    lease = await kube.get(LEASES, namespace, LEASE_NAME)
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == ""


@pytest.fixture
def account(
    kubeconfig: Path, apiserver: ApiServer, namespace: str, tmp_path: Path
) -> Iterator[Path]:
    """The operator's own, with the rights that the chart gives it in all namespaces."""
    installed = Installed(apiserver, helm(kubeconfig), namespace, {})
    yield installed.kubeconfig(kubeconfig, namespace, tmp_path / "account")
    installed.remove()


async def test_works_in_all_namespaces_with_the_rights_of_the_chart(
    kube: Kube, account: Path, key: Path, namespace: str
) -> None:
    async with replica(account, key, namespace, "a", TIDEGATE_WATCH_NAMESPACES="") as operator:
        await eventually(operator.says("workers start"), "the start")
        await kube.apply(model(namespace))
        await operator.has_reconciled(1)
        assert " cannot " not in operator.log, "a right is missing"
        assert await operator.stop() == 0, operator.log


async def test_a_namespace_that_is_gone_does_not_stop_the_work_in_the_others(
    kube: Kube, kubeconfig: Path, apiserver: ApiServer, key: Path, namespace: str, tmp_path: Path
) -> None:
    chart, other = helm(kubeconfig), f"{namespace}-other"
    before = Installed(apiserver, chart, namespace, {"watchNamespaces[0]": namespace})
    account = before.kubeconfig(kubeconfig, namespace, tmp_path / "account")
    both = f"{namespace},{other}"
    await kube.apply(model(namespace))
    async with replica(account, key, namespace, "a", TIDEGATE_WATCH_NAMESPACES=both) as operator:
        await eventually(operator.says("workers start"), "the start")
        assert f"nothing is done in {other}: " in operator.log
        await operator.has_reconciled(1)
        assert (await operator.get("/readyz"))[0] == 200
        # Somebody makes the namespace and upgrades the release: it starts again, to work there.
        apiserver.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
        Installed(apiserver, chart, namespace, {"watchNamespaces": f"{{{both}}}"})
        async with operator.within(2 * LOOK_SECONDS):
            assert await operator.ends() == 1, operator.log
        assert f"{other} may be read now" in operator.log
    async with replica(account, key, namespace, "a", TIDEGATE_WATCH_NAMESPACES=both) as operator:
        await kube.apply(model(other))
        await operator.has_reconciled(2)
        assert "nothing is done" not in operator.log
    apiserver.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})


@pytest.fixture
def no_crds(apiserver: ApiServer, crds: dict[str, Manifest]) -> Iterator[None]:
    """A server without the CRDs until the test has ended."""
    kinds = [f"/apis/{API_VERSION}/{crd['spec']['names']['plural']}" for crd in crds.values()]
    # Deleting CRDs deletes all their objects: never on a cluster where somebody has any.
    wait_until(
        lambda: not any(apiserver.get(path).body.get("items") for path in kinds),
        "a cluster without objects of Tidegate, which this test would delete",
    )
    for crd in crds.values():
        apiserver.delete(crd)
    wait_until(lambda: all(apiserver.get(p).code == 404 for p in kinds), "the end of the CRDs")
    yield
    install_crds(apiserver)


@pytest.mark.usefixtures("no_crds")
async def test_says_which_crds_are_missing_and_begins_when_they_come(
    kubeconfig: Path, apiserver: ApiServer, key: Path, namespace: str
) -> None:
    async with replica(kubeconfig, key, namespace, "a") as operator:
        await eventually(operator.says(not_installed(CUSTOM)), "a word about the CRDs")
        assert (await operator.get("/readyz"))[0] == 503
        await asyncio.to_thread(install_crds, apiserver)
        await eventually(operator.says("workers start"), "the start")
        assert await operator.stop() == 0, operator.log


@pytest.mark.usefixtures("no_crds")
async def test_ends_when_it_is_told_to_while_it_waits_for_the_crds(
    kubeconfig: Path, key: Path, namespace: str
) -> None:
    async with replica(kubeconfig, key, namespace, "a") as operator:
        await eventually(operator.says(not_installed(CUSTOM)), "a word about the CRDs")
        assert await operator.stop() == 0, operator.log


async def test_a_standby_takes_over_from_a_leader_that_ends(
    kubeconfig: Path, key: Path, namespace: str
) -> None:
    async with (
        replica(kubeconfig, key, namespace, "a") as first,
        replica(kubeconfig, key, namespace, "b") as second,
    ):
        replicas = {"a": first, "b": second}

        def leaders() -> list[str]:
            return [name for name, one in replicas.items() if "workers start" in one.log]

        await eventually(lambda: len(leaders()) == 1, "a leader")
        (leader,) = leaders()
        standby = replicas["b" if leader == "a" else "a"]
        assert (await standby.get("/readyz"))[0] == 200
        assert (await standby.get("/livez"))[0] == 200
        assert "tidegate_leader 0.0" in (await standby.get("/metrics"))[1]
        await eventually(standby.says("stands by"), "the other to stand by")
        assert await replicas[leader].stop() == 0, replicas[leader].log
        looks = await standby.looks()
        await eventually(standby.says("workers start"), "the other to take over")
        # One may have been under way. A Lease that has to expire is looked at again and again.
        assert await standby.looks() <= looks + 2
        assert await standby.stop() == 0, standby.log


async def test_a_leader_that_lost_the_lease_exits(
    kube: Kube, kubeconfig: Path, key: Path, namespace: str
) -> None:
    async with replica(kubeconfig, key, namespace, "a") as operator:
        await eventually(operator.says("workers start"), "the start")
        lease = await kube.get(LEASES, namespace, LEASE_NAME)
        while lease is not None:  # until no renewal comes in between
            taken = {**lease, "spec": {**lease["spec"], "holderIdentity": "b"}}
            if await kube.replace(taken) is not None:
                break
            lease = await kube.get(LEASES, namespace, LEASE_NAME)
        async with operator.within(LEASE_SECONDS):
            assert await operator.ends() == 1, operator.log


@pytest.mark.s3
async def test_brings_decisions_to_the_bucket(
    kube: Kube, kubeconfig: Path, key: Path, namespace: str, store: S3Server
) -> None:
    """Also those that another operator has taken and could not bring any more."""
    await kube.apply(model(namespace))
    taken = DecisionStatus(
        id="d-0007",
        at=timestamp(datetime.now(UTC)),
        action="RollBack",
        revision="m-1",
        reason="MetricBreached",
    )
    await kube.apply_status(MODELS, namespace, "churn", {"decisions": [taken.to_api()]})
    asked = {"TIDEGATE_DECISIONS_URI": "s3://logs/decisions/", **store.environment()}
    async with replica(kubeconfig, key, namespace, "a", **asked) as operator:
        await eventually(lambda: len(store.keys("logs")) == 1, "the line")
        metrics = (await operator.get("/metrics"))[1]
        assert 'tidegate_decision_records_total{result="written"} 1.0' in metrics
        assert "tidegate_decision_records_waiting 0.0" in metrics
        assert await operator.stop() == 0, operator.log
    (line,) = (store.root / "logs" / "decisions").rglob("*.jsonl")
    assert list(parsed([line.read_text()])) == [Logged(namespace, "churn", taken)]


async def test_refuses_to_start_without_the_key_of_the_bucket(
    kubeconfig: Path, key: Path, namespace: str
) -> None:
    asked = {"TIDEGATE_DECISIONS_URI": "s3://logs/", "AWS_SECRET_ACCESS_KEY": ""}
    async with replica(kubeconfig, key, namespace, "a", **asked) as operator:
        assert await operator.ends() == 2, operator.log
        assert operator.log.startswith("s3://logs/: no credentials; name a Secret with ")


@pytest.fixture(params=["nothing", "no PEM", "a key of another kind"])
def useless_key(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    of_elliptic_curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    texts = {"nothing": b"", "no PEM": b"hello", "a key of another kind": of_elliptic_curve}
    path = tmp_path / "useless.pem"
    path.write_bytes(texts[request.param])
    return path


async def test_refuses_to_start_with_a_key_that_can_not_sign(
    kubeconfig: Path, useless_key: Path, namespace: str
) -> None:
    async with replica(kubeconfig, useless_key, namespace, "a") as operator:
        assert await operator.ends() == 2, operator.log
        assert operator.log == (
            f"TIDEGATE_SIGNING_KEY: {useless_key} must hold an Ed25519 key in PEM, "
            "as `openssl genpkey -algorithm ed25519` makes it\n"
        )


async def test_refuses_to_start_without_its_settings(
    kubeconfig: Path, key: Path, namespace: str
) -> None:
    async with replica(kubeconfig, key, namespace, "a", TIDEGATE_RUNTIME_IMAGE="") as operator:
        assert await operator.ends() == 2, operator.log
        assert operator.log == "set TIDEGATE_RUNTIME_IMAGE: it has no default\n"
