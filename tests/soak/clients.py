"""The clients: polite ones, who know exactly what was counted for them, and rude ones."""

import asyncio
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.fair_clock import FairClock
from tests.patience import DEADLINE_SECONDS
from tests.soak.pods import Pod
from tests.unit.sidecar.harness import Connection, post

from tidegate.evidence.ids import parse
from tidegate.evidence.windows import SLOT_SECONDS, slot_of
from tidegate.sidecar.proxy.channel import QUEUE_LIMIT_BYTES

ROWS = 2
QUIET_SECONDS = 0.5  # around the end of a slot nobody asks: each request has a sure slot
HELD_SECONDS = (
    10.0  # a monitor stands still for up to 12 s, a store for 15 s: nobody waits for them
)
LARGE = 300_000  # bytes of a request
PIECES = 32  # of 64 KiB, for those who take their time
# A mark that no pod has signed: the pod that is asked answers itself, under no generation, so that
# the rude are counted apart from the polite.
UNSIGNED = "x-tidegate-routed: made-up"
GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"\x00" * 70_000,
)


@dataclass
class Seen:
    """What the clients know."""

    polite: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Answers by pod and slot."""
    straddling: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Of these, answers that began in the slot and came after it: where they count is not sure."""
    succeeded: Counter[str] = field(default_factory=Counter)
    """Answers with 200 to polite clients, by pod."""
    failed: Counter[str] = field(default_factory=Counter)
    """Answers that the pod's model failed, by pod."""
    rude: Counter[str] = field(default_factory=Counter)
    """Whole requests of rude clients, by the pod that was asked."""
    kinds: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """What must not happen."""


async def _answer(connection: Connection) -> tuple[int, str, bytes, bool]:
    """Status, id, body, and whether the body is whole."""
    head = await connection.reader.readuntil(b"\r\n\r\n")
    lines = [line.partition(b": ") for line in head.lower().split(b"\r\n")]
    headers = {name: value for name, _, value in lines}
    length = int(headers[b"content-length"])
    status = int(head.split(b" ")[1])
    id_ = headers.get(b"x-tidegate-id", b"").decode()
    try:
        return status, id_, await connection.reader.readexactly(length), True
    except (asyncio.IncompleteReadError, ConnectionError):
        return status, id_, b"", False


class Polite:
    """Asks at a steady pace over one connection that it keeps as long as it can."""

    def __init__(self, pods: dict[str, Pod], entry: Pod, seen: Seen, rng: random.Random) -> None:
        self._pods = pods
        self._port = entry.sidecar.port
        self._seen = seen
        self._rng = rng
        self._connection: Connection | None = None

    async def run(self, pause_seconds: float, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                begun = time.monotonic()
                await quiet()
                await self._ask()
                await asyncio.sleep(max(0.0, begun + pause_seconds - time.monotonic()))
        finally:
            if self._connection is not None:
                await self._connection.close()

    async def _ask(self) -> None:
        ages = [self._rng.randrange(100) for _ in range(ROWS)]
        body = {"instances": [[age, "pro"] for age in ages]}
        if self._rng.random() < 0.02:
            body["padding"] = [["x" * self._rng.randrange(LARGE)]]  # fills queues
        began, clock = time.monotonic(), time.time()
        fair = FairClock(sum((pod.pids for pod in self._pods.values()), ()))
        fairly_began = fair()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                if self._connection is None:
                    self._connection = await Connection.open(self._port)
                self._connection.send(post(body))
                status, id_, answer, whole = await _answer(self._connection)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, KeyError) as error:
            self._seen.faults.append(f"no answer: {error!r}")
            self._drop()
            return
        took = fair() - fairly_began
        if took > HELD_SECONDS:
            self._seen.faults.append(f"an answer of {id_!r} after {took:.1f} s")
        self._book(id_, slot_of(clock), slot_of(time.time()))
        if status == 200 and whole:
            wanted = [int(age >= 50) for age in ages]
            if json.loads(answer) != {"predictions": wanted}:
                self._seen.faults.append(f"a wrong answer: {answer[:99]!r}")
            self._seen.succeeded[id_.partition(".")[0]] += 1
        else:
            self._drop()
            self._excuse(id_, status, began)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.writer.close()
        self._connection = None

    def _book(self, id_: str, first: int, last: int) -> None:
        found = parse(id_)
        if found is None:
            self._seen.faults.append(f"an answer with the id {id_!r}")
            return
        self._seen.polite[found.member, first] += 1
        if first != last:
            self._seen.straddling[found.member, first] += 1

    def _excuse(self, id_: str, status: int, began: float) -> None:
        """Only the model of the pod that answered may have failed, and only while it was down."""
        pod = self._pods.get(id_.partition(".")[0])
        down = pod is not None and pod.model.was_down(began, time.monotonic())
        if pod is not None and down and status in (200, 502):  # 200: it broke off in the middle
            self._seen.failed[pod.uid] += 1
        else:
            self._seen.faults.append(f"{status} from {id_!r}, whose model was up")


