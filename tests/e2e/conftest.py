"""What the tests on a cluster share: Tidegate, installed, and namespaces for it to work in."""

import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hack.demo.world import tables
from tests.e2e.diagnosis import diagnose
from tests.e2e.objects import LOGISTIC, TREE, training, training_job
from tests.e2e.operator import Operator
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import trained
from tests.e2e.store import Store
from tests.integration.apiserver import ApiServer, Manifest
from tests.integration.conftest import install_crds
from tests.integration.helm import ROOT, helm
from tests.ports import free_port

CLUSTER = str(ROOT / "hack/cluster/cluster")
# Sessions beside each other on one cluster differ by this.
PREFIX = os.environ.get("TIDEGATE_E2E_PREFIX", "e2e")
SYSTEM, DELIVERY, OUTAGE = f"{PREFIX}-system", f"{PREFIX}-delivery", f"{PREFIX}-outage"
HERE = Path(__file__).parent
TEST_SECONDS = 900  # for many waits, none of which ends late: see `place.PATIENCE_SECONDS`
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/models.tidegate.dev"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The cluster of KUBECONFIG, else the local one."""
    given = os.environ.get("KUBECONFIG")
    if given:
        return Path(given)
    found = subprocess.run([CLUSTER, "kubeconfig"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def places(kubeconfig: Path) -> Iterator[dict[str, Place]]:
    """Fresh namespaces in which only restricted pods may run; they go with the session."""
    apiserver = ApiServer(kubeconfig)
    found = {name: Place(apiserver, name) for name in (SYSTEM, DELIVERY, OUTAGE)}
    _remove(apiserver, found)  # of a session that was broken off
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    for name in found:
        metadata = {"name": name, "labels": labels}
        made = apiserver.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        assert made.accepted, made.refusals
    yield found
    _remove(apiserver, found)


def _remove(apiserver: ApiServer, names: dict[str, Place]) -> None:
    paths = [f"/api/v1/namespaces/{name}" for name in names]
    for path in paths:
        apiserver.remove(path)

    def gone() -> bool:
        return all(apiserver.get(path).code == 404 for path in paths)

    eventually(gone, "the end of the namespaces")


@pytest.fixture(scope="session")
def prometheus_address(places: dict[str, Place]) -> str:
    """Where a Prometheus may listen that the operator asks: this machine is the node."""
    (node,) = places[SYSTEM].apiserver.get("/api/v1/nodes").body["items"]
    (host,) = (a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
    return f"{host}:{free_port()}"


@pytest.fixture(scope="session")
def operator(
    kubeconfig: Path, places: dict[str, Place], prometheus_address: str
) -> Iterator[Operator]:
    """Tidegate, with two replicas; it must stay within what the chart allows."""
    audit = kubeconfig.with_name("log") / "audit.log"
    assert audit.exists(), f"{audit} is missing: these tests need a local cluster, on this machine"
    installed = Operator(places[SYSTEM], helm(kubeconfig), audit)
    brings_crds = not places[SYSTEM].apiserver.get(CRD).accepted
    if not brings_crds:  # somebody else's, perhaps of another time
        install_crds(places[SYSTEM].apiserver)
    since = audit.stat().st_size
    try:
        installed.install(
            {
                "image.registry": os.environ.get("REGISTRY", "localhost"),
                "replicas": "2",
                "prometheus.url": f"http://{prometheus_address}",
                "watchNamespaces": f"{{{DELIVERY},{OUTAGE}}}",
                "crds.enabled": str(brings_crds).lower(),
                "crds.keep": "false",
                "rbac.aggregateToDefaultRoles": "false",
            }
        )
        yield installed
        asked = set(installed.requests(since))
        assert not {r for r in asked if r.code == 403}, "the chart gives every verb that is used"
        named = {r.namespace for r in asked if r.resource}
        assert named <= set(places), "it asks of its own namespaces only"
    finally:
        installed.uninstall()


@pytest.fixture(scope="session")
def store(kubeconfig: Path, places: dict[str, Place]) -> Store:
    """An object store with the tables that models learn from."""
    started = Store(places[DELIVERY], kubeconfig)
    started.start()
    started.put({key.removesuffix(".csv"): table for key, table in tables.stored().items()})
    return started


@pytest.fixture
def delivery(operator: Operator, store: Store) -> Place:
    """The namespace where Tidegate delivers."""
    return store.place


@pytest.fixture
def outage(operator: Operator, places: dict[str, Place], kubeconfig: Path) -> Store:
    """An object store that may fail: nothing else lies in it."""
    started = Store(places[OUTAGE], kubeconfig)
    started.start()
    return started


@pytest.fixture(scope="session")
def artifacts(operator: Operator, store: Store) -> dict[str, Manifest]:
    """A tree, and a regression that is better: published, of no Model."""
    place = store.place
    place.apply(training_job("any-tree", training("first", TREE)))
    place.apply(training_job("any-regression", training("all", LOGISTIC)))
    return {name: trained(place, f"any-{name}") for name in ("tree", "regression")}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say what the cluster looked like when a test failed."""
    report = yield
    found = item.funcargs.get("places") if hasattr(item, "funcargs") else None
    if report.failed and isinstance(found, dict):
        report.sections.append(("the cluster", diagnose(found.values())))
    return report
