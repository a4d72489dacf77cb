"""The server as a process of its own: it drains on SIGTERM, and says why it does not start."""

import json
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import grpc
import httpx
from tests.fair_clock import seconds_until_exit
from tests.patience import DEADLINE_SECONDS
from tests.ports import free_port
from tests.unit.runtime.jobs import job, people, workspace

from tidegate.controllers.model.desired import GRACE_SECONDS
from tidegate.runtime.serve import server
from tidegate.runtime.serve.grpc_server import CONNECTION_SECONDS
from tidegate.runtime.train import train
from tidegate.sidecar.proxy import desk

MANY = 1_100
PROBES = 100


def start(folder: Path, port: int, log: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "tidegate.runtime"]
    command += ["--termination-log", str(log), "serve", "--model-dir", str(folder)]
    command += ["--name", "churn", "--host", "127.0.0.1", "--port", str(port), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def begin_to_drain(process: subprocess.Popen[str]) -> None:
    """Tell it to end, and wait until it says that it has heard."""
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert next(line for line in lines if "not ready any more" in line)


def test_drains_on_sigterm(tmp_path: Path) -> None:
    train(job(data={"features": ["age"]}), workspace(tmp_path, train=people()))
    port, grpc_port, log = free_port(), free_port(), tmp_path / "log"
    more = ("--grpc-port", str(grpc_port), "--drain", "10m")
    process = start(tmp_path / "out", port, log, *more)
    with asking(port) as client:
        wait_until_ready(client)
        begin_to_drain(process)
        assert client.get("/v2/health/ready").status_code == 503
        answer = client.post("/v1/models/churn:predict", json={"instances": [[70]]})
        assert answer.status_code == 200
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        ready = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
        assert ready(b"", timeout=DEADLINE_SECONDS) == b""  # false, the default, is not written
    process.send_signal(signal.SIGTERM)  # whoever says it twice does not want to wait
    process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0
    assert json.loads(log.read_text()) == {"stage": "serve", "ok": True}


def test_ends_by_itself_when_it_has_drained(tmp_path: Path) -> None:
    train(job(data={"features": ["age"]}), workspace(tmp_path, train=people()))
    port, log = free_port(), tmp_path / "log"
    process = start(tmp_path / "out", port, log, "--drain", "1s")
    with asking(port) as client:
        wait_until_ready(client)
    begin_to_drain(process)
    told = time.monotonic()
    assert seconds_until_exit(process) < 10
    assert time.monotonic() - told > 0.9, "clients have the time to hear of it"
    process.communicate()
    assert process.returncode == 0


def test_many_open_connections_neither_refuse_requests_nor_probes(tmp_path: Path) -> None:
    """Probes that fail for the clients' connections would end the pod, and all of them with it."""
    train(job(data={"features": ["age"]}), workspace(tmp_path, train=people()))
    port = free_port()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))  # as many runtimes begin a pod
    process = start(tmp_path / "out", port, tmp_path / "log")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    body = b'{"instances": [[70]]}'
    request = b"POST /v1/models/churn:predict HTTP/1.1\r\nHost: x\r\n"
    request += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    with ExitStack() as opened, asking(port) as probe:
        opened.enter_context(process)  # at its end waits, and closes its output
        opened.callback(process.kill)
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        wait_until_ready(probe)
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(MANY)]
        for client in clients:
            opened.enter_context(client)
            client.settimeout(DEADLINE_SECONDS)
            client.sendall(request)
        assert {client.recv(4096)[:12] for client in clients} == {b"HTTP/1.1 200"}
        assert probe.get("/v2/health/ready").status_code == 200
    assert server.CONNECTION_LIMIT > desk.CLIENT_LIMIT + PROBES


def test_no_client_is_left_when_a_grpc_server_stops() -> None:
    latest = 1.1 * CONNECTION_SECONDS + 1  # the library's scatter; who has not heard of it yet
    assert latest < server.GRPC_DRAIN_SECONDS
    assert server.GRPC_DRAIN_SECONDS + server.GRPC_SHUTDOWN_SECONDS < GRACE_SECONDS
    assert server.DRAIN_SECONDS + server.SHUTDOWN_SECONDS < GRACE_SECONDS


def test_a_corrupted_artifact_ends_it_with_one_clear_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start(tmp_path, free_port(), log)
    output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 64
    assert output.strip() == log.read_text()
    line = json.loads(output)
    assert (line["stage"], line["reason"]) == ("serve", "ArtifactInvalid")
    assert "tidegate.json is missing" in line["message"]


def asking(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS)


def wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        try:
            if client.get("/v2/health/ready").status_code == 200:
                return
        except httpx.ConnectError:
            time.sleep(0.05)
    raise AssertionError("the server did not become ready")