async def quiet() -> None:
    """Wait until the present slot is sure."""
    place = time.time() % SLOT_SECONDS
    if place < QUIET_SECONDS:
        await asyncio.sleep(QUIET_SECONDS - place)
    elif place > SLOT_SECONDS - QUIET_SECONDS:
        await asyncio.sleep(SLOT_SECONDS - place + QUIET_SECONDS)


class Rude:
    """Clients that leave, stop, dawdle, or speak another protocol."""

    def __init__(self, pods: dict[str, Pod], seen: Seen, rng: random.Random) -> None:
        self._pods = list(pods.values())
        self._seen = seen
        self._rng = rng

    async def run(self, pause_seconds: float, stop: asyncio.Event) -> None:
        kinds = (self._leave, self._stop_halfway, self._dawdle, self._babble)
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                kind = self._rng.choice(kinds)
                name = kind.__name__.strip("_")
                self._seen.kinds[name] += 1
                group.create_task(self._finish(name, kind(self._rng.choice(self._pods))))
                await asyncio.sleep(self._rng.uniform(0, 2 * pause_seconds))

    async def _finish(self, name: str, visit: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await visit
        except (OSError, TimeoutError) as error:
            self._seen.faults.append(f"{name}: {error!r}")

    async def fill_queue(self, pod: Pod) -> None:
        """Ask until there is no more room for copies; the monitor must stand still."""
        connection = await self._connected(pod)
        for _ in range(2 * QUEUE_LIMIT_BYTES // LARGE):
            connection.send(self._request(padding="x" * LARGE))
            await _answer(connection)
            self._seen.rude[pod.uid] += 1
        await connection.close()

    async def _leave(self, pod: Pod) -> None:
        """Ask, and go before the answer comes: with a reset, or politely."""
        patience, reset = self._rng.uniform(0.0, 0.4), self._rng.random() < 0.5
        connection = await self._connected(pod)
        connection.send(self._request("x-slow: 0.5"))
        await connection.writer.drain()
        self._seen.rude[pod.uid] += 1
        await asyncio.sleep(patience)
        if reset:
            raw = connection.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await connection.close()

    async def _stop_halfway(self, pod: Pod) -> None:
        """Send a part of the body; only a proxy that answers nevertheless has counted it."""
        request = self._request()
        connection = await self._connected(pod)
        connection.send(request[: -self._rng.randrange(1, 30)])
        await asyncio.sleep(self._rng.uniform(0.0, 0.5))
        if await _last_words(connection) == 502:
            self._seen.rude[pod.uid] += 1

    async def _dawdle(self, pod: Pod) -> None:
        """Take a long answer slowly; it comes to its end nevertheless."""
        streams = await asyncio.open_connection("127.0.0.1", pod.sidecar.port, limit=65536)
        connection, began, taken = Connection(*streams), time.monotonic(), 0
        connection.send(self._request(f"x-pieces: {PIECES}", "Connection: close"))
        self._seen.rude[pod.uid] += 1
        with suppress(OSError):
            while part := await connection.reader.read(65536):
                taken += len(part)
                await asyncio.sleep(0.03)
        await connection.close()
        if taken < PIECES << 16 and not pod.model.was_down(began, time.monotonic()):
            self._seen.faults.append(f"an answer of {PIECES << 16} bytes ended after {taken}")

    async def _babble(self, pod: Pod) -> None:
        connection = await self._connected(pod)
        connection.send(self._rng.choice(GARBAGE))
        status = await _last_words(connection)
        if status is not None and not 400 <= status < 500:
            self._seen.faults.append(f"garbage was answered with {status}")

    async def _connected(self, pod: Pod) -> Connection:
        return await Connection.open(pod.sidecar.port)

    def _request(self, *more: str, padding: str = "") -> bytes:
        body = {"instances": [[self._rng.randrange(100), "pro"]] * ROWS, "padding": padding}
        return post(body, "/v1/models/churn:predict", UNSIGNED, *more)


async def _last_words(connection: Connection) -> int | None:
    """The status that comes when nothing more is sent; None if the connection just ends."""
    try:
        connection.writer.write_eof()
        words = await connection.reader.read()
        return int(words.split(b" ")[1]) if words else None
    except OSError:
        return None  # reset, since what was sent last had not been read
    finally:
        await connection.close()
