"""The clients of the model: a steady stream of requests, and labels that come back later."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from hack.demo.world.connection import Answer, Connection

CONNECTIONS = 8
LABEL_DELAY_SECONDS = 1.0  # until the pathologist's answer is known
WAITING_LABELS = 5_000  # bound of what is held; at the demo's rate a minute of labels
SECONDS_TOLD = 60
QUIET_SECONDS = 0.5  # between looks while there is no model yet


@dataclass(slots=True)
class Second:
    """What the clients saw in one second of wall-clock time."""

    at: int
    answered: int = 0
    right: int = 0
    failed: int = 0
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """A tumour as a request, and the truth about it."""

    body: bytes
    label: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the stream ends, whatever happens to whoever started it."""

    rate: float
    requests: int
    seconds: float


@dataclass(slots=True)
class Clients:
    """Sends cases at a steady rate and their labels after them; counts what comes back."""

    host: str
    path: str
    bounds: Bounds
    next_case: Callable[[], Case]
    seconds: dict[int, Second] = field(default_factory=dict)
    sent: int = 0
    first_failures: list[str] = field(default_factory=list)
    _labels: deque[tuple[float, bytes]] = field(
        default_factory=lambda: deque(maxlen=WAITING_LABELS)
    )

    async def run(self) -> None:
        """Wait for the model, then send until the bounds are reached."""
        await self._until_there()
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for index in range(CONNECTIONS):
                group.create_task(self._predict(started, index))
            group.create_task(self._feed_back(started))

    def state(self) -> dict[str, object]:
        """The counters of the last minute."""
        since = int(time.time()) - SECONDS_TOLD
        return {
            "sent": self.sent,
            "firstFailures": self.first_failures,
            "seconds": [asdict(s) for at, s in sorted(self.seconds.items()) if at >= since],
        }

    def _now(self) -> Second:
        at = int(time.time())
        return self.seconds.setdefault(at, Second(at))

    def _over(self, started: float) -> bool:
        return self.sent >= self.bounds.requests or time.monotonic() - started > self.bounds.seconds

    async def _until_there(self) -> None:
        connection = Connection(self.host)
        while True:
            try:
                if (await connection.post(self.path, self.next_case().body)).status == 200:
                    return
            except OSError:
                pass  # no Service, or no pod behind it yet
            await asyncio.sleep(QUIET_SECONDS)

    async def _predict(self, started: float, index: int) -> None:
        connection = Connection(self.host)
        interval = CONNECTIONS / self.bounds.rate
        due = started + interval * index / CONNECTIONS
        while not self._over(started):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            # A late client does not catch up by a burst.
            due = max(due + interval, time.monotonic())
            case = self.next_case()
            self.sent += 1
            try:
                answer = await connection.post(self.path, case.body)
            except OSError as error:
                self._failed(f"{type(error).__name__}: {error}")
            else:
                self._answered(case, answer)

    def _answered(self, case: Case, answer: Answer) -> None:
        if answer.status != 200:
            self._failed(f"{answer.status}: {answer.body[:200].decode(errors='replace')}")
            return
        second = self._now()
        second.answered += 1
        predicted = json.loads(answer.body)["outputs"][0]["data"][0]
        second.right += str(predicted) == case.label
        if answer.inference_id:
            label = json.dumps({"id": answer.inference_id, "label": case.label}).encode()
            self._labels.append((time.monotonic() + LABEL_DELAY_SECONDS, label))

    def _failed(self, why: str) -> None:
        self._now().failed += 1
        if len(self.first_failures) < 10:
            self.first_failures.append(why)

    async def _feed_back(self, started: float) -> None:
        connection = Connection(self.host)
        while not self._over(started):
            if not self._labels or self._labels[0][0] > time.monotonic():
                await asyncio.sleep(0.01)
                continue
            _, label = self._labels.popleft()
            try:
                answer = await connection.post("/feedback", label)
            except OSError:
                continue  # a label that is lost is a label less, no more
            self._now().labelled += answer.status in (200, 202, 204)
