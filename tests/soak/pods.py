"""Pods without a cluster: a sidecar and its model as processes, which can be hurt."""

import asyncio
import json
import os
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import numpy as np
from tests.ports import free_port
from tests.unit.sidecar.harness import Sidecar, eventually, sidecar

from tidegate.evidence.profile import make_profile

CLOCK = Path(__file__).with_name("clock")
PROFILE = make_profile(
    {"age": np.arange(100.0), "plan": ["basic", "pro"] * 50},
    {"age": "number", "plan": "category"},
    [0, 1] * 50,
    "classification",
    {},
).to_json()


@dataclass
class Outage:
    """When a model was down, by the monotonic clock."""

    began: float
    ended: float = inf


@dataclass
class ModelServer:
    """A model server in a process of its own; it always comes back on the same port."""

    port: int = field(default_factory=free_port)
    outages: list[Outage] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Return when it answers."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "tests.soak.model:app", "--port", str(self.port)),
            *("--http", "httptools", "--lifespan", "off", "--log-level", "critical"),
        )
        await eventually(self._answers)
        for outage in self.outages[-1:]:
            outage.ended = time.monotonic()

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def kill(self) -> None:
        """As the kernel does when memory runs out."""
        if self.process is None:
            return
        self.outages.append(Outage(time.monotonic()))
        self.process.kill()
        await self.process.wait()

    def was_down(self, since: float, until: float) -> bool:
        """Whether there was a moment in this time in which it did not answer."""
        return any(o.began <= until and since <= o.ended for o in self.outages)


@dataclass
class Pod:
    """A sidecar, its model, and its node's clock."""

    sidecar: Sidecar
    model: ModelServer
    clock: Path

    @property
    def uid(self) -> str:
        return self.sidecar.uid

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes that a request passes through."""
        model = self.model.process
        return (self.sidecar.process.pid, *(() if model is None else (model.pid,)))

    def set_clock(self, error_seconds: float) -> None:
        with self.clock.open("r+b") as file:
            file.write(struct.pack("<d", error_seconds))

    def signal_monitor(self, number: signal.Signals) -> int | None:
        """The pid of the monitor that got the signal; None if there was none just now."""
        pid = self.sidecar.monitor_pid()
        if pid is not None:
            os.kill(pid, number)
        return pid

    def memory(self) -> dict[str, int]:
        """Resident bytes of the proxy and the monitor."""
        pids = {"proxy": self.sidecar.process.pid, "monitor": self.sidecar.monitor_pid()}
        return {role: _resident(pid) for role, pid in pids.items() if pid is not None}


@asynccontextmanager
async def pod(
    folder: Path, uid: str, revision: str, environment: Mapping[str, str]
) -> AsyncIterator[Pod]:
    """Run one until the block is left."""
    clock = folder / f"{uid}.clock"
    clock.write_bytes(struct.pack("<d", 0.0))
    model = ModelServer()
    try:
        await model.start()
        async with sidecar(
            folder,
            model.port,
            uid=uid,
            revision=revision,
            profile=PROFILE,
            environment={
                **environment,
                "PYTHONPATH": os.pathsep.join([str(CLOCK), os.environ.get("PYTHONPATH", "")]),
                "TIDEGATE_SOAK_CLOCK": str(clock),
            },
        ) as running:
            await running.monitor_up()
            yield Pod(running, model, clock)
    finally:
        if model.process is not None and model.process.returncode is None:
            model.process.kill()
            await model.process.wait()


def log_settings(store: Mapping[str, str]) -> dict[str, str]:
    """The environment of a sidecar that writes all predictions to a bucket."""
    wanted = {"uri": "s3://logs/churn/", "percent": 100, "redact": [], "hashed": []}
    return {**store, "TIDEGATE_LOG": json.dumps(wanted)}


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS")), 0)
