"""containerd for the node: started from a configuration of its own, ended with all its pods."""

import contextlib
import os
import shutil
import signal
import socket
import time
from pathlib import Path

from hack.cluster.components import configuration
from hack.cluster.console import progress
from hack.cluster.errors import ClusterError
from hack.cluster.instance import RUN_DIRECTORY, Instance
from hack.cluster.processes import Supervisor, start_ticks
from hack.cluster.shell import run, succeeds

SOCKET = RUN_DIRECTORY / "containerd.sock"
PAUSE_IMAGE = "localhost/tidegate-pause:1"
KUBERNETES_NAMESPACE = "k8s.io"
START_SECONDS = 240.0  # on a busy machine; what ends is noticed at once
KILL_SECONDS = 20.0
CGROUPS = Path("/sys/fs/cgroup")
CNI_RESULTS = Path("/var/lib/cni/results")
POD_LOG_LINKS = Path("/var/log/containers")
KUBELET_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
SHIM_SOCKETS = Path("/run/containerd/s")
BUILDAH_CACHE = Path("/var/lib/containers/cache")
# Fixed paths inside containerd, its shims and the kubelet, which others may use too.
SHARED_DIRECTORIES = (
    CNI_RESULTS, CNI_RESULTS.parent, POD_LOG_LINKS, KUBELET_SOCKET.parent, Path("/var/lib/kubelet"),
    Path("/run/containerd/runc/k8s.io"), Path("/run/containerd/runc"), SHIM_SOCKETS,
    Path("/run/containerd"), BUILDAH_CACHE.parent,
)  # fmt: skip


def root(cache: Path) -> Path:
    """Images live here; they outlast a `down`, so that the next `up` need not load them again."""
    return cache / "containerd"


def start(instance: Instance, supervisor: Supervisor) -> None:
    """Start containerd and wait until it answers."""
    RUN_DIRECTORY.mkdir(mode=0o711, exist_ok=True)
    config = configuration(instance, "containerd.toml", _configuration(instance))
    supervisor.ensure("containerd", ["containerd", "--config", str(config)])
    supervisor.wait_for("containerd", _unanswered, START_SECONDS)


def ctr(*arguments: str) -> str:
    """Run containerd's own client in the namespace that the kubelet uses."""
    return run(["ctr", "--address", SOCKET, "--namespace", KUBERNETES_NAMESPACE, *arguments])


def _unanswered() -> str:
    try:
        ctr("version")
    except ClusterError as error:
        return error.message
    return ""


def _configuration(instance: Instance) -> str:
    return f"""version = 2
root = "{root(instance.cache)}"
state = "{RUN_DIRECTORY}/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{instance.state}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Lowering a score needs CAP_SYS_RESOURCE, which root inside a container often lacks.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{instance.state}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def shims() -> list[int]:
    """The processes that hold our containers: our socket's path on their command line says so."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"containerd-shim" in command[0] and str(SOCKET).encode() in command:
                found.append(int(process.name))
    return found


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def end_pods() -> None:
    """Kill every container of ours, then the shims that held them."""
    if not shims():
        return
    with progress("end all pods") as shown:
        deadline = time.monotonic() + KILL_SECONDS
        while held := shims():
            containers = [child for shim in held for child in _children(shim)]
            for pid in containers or held:
                with contextlib.suppress(ProcessLookupError):
                    if start_ticks(pid) is not None:
                        os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise ClusterError(f"the containers of pids {held} do not end")
            shown.update(f"{len(held)} left")
            time.sleep(0.1)


def remove_traces(instance: Instance) -> None:
    """Unmount and delete what containerd and the kubelet leave outside the state folder."""
    _unmount_below(instance.state, RUN_DIRECTORY, root(instance.cache))
    ids = _container_ids(root(instance.cache))
    for parent in (*CGROUPS.glob(KUBERNETES_NAMESPACE), *CGROUPS.glob(f"*/{KUBERNETES_NAMESPACE}")):
        for name in ids:
            _remove_empty(parent / name)
        _remove_empty(parent)
    for result in CNI_RESULTS.glob("*"):
        if any(name in result.name for name in ids):
            result.unlink()
    for link in POD_LOG_LINKS.glob("*.log"):
        if link.is_symlink() and str(instance.logs) in str(link.readlink()):
            link.unlink()
    for address in SHIM_SOCKETS.glob("*"):
        if is_deserted(address):
            address.unlink(missing_ok=True)
    KUBELET_SOCKET.unlink(missing_ok=True)
    if not BUILDAH_CACHE.with_name("storage").exists():  # else another buildah or podman uses it
        shutil.rmtree(BUILDAH_CACHE, ignore_errors=True)
    shutil.rmtree(RUN_DIRECTORY, ignore_errors=True)
    for directory in SHARED_DIRECTORIES:
        _remove_empty(directory)


def is_deserted(address: Path) -> bool:
    """Whether nobody listens any more: shims that were killed leave their sockets."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(address))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _container_ids(containerd: Path) -> list[str]:
    records = containerd / "io.containerd.grpc.v1.cri"
    return [path.name for path in (*records.glob("sandboxes/*"), *records.glob("containers/*"))]


def _remove_empty(directory: Path) -> None:
    """Remove a folder unless somebody else has something in it."""
    with contextlib.suppress(OSError):
        directory.rmdir()


def mounts_below(*directories: Path) -> list[str]:
    """Mount points below the folders, the deepest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    prefixes = tuple(f"{directory}/" for directory in directories)
    return sorted((point for point in points if point.startswith(prefixes)), reverse=True)


def _unmount_below(*directories: Path) -> None:
    for point in mounts_below(*directories):
        if not succeeds("umount", point):
            succeeds("umount", "--lazy", point)
    if left := mounts_below(*directories):
        raise ClusterError(f"cannot unmount {' '.join(left)}", "fuser -vm <mount point> tells why")
