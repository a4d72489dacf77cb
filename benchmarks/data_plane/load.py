"""Load, and what it costs: requests a second, CPU time, latency, memory."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data_plane.peers import FEATURES, REST_CORE, Peer

PATH = "/v1/models/churn:predict"
_TICK = os.sysconf("SC_CLK_TCK")
_PINNED = ["taskset", "-c", str(REST_CORE)]


@dataclass(frozen=True, slots=True)
class Full:
    """What a closed loop of clients gets out of a peer."""

    requests: int
    per_second: float
    cpu: Mapping[str, float]
    """Microseconds of CPU time for each request, by process."""


def body(features: int = FEATURES, rows: int = 1) -> str:
    """A request's JSON, no two of whose values are equal."""
    values = [round(0.0037 * i - 5.1, 4) for i in range(features * rows)]
    table = [values[at : at + features] for at in range(0, len(values), features)]
    return json.dumps({"instances": table})


def request() -> bytes:
    content = body()
    head = f"POST {PATH} HTTP/1.1\r\nHost: churn\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n{content}".encode()


def full(
    peer: Peer,
    folder: Path,
    connections: int,
    seconds: int,
    content: str = "",
    rows: int = 1,
    *,
    strict: bool = True,
) -> Full:
    """As much as one thread of wrk asks for; one row of 30 features, if it is not told what.

    Failed requests end it if it is strict.
    """
    script = folder / "request.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [==[{content or body()}]==]\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
    )
    url = f"http://127.0.0.1:{peer.port}{PATH}?rows={rows}"
    before = {name: cpu_seconds(pid) for name, pid in peer.pids.items()}
    done = subprocess.run(
        [
            *_PINNED,
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout=30s",
            "-s",
            script,
            url,
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    text = done.stdout + done.stderr  # a broken script shows up there only
    found = re.search(r"(\d+) requests in ([\d.]+)([sm])", text)
    failed = "Non-2xx" in text or "Socket errors" in text
    if found is None or done.stderr or (strict and failed):
        raise RuntimeError(text)
    count, took = int(found[1]), float(found[2]) * (60 if found[3] == "m" else 1)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in peer.pids.items()}
    return Full(count, count / took, {k: 1e6 * v / count for k, v in used.items()})


def latency(binary: Path, folder: Path, port: int, rate: float, seconds: int) -> dict[str, float]:
    """Seconds at the median and at the 99th percentile, of 16 connections at a fixed rate."""
    file = folder / "request.http"
    file.write_bytes(request())
    command = [str(binary), "load", f"127.0.0.1:{port}", "16", str(int(rate)), str(seconds)]
    # A thread for each connection: those that sleep must not hold up the others.
    env = os.environ | {"GOMAXPROCS": "32"}
    done = subprocess.run([*_PINNED, *command, str(file)], check=True, capture_output=True, env=env)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def memory(peer: Peer, connections: int) -> dict[str, float]:
    """MiB in memory while so many connections are open, each of which has asked once."""
    with ExitStack() as stack:
        for _ in range(connections):
            client = socket.create_connection(("127.0.0.1", peer.port))
            stack.enter_context(client)
            client.sendall(request())
            if not client.recv(65536).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("a request failed")
        return {name: resident_mib(pid) for name, pid in peer.pids.items()}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_mib(pid: int) -> float:
    return _mib(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """The most that was in memory since the process started."""
    return _mib(pid, "VmHWM")


def _mib(pid: int, what: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split(f"{what}:")[1].split()[0]) / 1024
