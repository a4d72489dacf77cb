"""With KUBECONFIG set, everything works on that cluster, and none is built."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hack.cluster.prerequisites import ensure_packages
from hack.demo.stage import SYSTEM_NAMESPACE
from hack.demo.watch import NAMESPACE
from hack.target import CLUSTER, ROOT
from tests.e2e.conftest import PREFIX
from tests.e2e.place import eventually
from tests.integration.apiserver import ApiServer
from tests.integration.runtime.programs import wait_for_port
from tests.ports import free_port

REACH = """
from hack.target import reach
target = reach("default", has_node=True)
print(target.made or "nothing made", target.image("operator"), sep="\\n")
"""


@pytest.fixture
def environment(kubeconfig: Path, tmp_path: Path) -> dict[str, str]:
    """The local cluster, handed over as if it were somebody else's; nothing is cached."""
    given = shutil.copy(kubeconfig, tmp_path / "kubeconfig")
    programs = run([CLUSTER, "build", "kubectl", "helm"], os.environ)
    path = f"{programs.stdout.strip().splitlines()[-1]}:{os.environ['PATH']}"
    cache = str(tmp_path / "cache")
    return {**os.environ, "KUBECONFIG": str(given), "PATH": path, "TIDEGATE_CACHE": cache}


def run(command: list[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry that speaks plain HTTP; its address."""
    ensure_packages({"docker-registry": "docker-registry"}, install=True, is_root=True)
    config = tmp_path / "registry.yml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "kept")}}
    config.write_text(json.dumps({"version": 0.1, "storage": storage}))  # which is YAML too
    port = free_port()
    variables = {**os.environ, "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}"}
    with (tmp_path / "registry.log").open("w") as log:
        server = subprocess.Popen(
            ("docker-registry", "serve", str(config)), env=variables, stdout=log, stderr=log
        )
    try:
        wait_for_port(port)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def test_up_only_looks_whether_the_cluster_answers(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = run([CLUSTER, "up"], environment)
    assert done.returncode == 0, done.stdout
    assert "v1." in done.stdout
    assert not (tmp_path / "cache" / "cluster").exists()


def test_the_images_come_from_the_registry_that_is_named(environment: dict[str, str]) -> None:
    named = {**environment, "REGISTRY": "registry.example:5000/ml", "TAG": "v9"}
    done = run([sys.executable, "-c", REACH], named)
    looked, *reached = done.stdout.splitlines()
    assert looked.startswith(f"using the cluster of KUBECONFIG={named['KUBECONFIG']}: Kubernetes v")
    assert reached == ["nothing made", "registry.example:5000/ml/tidegate-operator:v9"]


def test_a_cluster_that_does_not_answer_is_told_before_anything_else(
    environment: dict[str, str], tmp_path: Path
) -> None:
    absent = {**environment, "REGISTRY": "registry.example", "KUBECONFIG": str(tmp_path / "no")}
    done = run([sys.executable, "-m", "hack.demo", "up"], absent)
    assert done.returncode == 1
    assert "the cluster that KUBECONFIG names does not answer" in done.stdout
    assert f"check KUBECONFIG={tmp_path}/no, or unset it" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.fixture
def namespace(kubeconfig: Path) -> Iterator[str]:
    """An empty one that nobody else uses."""
    apiserver, name = ApiServer(kubeconfig), f"{PREFIX}-foreign"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert apiserver.apply(manifest).accepted
    yield name
    apiserver.delete(manifest)


def test_a_pod_runs_an_image_that_was_pushed(
    environment: dict[str, str], registry: str, kubeconfig: Path, namespace: str
) -> None:
    address = f"{registry}/ml"
    pushed = run([CLUSTER, "image", "push", "--insecure", "--target", "s3", address], os.environ)
    assert pushed.returncode == 0, pushed.stdout
    image = f"{address}/tidegate-s3:dev"
    ready = run([CLUSTER, "s3", "--namespace", namespace, "--image", image], environment)
    assert ready.returncode == 0, ready.stdout
    pods = ApiServer(kubeconfig).get(f"/api/v1/namespaces/{namespace}/pods").body["items"]
    assert [p["status"]["containerStatuses"][0]["ready"] for p in pods] == [True]
    assert [p["spec"]["containers"][0]["image"] for p in pods] == [image]


def test_a_demo_that_is_interrupted_leaves_nothing(
    environment: dict[str, str], kubeconfig: Path, tmp_path: Path
) -> None:
    apiserver = ApiServer(kubeconfig)
    world = f"/api/v1/namespaces/{NAMESPACE}/pods/world"
    variables = {**environment, "REGISTRY": "localhost", "TAG": "dev"}
    told = tmp_path / "told"
    with told.open("w") as out:
        demo = subprocess.Popen(
            (sys.executable, "-m", "hack.demo", "up"),
            cwd=ROOT, env=variables, stdout=out, stderr=out,
        )  # fmt: skip

    def is_playing() -> bool:
        assert demo.poll() is None, told.read_text()
        return apiserver.get(world).accepted

    try:
        eventually(is_playing, "the demo's clients")
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait()
    assert demo.returncode == 130, told.read_text()
    assert "The demo is gone." in told.read_text()
    for namespace in (NAMESPACE, SYSTEM_NAMESPACE):
        assert apiserver.get(f"/api/v1/namespaces/{namespace}").code == 404
    roles = apiserver.get("/apis/rbac.authorization.k8s.io/v1/clusterroles").body["items"]
    assert [r for r in roles if r["metadata"]["name"].startswith("tidegate-demo")] == []


def test_without_a_registry_it_says_what_to_do(environment: dict[str, str]) -> None:
    unnamed = {k: v for k, v in environment.items() if k != "REGISTRY"}
    done = run([sys.executable, "-m", "hack.demo", "up"], unnamed)
    assert done.returncode != 0
    assert "make push REGISTRY=" in done.stdout
    assert "Traceback" not in done.stdout
