"""One cluster on this machine: its name, its places on disk and its ports."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

from hack.cluster.errors import ClusterError

DEFAULT_NAME = "default"
NODE_ADDRESS = "10.244.0.1"  # of the node, its API server and its DNS: pods reach all three there
POD_SUBNET = "10.244.0.0/24"
SERVICE_SUBNET = "10.96.0.0/16"
DNS_SERVICE_ADDRESS = "10.96.0.10"
NODE_NAME = "tidegate-local"
RUN_DIRECTORY = Path("/run/tidegate")  # sockets and mounts: gone after a reboot, as they must be


@dataclass(frozen=True, slots=True)
class Ports:
    """Every TCP port a cluster listens on; TIDEGATE_<FIELD>_PORT overrides one."""

    coredns: ClassVar[int] = 53  # resolv.conf knows no other port

    apiserver: int = 6443
    etcd: int = 2379
    etcd_peer: int = 2380
    controller_manager: int = 10257
    scheduler: int = 10259
    kubelet: int = 10250
    kubelet_health: int = 10248
    kube_proxy_health: int = 10256
    kube_proxy_metrics: int = 10249
    coredns_ready: int = 8181

    @classmethod
    def chosen(cls, environment: Mapping[str, str], offset: int) -> "Ports":
        """Ports from the environment, else the defaults moved by `offset`."""
        moved = {name: port + offset for name, port in asdict(cls()).items()}
        if not all(0 < port < 65536 for port in moved.values()):
            most = 65535 - max(asdict(cls()).values())
            raise ClusterError(
                f"--port-offset {offset}: no port is above 65535 or below 1",
                f"choose one up to {most}",
            )
        return cls(**moved).overridden(environment)

    def overridden(self, environment: Mapping[str, str]) -> "Ports":
        """Ports from the environment, else these."""
        values = asdict(self)
        for name in values:
            variable = f"TIDEGATE_{name.upper()}_PORT"
            text = environment.get(variable)
            if text is None:
                continue
            if not (text.isdecimal() and 0 < int(text) < 65536):
                raise ClusterError(f"{variable}={text} is not a port number", f"unset {variable}")
            values[name] = int(text)
        return Ports(**values)


@dataclass(frozen=True, slots=True)
class Instance:
    """Where one cluster keeps what, and whether it has a node that runs pods."""

    name: str
    cache: Path
    ports: Ports
    has_node: bool = True

    @property
    def state(self) -> Path:
        suffix = "" if self.name == DEFAULT_NAME else f"-{self.name}"
        return self.cache / f"cluster{suffix}"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def address(self) -> str:
        """Where the API server listens: never on an interface that others can reach."""
        return NODE_ADDRESS if self.has_node else "127.0.0.1"

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.ports.apiserver}"

    def kubeconfig_of(self, user: str) -> Path:
        return self.state / f"{user}.kubeconfig"

    def save(self) -> None:
        """Remember mode and ports, so that later commands find the same cluster."""
        self.logs.mkdir(parents=True, exist_ok=True)
        record = {"has_node": self.has_node, "ports": asdict(self.ports)}
        unfinished = self.state / "instance.new"
        unfinished.write_text(json.dumps(record, indent=1))
        unfinished.rename(self.state / "instance.json")  # whole, or not there at all


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Everything Tidegate's development tools keep lies below this folder."""
    # As the kernel names it: `down` looks for mounts below it.
    return Path(environment.get("TIDEGATE_CACHE", "~/.cache/tidegate")).expanduser().resolve()


def require_name(name: str) -> None:
    """Refuse what can't be a folder's name."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
        raise ClusterError(f"--name {name}: only a-z, 0-9 and '-', at most 31 characters")


def recorded(name: str, cache: Path) -> Instance | None:
    """The cluster of that name as it was started, if it was."""
    instance = Instance(name, cache, Ports())
    try:
        record = json.loads((instance.state / "instance.json").read_text())
    except FileNotFoundError:
        return None
    return replace(instance, has_node=record["has_node"], ports=Ports(**record["ports"]))
