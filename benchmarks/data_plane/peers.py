"""Starts a model server, and what may stand in front of it, each with its CPU core."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.request import urlopen

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tidegate.evidence.profile import make_profile
from tidegate.traffic.routing import Candidate, Routing
from tidegate.traffic.signing import mark_key, seal

PROXY_CORE, REST_CORE = 0, 1
FEATURES = 30
CAPTURE_OFF = {"TIDEGATE_CAPTURE_PERCENT": "0"}
ANSWER = '{"predictions": [1]}'
_NGINX = """
worker_processes 1; daemon off; pid %(folder)s/%(name)s.pid; error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off; keepalive_requests 100000000; client_body_temp_path %(folder)s/body;
  client_max_body_size 0; proxy_request_buffering off;
  proxy_temp_path %(folder)s/proxy; fastcgi_temp_path %(folder)s/f; uwsgi_temp_path %(folder)s/u;
  scgi_temp_path %(folder)s/s;
  %(servers)s
}
"""
_MODEL = """server { listen 127.0.0.1:%d backlog=4096; default_type application/json; %s
  return 200 '%s'; }"""
_PROXY = """upstream model { server 127.0.0.1:%d; keepalive 2048; keepalive_requests 100000000; }
  server { listen 127.0.0.1:%d backlog=4096; location / {
  proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; } }"""


@dataclass(frozen=True, slots=True)
class Peer:
    """Something that answers on `port`; `pids` are what its CPU time and memory are read from."""

    port: int
    pids: Mapping[str, int]
    metrics: int = 0
    """The port of a sidecar's metrics."""

    def rows_counted(self) -> int:
        """What its monitor has counted up to now."""
        return int(float(_metric(self.metrics, "tidegate_rows_total")[0].split()[-1]))

    def windows_closed(self) -> int:
        return int(float(_metric(self.metrics, "tidegate_windows_closed_total")[0].split()[-1]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], core: int, port: int, **env: str) -> Iterator[int]:
    """The pid of a command that is pinned to one core, once it listens."""
    with subprocess.Popen(["taskset", "-c", str(core), *command], env=os.environ | env) as process:
        try:
            _await(port)
            yield process.pid
        finally:
            process.terminate()


@contextmanager
def model(folder: Path) -> Iterator[tuple[int, int]]:
    """Two ports that give the same answer; the second like a pod of a candidate."""
    ports = free_port(), free_port()
    servers = _MODEL % (ports[0], "", ANSWER)
    servers += _MODEL % (ports[1], "add_header x-tidegate-id c.1.0123456789abcdef;", ANSWER)
    with _nginx(folder, "model", servers, REST_CORE, ports[0]):
        yield ports


@contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[Peer]:
    port = free_port()
    with _nginx(folder, "proxy", _PROXY % (upstream, port), PROXY_CORE, port) as pid:
        yield Peer(port, {"proxy": _children(pid)[0]})


@contextmanager
def go(binary: Path, upstream: int) -> Iterator[Peer]:
    port = free_port()
    command = [str(binary), "proxy", f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"]
    with running(command, PROXY_CORE, port, GOMAXPROCS="1") as pid:
        yield Peer(port, {"proxy": pid})


@contextmanager
def reader(binary: Path) -> Iterator[int]:
    """The port of a model that reads the whole body, and answers as many rows as it is told."""
    port = free_port()
    with running([str(binary), "model", f"127.0.0.1:{port}"], REST_CORE, port, GOMAXPROCS="1"):
        yield port


@contextmanager
def tidegate(
    folder: Path,
    upstream: int,
    *,
    tree: Path | None = None,
    candidate: int | None = None,
    features: int = FEATURES,
    env: Mapping[str, str] | None = None,
) -> Iterator[Peer]:
    """The sidecar with all it does.

    `tree` is what `hack.compiled` made, as it is in the image; without it, the sources run. With
    the port of a candidate, that gets 20 % of the requests.
    """
    folder = Path(tempfile.mkdtemp(dir=folder))
    _dress(folder, candidate, features)
    port, control, metrics = free_port(), free_port(), free_port()
    settings = {
        "TIDEGATE_POD_UID": "0a1b2c3d-0000-4000-8000-000000000000",
        "TIDEGATE_MODEL": "churn",
        "TIDEGATE_REVISION": "churn-stable",
        "TIDEGATE_UPSTREAM": f"127.0.0.1:{upstream}",
        "TIDEGATE_ROUTING_DIR": str(folder),
        "TIDEGATE_PROFILE": str(folder / "profile.json"),
        "TIDEGATE_TRAFFIC_PORT": str(port),
        "TIDEGATE_CONTROL_PORT": str(control),
        "TIDEGATE_METRICS_PORT": str(metrics),
        **({"PYTHONPATH": str(tree)} if tree else {}),
        **(env or {}),
    }
    command = [sys.executable, "-m", "tidegate.sidecar"]
    with running(command, PROXY_CORE, port, **settings) as pid:
        _await(metrics)
        monitor = _children(pid)[0]
        os.sched_setaffinity(monitor, {REST_CORE})  # another container's core: it is the proxy
        # that stands in the request's way
        yield Peer(port, {"proxy": pid, "monitor": monitor}, metrics)
        told = _metric(metrics, "tidegate_rows_total"), _metric(metrics, "tidegate_dropped_total")
        print("    ", *told, flush=True)


@contextmanager
def _nginx(folder: Path, name: str, servers: str, core: int, port: int) -> Iterator[int]:
    config = folder / f"{name}.conf"
    config.write_text(_NGINX % {"folder": folder, "name": name, "servers": servers})
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [binary, "-p", str(folder), "-e", "stderr", "-c", str(config)]
    with running(command, core, port) as pid:
        yield pid


def _metric(port: int, name: str) -> list[str]:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return [x for x in answer.read().decode().splitlines() if x.startswith(name)]


def _dress(folder: Path, candidate: int | None, features: int) -> None:
    """What a pod has mounted: the reference profile, a routing document, the operator's key."""
    rng = np.random.default_rng(1)
    columns = {f"f{i}": rng.normal(size=10_000) for i in range(features)}
    kinds: dict[str, Literal["number", "category"]] = dict.fromkeys(columns, "number")
    predictions = rng.integers(0, 2, 10_000)
    profile = make_profile(columns, kinds, predictions, "classification", {"accuracy": 0.9})
    (folder / "profile.json").write_text(json.dumps(profile.to_json()))
    key = Ed25519PrivateKey.generate()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "public-key.pem").write_bytes(pem)
    routing = Routing(
        model="churn",
        generation=1,
        stable="churn-stable",
        stable_address="127.0.0.1:1",
        candidate=Candidate("churn-next", f"127.0.0.1:{candidate}", 20) if candidate else None,
        members=(),
        prediction_edges=(),
        feedback_horizon_seconds=3600,
        mark_key=mark_key(key, "benchmark"),
    )
    (folder / "routing.json").write_text(seal(routing.to_json(), key))


def _await(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def _children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
