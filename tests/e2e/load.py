"""Clients of a model: a steady, bounded stream of requests, and the labels of their answers."""

import asyncio
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from types import TracebackType
from typing import NamedTuple

import aiohttp
import pandas as pd

from tidegate.api.names import HEADER_ID
from tidegate.evidence.ids import parse

CONNECTIONS = 8
ANSWER_SECONDS = 30.0
LABEL_SECONDS = 0.5  # between two bundles of labels
MAX_SECONDS = 600.0  # whatever becomes of the tests
TARGET = "malignant"


class Case(NamedTuple):
    """A request, and the truth about it."""

    body: bytes
    label: str


class Answer(NamedTuple):
    """What a client got."""

    at: float
    pod: str
    """The uid of the pod that answered, out of the answer's id."""
    right: bool


@dataclass(frozen=True, slots=True)
class Label:
    """A label that is to be sent."""

    id: str
    pod: str
    value: str


def cases(table: pd.DataFrame) -> Iterator[Case]:
    """The rows of a table as requests, over and over."""
    features = table.drop(columns=TARGET)
    shape = [1, features.shape[1]]
    rows = zip(features.to_numpy().tolist(), table[TARGET].astype(str), strict=True)
    return cycle([Case(_body(row, shape), label) for row, label in rows])


def _body(row: list[float], shape: list[int]) -> bytes:
    tensor = {"name": "rows", "shape": shape, "datatype": "FP64", "data": row}
    return json.dumps({"inputs": [tensor]}).encode()


@dataclass(slots=True)
class Load:
    """Sends requests from a thread of its own while the block runs; nothing is sent twice."""

    host: str
    model: str
    cases: Iterator[Case]
    """May be replaced at any time: the world changes."""
    rate: float = 60.0
    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    labelled: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Labels by the pod that the answer came from, and by what became of them."""
    _waiting: list[Label] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Load":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more, and wait until every answer and every label's receipt is in."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout=3 * ANSWER_SECONDS)
            assert not self._thread.is_alive(), "the clients did not end"

    def answered_by(self, pods: set[str], since: float = 0.0) -> int:
        return sum(a.pod in pods and a.at >= since for a in list(self.answers))

    def accepted_from(self, pods: set[str]) -> int:
        """Labels that were counted, of answers of these pods."""
        return sum(
            n for (pod, result), n in self.labelled.items() if pod in pods and result == "accepted"
        )

    def accuracy(self, since: float) -> float:
        """The share of right answers since then."""
        newest = [a.right for a in list(self.answers) if a.at >= since]
        assert len(newest) >= 50, f"only {len(newest)} answers: too few to speak of accuracy"
        return sum(newest) / len(newest)

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        connector = aiohttp.TCPConnector(limit=CONNECTIONS + 2)
        async with aiohttp.ClientSession(
            f"http://{self.host}", connector=connector, timeout=timeout
        ) as session:
            await self._until_reachable(session)
            begins = time.monotonic()
            senders = [self._send(session, begins, number) for number in range(CONNECTIONS)]
            done = asyncio.Event()
            labels = asyncio.create_task(self._feed_back(session, done))
            await asyncio.gather(*senders)
            done.set()
            await labels
            await asyncio.sleep(LABEL_SECONDS)  # labels come after their answers, as in life
            await self._post_labels(session)

    async def _until_reachable(self, session: aiohttp.ClientSession) -> None:
        """A node hears of a new Service a moment after everybody else."""
        while not self._ending.is_set():
            try:
                async with session.get("/v2/health/ready"):
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.1)

    async def _send(self, session: aiohttp.ClientSession, begins: float, number: int) -> None:
        interval = CONNECTIONS / self.rate
        due = begins + interval * number / CONNECTIONS
        while not self._ending.is_set() and time.monotonic() < begins + MAX_SECONDS:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + interval, time.monotonic())  # a late client sends no burst
            await self._ask(session, next(self.cases))

    async def _ask(self, session: aiohttp.ClientSession, case: Case) -> None:
        try:
            async with session.post(f"/v2/models/{self.model}/infer", data=case.body) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(f"{time.time():.1f} {type(error).__name__}: {error}")
            return
        id_ = parse(answer.headers.get(HEADER_ID, ""))
        if answer.status != 200 or id_ is None:
            self.failures.append(f"{time.time():.1f} {answer.status}: {body[:200]!r}")
            return
        predicted = str(json.loads(body)["outputs"][0]["data"][0])
        self.answers.append(Answer(time.time(), id_.member, predicted == case.label))
        self._waiting.append(Label(str(id_), id_.member, case.label))

    async def _feed_back(self, session: aiohttp.ClientSession, done: asyncio.Event) -> None:
        # Not cancelled: what was sent by then would be counted by the pod, and not here.
        while not done.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LABEL_SECONDS):
                    await done.wait()
            await self._post_labels(session)

    async def _post_labels(self, session: aiohttp.ClientSession) -> None:
        bundles = defaultdict(list)
        for label in self._waiting:
            bundles[label.pod].append(label)
        self._waiting.clear()
        for pod, bundle in bundles.items():
            body = [{"id": label.id, "label": label.value} for label in bundle]
            async with session.post("/feedback", json=body) as answer:
                if answer.status == 503:  # a monitor that is just starting asks to try again
                    self._waiting.extend(bundle)
                    continue
                for result, number in (await answer.json())["results"].items():
                    self.labelled[pod, result] += number
