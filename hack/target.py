"""The cluster to work on: the one that KUBECONFIG names, or a local one that is brought up."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.instance import cache_directory, recorded
from hack.cluster.kubectl import foreign_kubeconfig

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = str(ROOT / "hack/cluster/cluster")
ERROR = "error: "  # so begins the last that a cluster command says
LOCAL_REGISTRY, TAG = "localhost", "dev"


class TargetError(Exception):
    """There is nothing to work on; the message says what mends it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster that can be used."""

    environment: Mapping[str, str]
    """Of the process, with PATH to kubectl and helm, KUBECONFIG, REGISTRY and TAG."""
    made: str = ""
    """The local cluster that was brought up for this; empty if it was there before."""

    def image(self, name: str) -> str:
        """The reference of one of Tidegate's images."""
        env = self.environment
        return f"{env['REGISTRY'].rstrip('/')}/tidegate-{name}:{env['TAG']}"


def reach(instance: str, *, has_node: bool) -> Target:
    """A cluster that answers, with images for it if it has a node."""
    if is_foreign(instance):
        return _foreign(instance, has_node=has_node)
    # One that somebody has brought up stays theirs, whatever state it is found in.
    made = "" if recorded(instance, cache_directory()) else instance
    options = () if has_node else ("--control-plane-only",)
    try:
        _cluster("up", "--name", instance, *options)
        if has_node:
            _cluster("image", "build")
        return Target(_local(instance), made)
    except BaseException:
        if made:
            release(made)
        raise


def existing(instance: str) -> Target | None:
    """The cluster that `reach` would use, if it is there already."""
    if is_foreign(instance):
        return _foreign(instance, has_node=False)
    return Target(_local(instance)) if _runs(instance) else None


def is_foreign(instance: str) -> bool:
    """Whether KUBECONFIG names another cluster; the local one may be exported, too."""
    return foreign_kubeconfig(instance, cache_directory()) is not None


def release(instance: str) -> None:
    """Take a local cluster down."""
    _cluster("down", "--name", instance)


def _foreign(instance: str, *, has_node: bool) -> Target:
    registry = os.environ.get("REGISTRY", "")
    if has_node and not registry:
        raise TargetError(
            "KUBECONFIG is set, so the images must come from a registry that this cluster reaches; "
            "mend it with: make push REGISTRY=…, then the same REGISTRY=… here"
        )
    _cluster("up", "--name", instance)  # builds nothing: says whether that cluster answers
    absent = [name for name in ("kubectl", "helm") if shutil.which(name) is None]
    if absent:
        raise TargetError(
            f"not in PATH: {', '.join(absent)}; mend it with: "
            f'PATH="$({CLUSTER} build kubectl helm):$PATH"'
        )
    return Target({**os.environ, "REGISTRY": registry, "TAG": os.environ.get("TAG", TAG)})


def _cluster(*arguments: str) -> None:
    # A terminal gets lines that are rewritten in place, and keeps the error in sight. Whoever else
    # reads along gets it from the caller, who may have gone far when it is told.
    piped = None if sys.stderr.isatty() else subprocess.PIPE
    error: list[str] = []
    with subprocess.Popen((CLUSTER, *arguments), stderr=piped, text=True) as running:
        for line in running.stderr or ():
            if error or line.startswith(ERROR):
                error.append(line)
            else:
                sys.stderr.write(line)
    if running.returncode:
        reason = f": {''.join(error).removeprefix(ERROR).rstrip()}" if error else "; see above"
        raise TargetError(f"hack/cluster/cluster {' '.join(arguments)} failed{reason}")


def _runs(instance: str) -> bool:
    command = (CLUSTER, "status", "--name", instance)
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _local(instance: str) -> dict[str, str]:
    images = {"REGISTRY": LOCAL_REGISTRY, "TAG": TAG}
    return {**os.environ, **_exports(instance), **images}


def _exports(instance: str) -> dict[str, str]:
    """The variables that `cluster env` tells a shell to export."""
    command = (CLUSTER, "env", "--name", instance)
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    pairs = (line.removeprefix("export ").split("=", 1) for line in text.splitlines())
    return {name: os.path.expandvars(value.strip('"')) for name, value in pairs}
