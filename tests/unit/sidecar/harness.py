"""A real sidecar as a child process, and a client that speaks HTTP/1.1 in raw bytes."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.patience import DEADLINE_SECONDS as DEADLINE_SECONDS
from tests.ports import free_port

from tidegate.evidence.windows import BlockKey, Counts, Report
from tidegate.sidecar.proxy.upstream import IDLE_SECONDS
from tidegate.traffic.marks import Kind, signed
from tidegate.traffic.routing import Candidate, Match, Member, Routing
from tidegate.traffic.signing import mint_token, seal

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
STABLE, CANDIDATE = "churn-stable", "churn-candidate"
MARK_KEY = b"m" * 16


@dataclass(frozen=True)
class Reply:
    status: int
    raw_head: bytes
    body: bytes
    """Raw: the chunks' framing is part of it."""

    def header(self, name: str) -> str | None:
        for line in self.raw_head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode().lower() == name.lower():
                return value.strip().decode()
        return None

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def receive(self, *, bodiless: bool = False) -> Reply:
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ")[1])
            none = bodiless or status < 200 or status in (204, 304)
            return Reply(status, head, b"" if none else await self._body(head.lower()))

    async def _body(self, lower: bytes) -> bytes:
        if b"transfer-encoding: chunked" in lower:
            body = b""
            while not body.endswith(b"0\r\n\r\n"):
                body += await self.reader.readuntil(b"\r\n")
            return body
        if b"content-length:" in lower:
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            return await self.reader.readexactly(length)
        return await self.reader.read()

    async def ask(self, raw: bytes) -> Reply:
        self.send(raw)
        return await self.receive()

    async def ended(self) -> bool:
        """Whether the other side has closed, after what was still to be read."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return not await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


def post(
    body: bytes | dict[str, Any] | list[Any], path: str = "/v1/models/churn:predict", *more: str
) -> bytes:
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: churn", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path: str, *more: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: churn", *more]).encode() + b"\r\n\r\n"


async def once(port: int, raw: bytes) -> Reply:
    connection = await Connection.open(port)
    try:
        return await connection.ask(raw)
    finally:
        await connection.close()


@dataclass
class Sidecar:
    """A running sidecar and how it is reached."""

    uid: str
    port: int
    control: int
    metrics: int
    process: asyncio.subprocess.Process
    folder: Path

    async def route(self, routing: Routing, key: Ed25519PrivateKey = KEY) -> Reply:
        return await self.push(seal(routing.to_json(), key))

    async def push(self, envelope: str) -> Reply:
        body = envelope.encode()
        head = f"PUT /routing HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        return await once(self.control, head.encode() + body)

    async def numbers(self, path: str, key: Ed25519PrivateKey = KEY) -> Reply:
        token = mint_token(key, self.uid, time.time())
        return await once(self.control, get(path, f"Authorization: Bearer {token}"))

    async def report(self, after: int = 0, labels_after: int = 0) -> Report:
        reply = await self.numbers(f"/windows?after={after}&labelsAfter={labels_after}")
        assert reply.status == 200, reply
        return Report.from_json(reply.json())

    async def monitor_up(self) -> None:
        async def answers() -> bool:
            try:
                return (await self.numbers("/windows")).status == 200
            except asyncio.IncompleteReadError:
                return False  # one that starts on a starved machine is hung up on after 10 s

        await eventually(answers)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the proxy, and of the monitor if there is one."""
        monitor = self.monitor_pid()
        return (self.process.pid,) if monitor is None else (self.process.pid, monitor)

    def monitor_pid(self) -> int | None:
        """The pid of the proxy's only child."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None

    async def scrape(self) -> dict[str, float]:
        text = (await once(self.metrics, get("/metrics"))).body.decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}


@asynccontextmanager
async def sidecar(
    folder: Path,
    upstream_port: int,
    *,
    revision: str = STABLE,
    uid: str = "pod-1",
    profile: dict[str, Any] | None = None,
    drain_seconds: float = 0.0,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Sidecar]:
    """Run one until the block is left; it serves when the block is entered."""
    folder = folder / uid
    folder.mkdir(parents=True, exist_ok=True)
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "public-key.pem").write_bytes(pem)
    if profile is not None:
        (folder / "profile.json").write_text(json.dumps(profile))
    ports = free_port(), free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tidegate.sidecar",
        env=os.environ
        | {
            "TIDEGATE_POD_UID": uid,
            "TIDEGATE_DRAIN_SECONDS": str(drain_seconds),
            "TIDEGATE_MODEL": "churn",
            "TIDEGATE_REVISION": revision,
            "TIDEGATE_UPSTREAM": f"127.0.0.1:{upstream_port}",
            "TIDEGATE_ROUTING_DIR": str(folder),
            "TIDEGATE_PROFILE": str(folder / "profile.json"),
            "TIDEGATE_TRAFFIC_PORT": str(ports[0]),
            "TIDEGATE_CONTROL_PORT": str(ports[1]),
            "TIDEGATE_METRICS_PORT": str(ports[2]),
        }
        | dict(environment or {}),
    )
    running = Sidecar(uid, *ports, process, folder)
    try:
        await eventually(lambda: _alive(running.control))
        yield running
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE_SECONDS):
                await process.wait()


async def _alive(port: int) -> bool:
    try:
        return (await once(port, get("/livez"))).status == 200
    except OSError:
        return False


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Poll until the check holds; fail at the deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await check():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.02)


def stalls(moments: Sequence[float]) -> int:
    """How often a connection may have grown too old for the next request.

    The moments are those between one request and the next, the first and the last one included.
    """
    rests = zip(moments, moments[2:], strict=False)
    return sum(after - before >= IDLE_SECONDS for before, after in rests)


def routing(
    generation: int = 1,
    candidate_port: int | None = None,
    weight: int = 0,
    *,
    stable: str = STABLE,
    stable_port: int = 1,
    members: tuple[Member, ...] = (),
    prediction_edges: tuple[float, ...] = (),
    horizon: int = 86400,
    model: str = "churn",
    sticky: str = "",
    match: tuple[Match, ...] = (),
    shadow: int = 0,
) -> Routing:
    address = f"127.0.0.1:{candidate_port}"
    candidate = candidate_port and Candidate(CANDIDATE, address, weight, sticky, match, shadow)
    return Routing(
        model=model,
        generation=generation,
        stable=stable,
        stable_address=f"127.0.0.1:{stable_port}",
        candidate=candidate or None,
        members=members,
        prediction_edges=prediction_edges,
        feedback_horizon_seconds=horizon,
        mark_key=MARK_KEY.hex(),
    )


def mark(kind: Kind, generation: int, key: bytes = MARK_KEY) -> str:
    """The header line with which a pod passes a request on."""
    return f"x-tidegate-routed: {signed(key, kind, generation).decode()}"


def total(windows: dict[BlockKey, Counts], **where: object) -> Counts:
    """The sum of the windows whose key has these fields."""
    found = (n for k, n in windows.items() if where.items() <= k._asdict().items())
    return sum(found, Counts())
