"""Asks other people's model servers, for real, and reads both sides of each answer.

What was said is kept byte for byte among the unit tests, so that they need no server.
"""

import http.client
import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data_plane.peers import free_port
from benchmarks.payloads import cases
from benchmarks.payloads.cases import NAMES, PREDICTED, Case
from benchmarks.peers import QUIET, interpreter
from benchmarks.report import put, table

from tidegate.sidecar.monitor.payloads import decode
from tidegate.sidecar.records import Kind, Record

HERE = Path(__file__).parent
RECORDED = HERE.parents[1] / "tests/unit/sidecar/recorded_payloads.json"
START_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Server:
    """Somebody's model server; the first requirement names it."""

    name: str
    script: str
    requirements: Sequence[str]
    ready: str
    """A path that it answers with 200 once it serves."""
    cases: Callable[[], tuple[Case, ...]]


SERVERS = (
    Server("MLflow", "mlflow_server.py", ("mlflow==3.17.0",), "/ping", cases.mlflow),
    Server(
        "MLServer",
        "mlserver_server.py",
        ("mlserver==1.7.1", "mlserver-sklearn==1.7.1"),
        "/v2/health/ready",
        cases.mlserver,
    ),
    Server(
        "KServe",
        "kserve_server.py",
        ("kserve==0.21.0", "scikit-learn==1.7.2"),
        "/v2/health/ready",
        cases.kserve,
    ),
)


def main(runs: int, *, write: bool) -> None:
    del runs  # a format is read or it is not
    recorded, rows = {}, []
    for server in SERVERS:
        with _serving(server) as port:
            for case in server.cases():
                question, answer = case.body, _ask(port, case)
                recorded[f"{server.name} {case.name}"] = _entry(question, answer, case)
                rows.append([server.requirements[0].replace("==", " "), case.name, "read"])
                print(f"{server.name}: {case.name}: read", flush=True)
    if write:
        kept = json.loads(RECORDED.read_text())
        others = {k: v for k, v in kept.items() if not k.startswith(tuple(s.name for s in SERVERS))}
        RECORDED.write_text(json.dumps(recorded | others, indent=1) + "\n")
        put(HERE / "README.md", "payloads", table(["server", "format", "both sides"], rows))


@contextmanager
def _serving(server: Server) -> Iterator[int]:
    """The port of a server that is ready."""
    port = free_port()
    script = HERE / "servers" / server.script
    python = interpreter(server.requirements)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("w") as out:
            command = [str(python), "-W", "ignore", str(script), str(port), folder]
            path = {"PATH": f"{python.parent}:{os.environ['PATH']}"}
            environment = os.environ | QUIET | path
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _is_ready(port, server.ready):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{server.name} does not serve: {log.read_text()[-2000:]}")
                time.sleep(0.2)
            yield port
        finally:
            process.terminate()
            process.wait()


def _is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):  # nobody listens, or it met itself there
        return False
    finally:
        connection.close()


def _ask(port: int, case: Case) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"content-type": case.content_type, **case.headers}
    connection.request("POST", case.path, case.body, headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{case.name}: the server said {answer.status}: {body[:500]!r}")
    return body


def _entry(question: bytes, answer: bytes, case: Case) -> dict[str, Any]:
    """What a test needs of it; RuntimeError if the monitor reads something else in it."""
    record = Record(Kind.ANSWERED, 0, 200, request=question, response=answer)
    columns, predicted, *_ = decode(record, NAMES)
    found = [[_plain(value) for value in column] for column in columns]
    wanted = [list(column) for column in case.columns]
    if (found, list(predicted)) != (wanted, PREDICTED):
        raise RuntimeError(f"{case.name}: read {found} and {predicted} in {question!r}, {answer!r}")
    return {
        "request": question.decode("latin-1"),
        "response": answer.decode("latin-1"),
        "names": list(NAMES),
        "columns": wanted,
        "predicted": PREDICTED,
    }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
