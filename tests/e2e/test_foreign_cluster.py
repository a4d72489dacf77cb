"""With KUBECONFIG set, everything works on that cluster, and none is built."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.integration.helm import ROOT

pytestmark = pytest.mark.cluster
CLUSTER = str(ROOT / "hack/cluster/cluster")
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
    assert done.stdout.splitlines() == [
        "nothing made",
        "registry.example:5000/ml/tidegate-operator:v9",
    ]


def test_without_a_registry_it_says_what_to_do(environment: dict[str, str]) -> None:
    unnamed = {k: v for k, v in environment.items() if k != "REGISTRY"}
    done = run([sys.executable, "-m", "hack.demo", "up"], unnamed)
    assert done.returncode != 0
    assert "make push REGISTRY=" in done.stdout
    assert "Traceback" not in done.stdout
