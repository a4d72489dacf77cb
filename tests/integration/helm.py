"""The chart in tests: rendered, or installed by a real helm."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from tests.integration.apiserver import Manifest

from tidegate.crdgen.__main__ import CACHE
from tidegate.crdgen.files import KUBE_VERSION, find_helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "tidegate"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Helm:
    """Helm, with the chart of this repository."""

    binary: Path
    kubeconfig: Path

    def run(self, *arguments: str) -> Ended:
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            [str(self.binary), *arguments], capture_output=True, text=True, env=environment
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def template(self, namespace: str, values: Mapping[str, str]) -> list[Manifest]:
        """What the chart makes of the values; they are given as to `--set`."""
        version = ("--kube-version", KUBE_VERSION)
        chart = ("tidegate", str(CHART), "--namespace", namespace)
        done = self.run("template", *chart, *version, *assignments(values))
        assert done.code == 0, done.err
        return [manifest for manifest in yaml.safe_load_all(done.out) if manifest]


def assignments(values: Mapping[str, str]) -> list[str]:
    """Values as arguments."""
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def helm(kubeconfig: Path) -> Helm:
    """The helm of PATH, or of the local cluster."""
    binary = find_helm(os.environ, CACHE)
    assert binary is not None, "helm was not found: hack/cluster/cluster up builds it"
    return Helm(binary, kubeconfig)
