"""kubectl for the cluster in use: the one of this machine, or the one that KUBECONFIG names."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster import binaries
from hack.cluster.components import NO_PROXY
from hack.cluster.console import say
from hack.cluster.errors import ClusterError
from hack.cluster.instance import Instance, Ports
from hack.cluster.shell import run

ANSWER_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A program, a kubeconfig, and what else its environment needs."""

    program: Path
    kubeconfig: str
    extra: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, text: str = "") -> str:
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments]
        # KUBECONFIG may be a list of files, which only the variable can hold.
        if os.pathsep in self.kubeconfig:
            command.pop(1)
        return run(command, text=text, extra={**self.extra, "KUBECONFIG": self.kubeconfig})


def of_instance(instance: Instance) -> Kubectl:
    """As administrator of a cluster of this machine."""
    program = binaries.directory(instance.cache) / "kubectl"
    return Kubectl(program, str(instance.kubeconfig), NO_PROXY)


def foreign_kubeconfig(name: str, cache: Path) -> str | None:
    """What KUBECONFIG says, unless that is the cluster `name` of this machine, up or not."""
    value = os.environ.get("KUBECONFIG")
    ours = Instance(name, cache, Ports()).kubeconfig
    return None if value == str(ours) else value or None


def of_foreign(cache: Path, kubeconfig: str) -> Kubectl:
    """For a cluster elsewhere, with the kubectl that is there: nothing is built for it."""
    built = binaries.directory(cache) / "kubectl"
    found = str(built) if built.exists() else shutil.which("kubectl")
    if found is None:
        raise ClusterError("kubectl is not in PATH", "hack/cluster/cluster build kubectl helm")
    return Kubectl(Path(found), kubeconfig)


def verify(kubectl: Kubectl) -> None:
    """Check that a cluster which we did not build answers and has a node to run pods on."""
    limit = f"--request-timeout={ANSWER_SECONDS}s"
    mend = f"check KUBECONFIG={kubectl.kubeconfig}, or unset it to use a local cluster"
    try:
        version = json.loads(kubectl("get", "--raw", "/version", limit))["gitVersion"]
        nodes = json.loads(kubectl("get", "nodes", "-o", "json", limit))["items"]
    except ClusterError as error:
        raise ClusterError(
            f"the cluster that KUBECONFIG names does not answer: {error}", mend
        ) from error
    ready = [node for node in nodes if is_ready(node)]
    say(f"using the cluster of KUBECONFIG={kubectl.kubeconfig}: Kubernetes {version}, "
        f"{len(ready)} of {len(nodes)} nodes Ready; nothing is built")  # fmt: skip
    if nodes and not ready:
        raise ClusterError("no node of that cluster is Ready", "kubectl describe nodes")


def is_ready(node: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    """Say whether the node's Ready condition is true."""
    conditions = node["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
