"""Builds Kubernetes, helm and the S3 server from Go modules, once for each set of versions."""

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.console import Progress, progress, say
from hack.cluster.errors import ClusterError
from hack.cluster.lock import exclusive
from hack.cluster.shell import tail

SOURCES = Path(__file__).parent / "modules"
CPU_MINUTES_COLD = 11  # all tools on an empty Go cache, modules to download included


@dataclass(frozen=True, slots=True)
class Tool:
    """A program and the Go package in the module folder that it is built from."""

    name: str
    package: str
    module: str = "kubernetes"


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("etcd", "go.etcd.io/etcd/server/v3"),
        Tool("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        Tool("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        Tool("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        Tool("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        Tool("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        Tool("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        Tool("helm", "helm.sh/helm/v3/cmd/helm"),
        Tool("coredns", "./coredns"),
        Tool("pause", "./pause"),
        Tool("versitygw", "github.com/versity/versitygw/cmd/versitygw", module="s3"),
    )
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


def _version() -> str:
    match = re.search(r"k8s\.io/kubernetes (v\S+)", (SOURCES / "kubernetes/go.mod").read_text())
    assert match, "go.mod names the version of Kubernetes"
    return match[1]


def _flags() -> list[str]:
    """Build flags; the version stamp is what charts' `kubeVersion` is compared with."""
    version = _version()
    major, minor, _ = version.removeprefix("v").split(".")
    stamp = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    sets = [f"-X {package}.{key}={value}" for package in packages for key, value in stamp.items()]
    # What helm takes for the cluster's version when it renders and lints without one.
    for package in ("chartutil", "lint/rules"):
        of_helm = f"helm.sh/helm/v3/pkg/{package}.k8sVersion"
        sets += [f"-X {of_helm}Major={major}", f"-X {of_helm}Minor={minor}"]
    return ["-trimpath", "-buildvcs=false", "-ldflags", " ".join(["-s", "-w", *sets])]


def directory(cache: Path) -> Path:
    """Where the programs of exactly these versions and flags are kept."""
    digest = hashlib.sha256(" ".join(_flags()).encode())
    for source in sorted([*SOURCES.rglob("go.mod"), *SOURCES.rglob("*.go")]):
        digest.update(source.read_bytes())
    return cache / f"bin-{digest.hexdigest()[:12]}"


def missing(cache: Path, names: Iterable[str]) -> list[str]:
    """The programs that are not built yet."""
    return [name for name in names if not (directory(cache) / name).exists()]


def ensure_built(cache: Path, names: Iterable[str]) -> Path:
    """Build what is not there yet and return the folder of the programs."""
    target = directory(cache)
    todo = missing(cache, names)
    if todo:
        minutes = CPU_MINUTES_COLD / (os.cpu_count() or 1)
        say(
            f"building {len(todo)} programs with Go into {target}: once, up to {minutes:.0f} min "
            f"on {os.cpu_count()} cores; an interrupted build goes on where it stopped"
        )
    for index, name in enumerate(todo, start=1):
        # Two commands on an empty cache would compile the same packages twice, side by side.
        with exclusive(cache, f"program {name}"):
            if missing(cache, [name]):
                with progress(f"[{index}/{len(todo)}] {name}") as shown:
                    _build(TOOLS[name], target, shown)
    return target


def _build(tool: Tool, target: Path, shown: Progress) -> None:
    target.mkdir(parents=True, exist_ok=True)
    unfinished = target / f".{tool.name}.{os.getpid()}"  # renamed when whole: it may be interrupted
    command = ["go", "build", "-v", "-mod=readonly", *_flags(), "-o", str(unfinished), tool.package]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    try:
        with subprocess.Popen(
            command, cwd=SOURCES / tool.module, env=environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        ) as go:  # fmt: skip
            lines = _follow(go, shown)
        if go.returncode:
            raise ClusterError(
                f"go build {tool.package} failed:\n{tail(''.join(lines))}",
                "check the network (the Go modules are downloaded), then run the command again",
            )
        unfinished.rename(target / tool.name)
    finally:
        unfinished.unlink(missing_ok=True)


def _follow(go: subprocess.Popen[str], shown: Progress) -> list[str]:
    """Read the compiler's messages while it works, and keep the clock on the terminal moving."""
    lines: list[str] = []

    def read() -> None:
        assert go.stderr is not None
        lines.extend(go.stderr)  # grows while it is read

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while reader.is_alive():
        reader.join(timeout=0.5)
        downloads = sum(line.startswith("go: downloading") for line in lines)
        compiled = len(lines) - downloads
        shown.update(f"{downloads} modules downloaded, {compiled} packages compiled")
    return lines
