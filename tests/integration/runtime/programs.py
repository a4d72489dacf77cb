"""What the tests of the runtime run: a real S3 server, and the runtime as its own process."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from tests.patience import DEADLINE_SECONDS
from tests.ports import free_port

ACCESS, SECRET = "tidegate", "tidegate-secret"


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nothing listens on {port}")


@dataclass
class S3Server:
    """versitygw on a folder; it can be stopped and started again."""

    program: Path
    root: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            *(str(self.program), "--access", ACCESS, "--secret", SECRET, "--quiet"),
            *("--port", f"127.0.0.1:{self.port}", "posix", str(self.root)),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(timeout=DEADLINE_SECONDS)

    def environment(self, *, port: int | None = None, secret: str = SECRET) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": secret,
        }

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}),
        )

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.client().put_object(Bucket=bucket, Key=key, Body=body)

    def keys(self, bucket: str) -> list[str]:
        listed = self.client().list_objects_v2(Bucket=bucket)
        return sorted(item["Key"] for item in listed.get("Contents", ()))


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    line: dict[str, Any]
    output: str


def start_runtime(
    arguments: list[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "tidegate.runtime"]
    return subprocess.Popen(
        [*command, "--termination-log", str(log), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], log: Path) -> Ended:
    output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert log.exists(), output
    return Ended(process.returncode, json.loads(log.read_text()), output)


def run_runtime(arguments: list[str], environment: Mapping[str, str], log: Path) -> Ended:
    return ended(start_runtime(arguments, environment, log), log)


class HoldingProxy:
    """Forwards to the S3 server until so many uploads are through; then it holds them for ever."""

    def __init__(self, target: int, uploads: int) -> None:
        self._target = target
        self._left = uploads
        self._lock = threading.Lock()
        self.holding = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            target = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pump_up, args=(client, target), daemon=True).start()
            threading.Thread(target=_pump, args=(target, client), daemon=True).start()

    def _pump_up(self, client: socket.socket, target: socket.socket) -> None:
        with client, target:
            while data := _receive(client):
                if data.startswith(b"PUT "):
                    with self._lock:
                        self._left -= 1
                    if self._left < 0:
                        self.holding.set()
                        return
                target.sendall(data)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := _receive(source):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 16)
    except OSError:
        return b""
