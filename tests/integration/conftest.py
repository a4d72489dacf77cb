"""What tests on a real API server share: where it is, and Tidegate's CRDs on it."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from tests.integration.apiserver import ApiServer, Manifest, wait_until
from tests.integration.runtime.programs import S3Server

from tidegate.clients.kube import Kube, configuration

ROOT = Path(__file__).parents[2]
CLUSTER = str(ROOT / "hack/cluster/cluster")
LOCAL = "test"
BUCKETS = ("data", "logs", "models")


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """A real API server: the one of KUBECONFIG, else a local control plane, which stays up."""
    given = os.environ.get("KUBECONFIG")
    if given:
        return Path(given)
    subprocess.run([CLUSTER, "up", "--name", LOCAL, "--control-plane-only"], check=True)
    found = subprocess.run(
        [CLUSTER, "kubeconfig", "--name", LOCAL], check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def apiserver(kubeconfig: Path) -> ApiServer:
    """A client of it, as its administrator."""
    return ApiServer(kubeconfig)


@pytest.fixture(scope="session")
def crds(apiserver: ApiServer) -> dict[str, Manifest]:
    """Tidegate's CRDs by kind, established on the API server."""
    return install_crds(apiserver)


def install_crds(apiserver: ApiServer) -> dict[str, Manifest]:
    """Apply the CRDs, and wait until the server uses them."""
    manifests = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").iterdir())]
    for manifest in manifests:
        answer = apiserver.apply(manifest)
        assert answer.accepted, answer.refusals
    for manifest in manifests:
        wait_until(partial(_serves, apiserver, manifest), manifest["metadata"]["name"])
    return {manifest["spec"]["names"]["kind"]: manifest for manifest in manifests}


def _serves(apiserver: ApiServer, crd: Manifest) -> bool:
    """Whether the server uses this very schema: it publishes one after it has begun to."""
    version = crd["spec"]["versions"][0]
    kind, group = crd["spec"]["names"]["kind"], crd["spec"]["group"]
    # What it publishes may yet be of a CRD that was deleted a moment ago.
    served = apiserver.get(f"/apis/{group}/{version['name']}/{crd['spec']['names']['plural']}")
    if not (_is_established(apiserver, crd) and served.accepted):
        return False
    answer = apiserver.get(f"/openapi/v3/apis/{group}/{version['name']}")
    reverse = ".".join(reversed(group.split(".")))
    published = answer.body.get("components", {}).get("schemas", {})
    schema = published.get(f"{reverse}.{version['name']}.{kind}", {})
    wanted = version["schema"]["openAPIV3Schema"]
    return all(
        schema.get("properties", {}).get(part) == wanted["properties"][part]
        for part in ("spec", "status")
    )


def _is_established(apiserver: ApiServer, crd: Manifest) -> bool:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    found = apiserver.get(f"{path}/{crd['metadata']['name']}").body
    conditions = found.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


@pytest.fixture
def namespace(apiserver: ApiServer) -> Iterator[str]:
    """A namespace of the test's own."""
    metadata = {"generateName": "test-"}
    made = apiserver.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    assert made.accepted, made.refusals
    yield made.body["metadata"]["name"]
    apiserver.delete(made.body | {"apiVersion": "v1", "kind": "Namespace"})


@pytest.fixture
async def restricted(
    kubeconfig: Path, apiserver: ApiServer, crds: object, namespace: str
) -> AsyncIterator[Kube]:
    """The operator's client; the test's namespace lets only restricted pods in."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": namespace, "labels": labels}
    labelled = apiserver.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    assert labelled.accepted, labelled.refusals
    kube = Kube(await configuration(kubeconfig))
    yield kube
    await kube.close()


@pytest.fixture(scope="session")
def versitygw() -> Path:
    """The S3 server's program: in TIDEGATE_BIN, or where the local cluster builds it."""
    folder = os.environ.get("TIDEGATE_BIN")
    if folder is None:
        command = [CLUSTER, "build", "versitygw"]
        built = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        folder = built.stdout.strip()
    return Path(folder) / "versitygw"


@pytest.fixture
def store(versitygw: Path, tmp_path: Path) -> Iterator[S3Server]:
    root = tmp_path / "s3"
    for bucket in BUCKETS:
        (root / bucket).mkdir(parents=True)
    server = S3Server(versitygw, root)
    server.start()
    yield server
    server.stop()
