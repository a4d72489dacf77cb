"""The prediction log on a real S3 server, from real requests through a real sidecar."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import duckdb
import numpy as np
import pytest
import pytest_asyncio
from tests.integration.runtime.programs import S3Server
from tests.unit.sidecar.harness import (
    DEADLINE_SECONDS,
    STABLE,
    Connection,
    Sidecar,
    eventually,
    post,
    routing,
    sidecar,
)
from tests.unit.sidecar.upstream import Asked, predictions, upstream

from tidegate.clients.log_store import LogStore
from tidegate.errors import TerminalError
from tidegate.evidence.profile import make_profile
from tidegate.sidecar.monitor.payloads import Columns, Decoded
from tidegate.sidecar.monitor.prediction_log.log import PredictionLog
from tidegate.sidecar.monitor.prediction_log.parts import Parts
from tidegate.sidecar.monitor.prediction_log.redaction import Redaction
from tidegate.sidecar.monitor.prediction_log.uploader import UNREACHABLE, Uploader
from tidegate.sidecar.records import Kind, Record
from tidegate.sidecar.settings import LogSettings

pytestmark = pytest.mark.s3

ROOT = Path(__file__).parents[3]
QUERIES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/prediction-log.md").read_text(), re.DOTALL)
URI = "s3://logs/churn/"
PROFILE = make_profile(
    {"age": np.arange(100.0), "plan": ["basic", "pro"] * 50, "customer_id": np.arange(100.0)},
    {"age": "number", "plan": "category", "customer_id": "category"},
    [0, 1] * 50,
    "classification",
    {},
)


async def model_answer(asked: Asked) -> bytes:
    rows = json.loads(asked.body or b"{}").get("instances", ())
    return predictions(*(int(row[0] >= 50) for row in rows))


def settings(store: S3Server, percent: int = 100) -> dict[str, str]:
    wanted = {"uri": URI, "percent": percent, "redact": [], "hashed": ["customer_id"]}
    log = {LogSettings.VARIABLE: json.dumps(wanted), LogSettings.SALT_VARIABLE: "pepper"}
    return {**store.environment(), **log}


async def ask(pod: Sidecar, count: int) -> list[tuple[str, int]]:
    """Ids and ages of requests with two rows each; the first row's age is the request's number."""
    connection = await Connection.open(pod.port)
    asked = []
    for number in range(count):
        rows = [[number, "pro", 7], [99, "secret", 8]]
        reply = await connection.ask(post({"instances": rows}, "/p", f"x-request-id: r{number}"))
        asked.append((reply.header("x-tidegate-id") or "", number))
    await connection.close()
    return asked


def query(text: str, folder: Path, *before: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as database:
        for statement in before:
            database.execute(statement)
        return database.execute(text.replace(URI, f"{folder}/")).fetchall()


async def test_what_was_asked_is_in_the_bucket_when_the_pod_has_ended(
    store: S3Server, tmp_path: Path
) -> None:
    """And the queries of the docs, run over it as they stand there, tell the truth."""
    async with (
        upstream(model_answer) as model,
        sidecar(
            tmp_path, model.port, profile=PROFILE.to_json(), environment=settings(store)
        ) as pod,
    ):
        await pod.monitor_up()
        await pod.route(routing(3))
        asked = await ask(pod, 100)
    keys = store.keys("logs")
    assert all(
        re.fullmatch(rf"churn/model=churn/revision={STABLE}/date=[\d-]+/hour=\d\d/"
                     r"pod-1-\d{8}T\d+-\d{6}\.jsonl\.zst", key) for key in keys
    )  # fmt: skip
    folder = store.root / "logs" / "churn"
    by_prediction, newest, accuracy = QUERIES
    found = query(by_prediction, folder)
    assert {row[2] for row in found} == {"stable"}
    assert sum(row[4] for row in found if row[3] == 0) == 50
    assert sum(row[4] for row in found if row[3] == 1) == 150
    assert len(query(newest, folder)) == 20
    labels = ", ".join(f"('{id_}', 0, '{int(number < 75)}')" for id_, number in asked)
    table = f'CREATE TABLE labels AS SELECT * FROM (VALUES {labels}) AS t(id, "row", label)'
    assert query(accuracy, folder, table) == [(STABLE, 100, 0.25)]
    lines = f"read_json('{URI}**/*.jsonl.zst', format = 'newline_delimited')"
    callers = query(f"SELECT DISTINCT callerId FROM {lines}", folder)
    assert {caller for (caller,) in callers} == {f"r{number}" for number in range(100)}
    seen = query(f"SELECT features.plan, features.customer_id FROM {lines} GROUP BY ALL", folder)
    assert sorted(plan or "" for plan, _ in seen) == ["", "pro"], "no level that training never saw"
    assert {len(pseudonym) for _, pseudonym in seen} == {16}


async def test_a_pod_serves_without_the_secret(store: S3Server, tmp_path: Path) -> None:
    environment = settings(store) | {"AWS_ACCESS_KEY_ID": ""}
    async with (
        upstream(model_answer) as model,
        sidecar(tmp_path, model.port, profile=PROFILE.to_json(), environment=environment) as pod,
    ):
        await pod.monitor_up()
        assert len(await ask(pod, 5)) == 5
    assert store.keys("logs") == []


async def test_a_killed_monitor_writes_on_under_another_name(
    store: S3Server, tmp_path: Path
) -> None:
    """What it had not uploaded is lost; nothing is written over, and no line is torn."""
    async with (
        upstream(model_answer) as model,
        sidecar(
            tmp_path, model.port, profile=PROFILE.to_json(), environment=settings(store)
        ) as pod,
    ):
        await pod.monitor_up()
        await ask(pod, 20)
        killed = pod.monitor_pid()
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        async def another() -> bool:
            return pod.monitor_pid() not in (killed, None)

        await eventually(another)
        await pod.monitor_up()
        after = await ask(pod, 20)
    lines = f"SELECT id FROM read_json('{URI}**/*.jsonl.zst', format = 'newline_delimited')"
    found = [id_ for (id_,) in query(lines, store.root / "logs" / "churn")]
    assert {id_ for id_, _ in after} <= set(found)
    assert len(found) == 2 * len(set(found)), "two rows of each answer, once"


class Writer:
    """The log and its uploader in this process, with time at hand."""

    def __init__(self, store: LogStore, writer: str = "w") -> None:
        self.now = 0.0
        wanted = LogSettings(URI, 100)
        parts = Parts("model=churn/", writer)
        redaction = Redaction(PROFILE, wanted)
        self.log = PredictionLog("churn", 100, redaction, parts, lambda: self.now, lambda: 0.0)
        self.uploader = Uploader(parts, store)

    def write(self, rows: int) -> None:
        """One answer, in a part of its own."""
        record = Record(Kind.ANSWERED, arrival=1.8e9, revision=STABLE)
        columns: Columns = [list(range(rows)), ["pro"] * rows, ["7"] * rows]
        self.log.add(record, "pod.1.ab", "stable", Decoded(columns, [1] * rows, 1))
        self.now += 3600
        self.log.tick()
        self.uploader.wake()

    async def until(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not check():  # noqa: ASYNC110 - the other side is another process
                await asyncio.sleep(0.02)


@asynccontextmanager
async def opened(environment: Mapping[str, str], uri: str = URI) -> AsyncIterator[LogStore]:
    async with aiohttp.ClientSession() as session:
        clock = partial(datetime.now, UTC)
        yield LogStore.from_environment(uri, environment, session, clock)


@pytest_asyncio.fixture
async def writer(store: S3Server) -> AsyncIterator[Writer]:
    async with opened(store.environment()) as target:
        made = Writer(target)
        yield made
        await made.uploader.close(DEADLINE_SECONDS)


def stored_lines(store: S3Server) -> int:
    lines = f"SELECT count(*) FROM read_json('{URI}**/*.jsonl.zst', format = 'newline_delimited')"
    return int(query(lines, store.root / "logs" / "churn")[0][0])


async def test_what_came_while_the_store_was_down_is_written_when_it_is_back(
    store: S3Server, writer: Writer
) -> None:
    writer.write(3)
    await writer.until(lambda: writer.uploader.stored == 3)
    store.stop()
    for _ in range(4):
        writer.write(10)
    await writer.until(lambda: writer.uploader.failures[UNREACHABLE] >= 2)
    assert (writer.uploader.stored, writer.log.lines_dropped) == (3, 0)
    store.start()
    await writer.until(lambda: writer.uploader.stored == 43)
    assert stored_lines(store) == 43
    assert len(store.keys("logs")) == 5


async def test_what_the_store_does_not_take_in_time_is_counted_as_lost(
    store: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(store.environment(port=1)) as target:
        writer = Writer(target)
        writer.write(7)
        writer.write(5)
        await writer.uploader.close(0.8)
    assert writer.log.lines_dropped == 12
    assert "12 lines of the prediction log are lost" in caplog.text


@pytest.mark.parametrize(
    ("uri", "secret", "reason"),
    [
        pytest.param(URI, "wrong", "AccessDenied", id="secret"),
        pytest.param("s3://nowhere/x/", None, "InputNotFound", id="bucket"),
    ],
)
async def test_a_refusal_says_why(
    store: S3Server, uri: str, secret: str | None, reason: str
) -> None:
    environment = store.environment(secret=secret) if secret else store.environment()
    async with opened(environment, uri) as target:
        with pytest.raises(TerminalError) as caught:
            await target.put("a/b", b"x")
    assert caught.value.reason == reason


async def test_two_lives_of_a_pod_never_write_over_each_other(store: S3Server) -> None:
    async with opened(store.environment()) as target:
        for life in ("pod-1-20261121T120000", "pod-1-20261121T120001"):
            written = Writer(target, life)
            written.write(2)
            await written.uploader.close(DEADLINE_SECONDS)
    assert stored_lines(store) == 4


async def test_any_key_is_signed_as_it_is_sent(store: S3Server) -> None:
    async with opened(store.environment(), "s3://logs/grün & (new)/") as target:
        await target.put("date=2026-11-21/a+b~c'*!.zst", b"")
        await target.put("plain", b"x" * 100_000)
    assert store.keys("logs") == [
        "grün & (new)/date=2026-11-21/a+b~c'*!.zst",
        "grün & (new)/plain",
    ]
