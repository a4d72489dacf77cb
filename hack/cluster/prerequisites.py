"""What the machine must have, checked first: each with the command that mends it."""

import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.binaries import SOURCES
from hack.cluster.console import say, wait_until
from hack.cluster.errors import ClusterError
from hack.cluster.shell import run

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
LOCKED = "Could not get lock"
APT_SECONDS = 600.0  # a fresh cloud machine upgrades itself first
# Debian package → the program or file that shows it is there.
CONTROL_PLANE_PACKAGES = {"openssl": "openssl"}
NODE_PACKAGES = {
    **CONTROL_PLANE_PACKAGES,
    "buildah": "buildah",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "debootstrap": "debootstrap",
    "iproute2": "ip",
    "iptables": "iptables",
    "mount": "mount",
    "nftables": "nft",
    "runc": "runc",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts about this machine that decide what can run on it."""

    system: str
    architecture: str
    distribution: str
    is_root: bool


def this_machine() -> Machine:
    """Look at the machine we run on."""
    try:
        identity = platform.freedesktop_os_release()
    except OSError:
        identity = {}
    family = f"{identity.get('ID', '')} {identity.get('ID_LIKE', '')}"
    return Machine(platform.system(), platform.machine(), family.strip(), os.geteuid() == 0)


def require_supported(machine: Machine, *, node: bool) -> None:
    """Refuse machines on which this cannot work, before anything is downloaded."""
    elsewhere = "use any other cluster: export KUBECONFIG=…, and run the command again"
    if machine.system != "Linux" or machine.architecture not in ARCHITECTURES:
        raise ClusterError(
            f"a local cluster needs Linux on x86_64 or arm64, this is {machine.system} on "
            f"{machine.architecture}",
            elsewhere,
        )
    if not node:
        return
    if not {"debian", "ubuntu"} & set(machine.distribution.split()):
        raise ClusterError(
            f"a node that runs pods needs Debian or Ubuntu, this is "
            f"{machine.distribution or 'unknown'}",
            elsewhere,
        )
    if not machine.is_root:
        raise ClusterError(
            "a node that runs pods needs root (mounts, network, containers)",
            "sudo -E hack/cluster/cluster up, or without pods: "
            "hack/cluster/cluster up --control-plane-only",
        )


def require_go(wanted: str | None = None) -> None:
    """Go must be there; its own tool chain switch fetches a newer one where that is needed."""
    text = (SOURCES / "kubernetes/go.mod").read_text()
    match = re.search(r"^go (\S+)", text, re.MULTILINE)
    needed = wanted or (match[1] if match else "")
    mend = f"install Go {needed} or newer from https://go.dev/dl/ and put its bin folder into PATH"
    if shutil.which("go") is None:
        raise ClusterError(
            f"Go {needed} or newer is needed to build Kubernetes; go is not in PATH", mend
        )
    version = run(["go", "env", "GOVERSION"], directory=SOURCES / "kubernetes", mend=mend).strip()
    if version_of(version) < version_of(needed):
        raise ClusterError(
            f"Go {needed} or newer is needed to build Kubernetes, this is {version}", mend
        )


def version_of(text: str) -> tuple[int, ...]:
    """The numbers of a version such as `go1.26.8`."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def missing_packages(packages: dict[str, str]) -> list[str]:
    """The packages whose program or file is nowhere to be found."""
    return [
        name
        for name, shown in packages.items()
        if not shutil.which(shown, path=SYSTEM_PATH)
        and not (shown.startswith("/") and Path(shown).exists())
    ]


def ensure_packages(packages: dict[str, str], *, install: bool, is_root: bool) -> None:
    """Install Debian packages that are missing, or refuse and print the command."""
    lacking = missing_packages(packages)
    if not lacking:
        return
    names = " ".join(lacking)
    command = f"apt-get update && apt-get install --no-install-recommends {names}"
    if not install or not is_root:
        why = "--no-install was given" if not install else "installing them needs root"
        raise ClusterError(f"these Debian packages are missing and {why}: {names}", command)
    say(f"installing Debian packages: {names}")
    _apt_get("update", "update", mend=command)
    arguments = ("install", "-y", "--no-install-recommends", *lacking)
    _apt_get(f"install ({len(lacking)} packages)", *arguments, mend=command)


def _apt_get(what: str, *arguments: str, mend: str) -> None:
    def locked() -> str:
        try:
            run(
                ["apt-get", "-q", *arguments],
                extra={"DEBIAN_FRONTEND": "noninteractive"},
                mend=mend,
            )
        except ClusterError as error:
            if LOCKED not in error.message:
                raise
            return "another program installs packages: waiting for it to end"
        return ""

    wait_until(f"apt-get {what}", locked, APT_SECONDS, mend=mend)
