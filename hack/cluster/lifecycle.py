"""What `up`, `down` and `status` do, in order."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hack.cluster import binaries, containers, control_plane, network, node, prerequisites
from hack.cluster.console import progress, say
from hack.cluster.errors import ClusterError
from hack.cluster.images import ensure_pause_image
from hack.cluster.instance import DEFAULT_NAME, Instance, Ports, recorded
from hack.cluster.pki import ensure_pki
from hack.cluster.ports import conflict
from hack.cluster.processes import Supervisor

OFFSETS = range(100, 2100, 100)


def plan(
    name: str, cache: Path, *, has_node: bool, offset: int | None, environment: Mapping[str, str]
) -> Instance:
    """The cluster to bring up: the recorded one if there is one, else a new one."""
    if has_node and name != DEFAULT_NAME:
        raise ClusterError(
            "there is one node on a machine, that of the default cluster",
            f"hack/cluster/cluster up --name {name} --control-plane-only",
        )
    known = recorded(name, cache)
    if known and Supervisor(known.state).all():  # else a first start has failed: choose again
        if known.has_node != has_node:
            kind = "with a node" if known.has_node else "without a node"
            raise ClusterError(
                f"cluster {name} is up {kind}", f"hack/cluster/cluster down --name {name}"
            )
        if offset is None:
            return replace(known, ports=known.ports.overridden(environment))
    if offset is None and name == DEFAULT_NAME:
        offset = 0
    if offset is not None:
        return Instance(name, cache, Ports.chosen(environment, offset), has_node)
    for candidate in OFFSETS:  # clusters with names of their own move aside by themselves
        chosen = Ports.chosen(environment, candidate)
        needed = (chosen.apiserver, chosen.etcd, chosen.etcd_peer, chosen.controller_manager)
        if not any(conflict("127.0.0.1", port) for port in needed):
            return Instance(name, cache, chosen, has_node)
    raise ClusterError("no free set of ports found", "choose one: --port-offset N")


def up(instance: Instance, *, install: bool) -> None:
    """Bring the cluster up; what already runs is left alone."""
    machine = prerequisites.this_machine()
    prerequisites.require_supported(machine, node=instance.has_node)
    tools = tuple(binaries.TOOLS) if instance.has_node else binaries.CONTROL_PLANE
    if binaries.missing(instance.cache, tools):
        prerequisites.require_go()
    packages = (
        prerequisites.NODE_PACKAGES if instance.has_node else prerequisites.CONTROL_PLANE_PACKAGES
    )
    prerequisites.ensure_packages(packages, install=install, is_root=machine.is_root)
    programs = binaries.ensure_built(instance.cache, tools)

    instance.save()
    supervisor = Supervisor(instance.state)
    ensure_pki(instance)
    if instance.has_node:
        network.ensure(instance)
    control_plane.start(instance, programs, supervisor)
    if instance.has_node:
        containers.start(instance, supervisor)
        ensure_pause_image(instance.cache, programs)
        node.start(instance, programs, supervisor)
    say(f"cluster {instance.name} is up: {instance.url}\n  export KUBECONFIG={instance.kubeconfig}")


def down(instance: Instance) -> None:
    """End the cluster and take away everything it made; programs and images stay cached."""
    supervisor = Supervisor(instance.state)
    if instance.has_node and os.geteuid() != 0:
        raise ClusterError("this cluster has a node: ending it needs root",
                           "sudo -E hack/cluster/cluster down")  # fmt: skip
    last = ("containerd", "kube-apiserver", "etcd")  # the others still talk to these
    names = [process.name for process in supervisor.all()]
    for name in [name for name in reversed(names) if name not in last]:
        _stop(supervisor, name)
    if instance.has_node:
        containers.end_pods()
    for name in [name for name in last if name in names]:
        _stop(supervisor, name)
    if instance.has_node:
        with progress("remove mounts, network and rules"):
            containers.end_pods()  # a shim may have started while containerd was ending
            containers.remove_traces(instance)
            network.remove(instance)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(instance.state)
    say(f"cluster {instance.name} is down")


def _stop(supervisor: Supervisor, name: str) -> None:
    with progress(f"end {name}"):
        supervisor.stop(name)


def status(instance: Instance) -> bool:
    """Print what runs; True if all of it does."""
    supervisor = Supervisor(instance.state)
    kind = "control plane and node" if instance.has_node else "control plane only"
    print(f"cluster {instance.name} ({kind}) at {instance.url}, state in {instance.state}")
    processes = supervisor.all()
    healthy = bool(processes)
    for process in processes:
        healthy &= process.alive
        fate = "running" if process.alive else f"DEAD, see {supervisor.log(process.name)}"
        print(f"  {process.name:<24} pid {process.pid:<8} {fate}")
    checks = {"API server": control_plane.api(instance, "/readyz")}
    if instance.has_node and not checks["API server"]:
        checks["node"] = node.node_not_ready(instance, supervisor.started("kubelet"))
    for what, lacks in checks.items():
        healthy &= not lacks
        print(f"  {what:<24} {lacks or 'ready'}")
    if not healthy:
        print("  to mend it: hack/cluster/cluster up")
    return healthy
