"""The decision log on a real S3 server: the decisions of whole rollouts, and the docs' queries."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import duckdb
import pytest
from tests.integration.operator_core.objects import eventually
from tests.integration.runtime.programs import S3Server
from tests.unit.controllers.model.scenes import NEW_DIGEST, OLD_DIGEST
from tests.unit.controllers.model.test_reconcile import NEW, World
from typing_extensions import override

from tidegate.api.v1alpha1.model_status import DecisionStatus
from tidegate.clients.log_store import LogStore
from tidegate.controllers import decision_log
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.decision_log import DecisionLog
from tidegate.rollout.decision_line import parsed

pytestmark = pytest.mark.s3

ROOT = Path(__file__).parents[3]
QUERIES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/decision-log.md").read_text(), re.DOTALL)
URI = "s3://audit/tidegate/"
FOLDER = "s3://logs/decisions/"


class LoggedWorld(World):
    """A world whose operator keeps a decision log."""

    def __init__(self, log: DecisionLog, *, error: float) -> None:
        self._log = log
        super().__init__(error=error)

    @override
    def _operator(self) -> Cluster:
        cluster = super()._operator()
        cluster.decision_log = self._log
        return cluster


@asynccontextmanager
async def operator(
    store: S3Server, **environment: str
) -> AsyncIterator[tuple[DecisionLog, Counter[str]]]:
    """The log of an operator's process, which ends without warning."""
    counted: Counter[str] = Counter()
    known = {**store.environment(), **environment}
    async with aiohttp.ClientSession() as session:
        target = LogStore.from_environment(FOLDER, known, session, lambda: datetime.now(UTC))
        log = DecisionLog(target, lambda result: counted.update([result]))
        task = asyncio.create_task(log.run())
        yield log, counted
        task.cancel()
        await asyncio.wait([task])


async def rollout(log: DecisionLog, *, error: float) -> tuple[DecisionStatus, ...]:
    """A first revision, then one that is promoted or rolled back; all that was decided."""
    world = LoggedWorld(log, error=error)
    for digest in (OLD_DIGEST, NEW_DIGEST):
        await world.want(digest)
        await world.run(40)
    return world.model().status.decisions


def stored(store: S3Server) -> tuple[DecisionStatus, ...]:
    folder = store.root / "logs" / "decisions"
    lines = (f.read_text() for f in sorted(folder.rglob("*.jsonl")))
    return tuple(line.decision for line in parsed(lines))


def query(text: str, store: S3Server) -> list[tuple[Any, ...]]:
    with duckdb.connect() as database:
        folder = f"{store.root}/logs/decisions/"
        return database.execute(text.replace(URI, folder)).fetchall()


def is_empty(log: DecisionLog, counted: Counter[str], lines: int) -> Callable[[], bool]:
    return lambda: not log.waiting and counted["written"] == lines


async def test_every_decision_of_a_rollout_is_in_the_bucket(store: S3Server) -> None:
    """And the queries of the docs, run over it as they stand there, tell the truth."""
    async with operator(store) as (log, counted):
        decisions = await rollout(log, error=0.1)
        await eventually(is_empty(log, counted, len(decisions)), "the lines")
    assert counted == {"written": len(decisions)}
    assert stored(store) == decisions
    key = r"decisions/namespace=growth/model=churn/date=[\d-]+/\d{8}T\d{6}Z-d-\d{4}-.+\.jsonl"
    assert all(re.fullmatch(key, name) for name in store.keys("logs"))
    outcomes, blamed = QUERIES
    assert query(outcomes, store) == [
        ("growth", "churn", "Promote", "FirstRevision", 1),
        ("growth", "churn", "RollBack", "MetricBreached", 1),
    ]
    # DuckDB's Python needs another library for times with a zone.
    (breach,) = query(f'SELECT * EXCLUDE ("at") FROM ({blamed.rstrip().rstrip(";")})', store)
    assert breach[:4] == ("churn", NEW, "errors", "Fail")
    assert float(breach[4]) == pytest.approx(0.1, abs=0.03)


async def test_an_outage_costs_no_line_and_holds_up_nobody(
    store: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_log, "FIRST_PAUSE_SECONDS", 0.05)
    store.stop()
    async with operator(store) as (log, counted):
        decisions = await rollout(log, error=0.0)
        assert decisions[-1].action == "Promote"
        await eventually(lambda: counted["failed"] > 1, "a second try")
        store.start()
        await eventually(is_empty(log, counted, len(decisions)), "the lines")
    assert stored(store) == decisions


async def test_a_successor_brings_what_its_predecessor_could_not(store: S3Server) -> None:
    async with operator(store, AWS_SECRET_ACCESS_KEY="old") as (log, counted):
        world = LoggedWorld(log, error=0.0)
        await world.want(OLD_DIGEST)
        await world.run(5)
        await eventually(lambda: counted["failed"] > 0, "the refusal")
    assert stored(store) == ()
    async with operator(store) as (log, counted):
        world.cluster.decision_log = log
        await world.run(5)
        decisions = world.model().status.decisions
        await eventually(is_empty(log, counted, len(decisions)), "the lines")
    assert stored(store) == decisions
