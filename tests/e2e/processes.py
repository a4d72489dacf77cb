"""The processes of a pod, on the node that this machine is; to see what happens when one dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.integration.apiserver import Manifest


def kill(pod: Manifest, container: str, program: str) -> None:
    """SIGKILL for the container's processes that run `python -m program`."""
    pids = processes(pod, container, program)
    assert pids, f"no {program} in {pod['metadata']['name']}: is this machine the node?"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def processes(pod: Manifest, container: str, program: str) -> set[int]:
    """The container's processes that run `python -m program`, by their pids on the node."""
    status = pod["status"]
    states = (*status.get("initContainerStatuses", ()), *status["containerStatuses"])
    ids = {s["name"]: s.get("containerID", "").rpartition("/")[2] for s in states}
    assert ids[container], f"{container} of {pod['metadata']['name']} does not run"
    return set(_running(ids[container], program))


def _running(container_id: str, program: str) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            cgroup = (process / "cgroup").read_text()
        except OSError:
            continue  # it has ended meanwhile
        if container_id in cgroup and program in words:
            yield int(process.name)
