import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from hack.cluster.ports import conflict
from hack.target import CLUSTER

pytestmark = pytest.mark.apiserver

NAME = f"brief-{os.getpid()}"


def cluster(command: str, *options: str) -> str:
    """What the command prints; the cluster that the session uses is none of its business."""
    environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    done = subprocess.run(
        (CLUSTER, command, "--name", NAME, *options),
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip()


def processes(folder: Path) -> set[int]:
    """Those that were started with a file of the folder."""
    commands = {int(path.parent.name): read(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
    return {pid for pid, command in commands.items() if str(folder).encode() in command}


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return b""


def test_up_again_changes_nothing_and_down_leaves_nothing() -> None:
    try:
        cluster("up", "--control-plane-only")
        config = Path(cluster("kubeconfig"))
        server = urlsplit(yaml.safe_load(config.read_text())["clusters"][0]["cluster"]["server"])
        assert server.hostname
        assert server.port
        begun = processes(config.parent)
        assert len(begun) == 3  # etcd, API server, controller manager
        cluster("up", "--control-plane-only")
        assert processes(config.parent) == begun
        assert conflict(server.hostname, server.port)
    finally:
        cluster("down")
    assert not processes(config.parent)
    assert not config.parent.exists()
    assert conflict(server.hostname, server.port) is None
