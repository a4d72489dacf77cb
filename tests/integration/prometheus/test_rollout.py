"""Rollouts judged by what a real Prometheus remembers of both revisions."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from aiohttp import web
from tests.integration.prometheus.server import PrometheusServer, Sample
from tests.patience import DEADLINE_SECONDS
from tests.ports import free_port

from tidegate.api.meta import ObjectKey
from tidegate.api.v1alpha1.analysis import Analysis, Metric, Range
from tidegate.api.v1alpha1.model_status import DecisionStatus, MetricStatus
from tidegate.clients.prometheus import Prometheus, Server
from tidegate.controllers.sampler import Sampler, Wanted
from tidegate.errors import TerminalError, TransientError
from tidegate.evidence.values import question_of
from tidegate.evidence.windows import SLOT_SECONDS, BlockKey, Counts
from tidegate.rollout.analysis import Arms, Evidence, start, weigh
from tidegate.rollout.replay import replay

KEY = ObjectKey("Model", "growth", "churn")
ARMS = Arms("churn-old", "churn-new")
AFTER = 180_000_000 - 1  # some day of 2027, and a window begins then
SLOTS, SCRAPE_SECONDS = 354, 5  # an hour is asked for at most
CONVERSION = Metric(
    name="conversion",
    source="Prometheus",
    query='sum(increase(orders_total{revision="{{revision}}",namespace="{{namespace}}"}[{{window}}]))'
    ' / sum(increase(offers_total{revision="{{revision}}",namespace="{{namespace}}"}[{{window}}]))',
    window="30s",
    range=Range(min="0", max="0.5"),
    max_relative_drop="0.2",
    on_breach="Rollback",
)
ANALYSIS = Analysis(metrics=(CONVERSION,))
KINDS = {"orders": "counter", "offers": "counter"}


def shop(conversion: float, gap: range = range(0)) -> Iterator[Sample]:
    """Counters of both revisions, by two pods each; in `gap` the candidate was not scraped."""
    rng = np.random.default_rng(5)
    for revision, share, level in ((ARMS.candidate, 0.2, conversion), (ARMS.stable, 0.8, 0.25)):
        for pod in "ab":
            offers = orders = 0
            for tick in range(SLOTS * SLOT_SECONDS // SCRAPE_SECONDS + 1):
                at = (AFTER + 1) * SLOT_SECONDS + tick * SCRAPE_SECONDS
                asked = int(rng.poisson(200 * share))
                offers, orders = offers + asked, orders + int(rng.binomial(asked, level))
                if revision == ARMS.candidate and at // SLOT_SECONDS - AFTER in gap:
                    continue
                labels = f'revision="{revision}",namespace="growth",pod="{pod}"'
                yield f"offers_total{{{labels}}}", offers, at
                yield f"orders_total{{{labels}}}", orders, at


async def evidence(url: str) -> Evidence:
    """What the operator knows at the end."""
    end = AFTER + SLOTS
    windows = {
        BlockKey(slot, 3, revision): Counts(requests=requests)
        for slot in range(AFTER + 1, end + 1)
        for revision, requests in ((ARMS.candidate, 40), (ARMS.stable, 160))
    }
    question = question_of(CONVERSION)
    assert question is not None
    sampler = Sampler(
        Prometheus(Server(url)), lambda: float((end + 2) * SLOT_SECONDS), lambda _: None
    )
    wanted = Wanted((question,), (ARMS.candidate, ARMS.stable))
    sampler.follow(KEY, wanted, after=AFTER)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (sampler.sampled(KEY).closed_through or 0) < end:  # noqa: ASYNC110 - in its task
            await asyncio.sleep(0.01)
    known = sampler.sampled(KEY)
    await sampler.close()
    assert known.problem == ""
    return Evidence(
        windows, {}, end, end, values=known.values, values_closed_through=known.closed_through
    )


def judged(known: Evidence) -> MetricStatus:
    weighed = weigh(ANALYSIS, start(ANALYSIS, AFTER), ARMS, known)
    record = DecisionStatus(
        id="d-0001",
        at="",
        action="Advance",
        revision=ARMS.candidate,
        reason="x",
        metrics=weighed.results,
        evidence=weighed.evidence,
    )
    again = replay(record, ANALYSIS, known)
    assert (again.same_evidence, again.results) == (True, weighed.results)
    return weighed.results[0]


@pytest.mark.parametrize(
    ("conversion", "verdict"),
    [pytest.param(0.25, "Pass", id="as good"), pytest.param(0.12, "Fail", id="worse")],
)
async def test_the_verdict_follows_the_counters_of_the_shop(
    conversion: float, verdict: str, server: PrometheusServer
) -> None:
    server.remember(shop(conversion), KINDS)
    server.start()
    seen = judged(await evidence(server.url))
    assert seen.verdict == verdict
    assert seen.missing == 0
    assert float(seen.value or "") == pytest.approx(conversion, abs=0.02)
    assert float(seen.stable_value or "") == pytest.approx(0.25, abs=0.01)


async def test_windows_that_were_not_scraped_are_missing(server: PrometheusServer) -> None:
    server.remember(shop(0.25, gap=range(60, 120)), KINDS)
    server.start()
    seen = judged(await evidence(server.url))
    assert seen.missing is not None
    assert seen.windows is not None
    assert seen.missing in range(18, 22)
    assert seen.windows + seen.missing == SLOTS // 3
    assert float(seen.value or "") == pytest.approx(0.25, abs=0.02)


@pytest.fixture
async def client(server: PrometheusServer) -> AsyncIterator[Prometheus]:
    prometheus = Prometheus(Server(f"{server.url}/"))
    yield prometheus
    await prometheus.close()


@pytest.mark.parametrize(
    ("query", "value"),
    [
        pytest.param("42", 42.0, id="a scalar"),
        pytest.param("vector(0.5)", 0.5, id="one series"),
        pytest.param("absent_metric", None, id="no series"),
        pytest.param("vector(0) / 0", None, id="not a number"),
        pytest.param("vector(1) / 0", None, id="infinity"),
    ],
)
async def test_a_number_or_none(
    query: str, value: float | None, server: PrometheusServer, client: Prometheus
) -> None:
    server.start()
    assert await client.value(query, AFTER * SLOT_SECONDS) == value


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        pytest.param("sum(", "parse error", id="no PromQL"),
        pytest.param("no_such(1)", "unknown function", id="an unknown function"),
        pytest.param(
            'label_replace(vector(1), "a", "b", "", "") or vector(2)',
            "it gives 2 series, not one; add them up with sum()",
            id="many series",
        ),
        pytest.param('"text"', "it gives a string, not a number", id="a text"),
        pytest.param("vector(1)[1m:]", "it gives a matrix, not a number", id="a range"),
    ],
)
async def test_what_no_number_comes_of_is_refused_with_the_reason(
    query: str, reason: str, server: PrometheusServer, client: Prometheus
) -> None:
    server.start()
    with pytest.raises(TerminalError) as caught:
        await client.value(query, AFTER * SLOT_SECONDS)
    assert reason in str(caught.value)
    assert repr(query) in str(caught.value)


async def test_a_server_that_is_away_may_come_back(
    server: PrometheusServer, client: Prometheus
) -> None:
    with pytest.raises(TransientError, match="does not answer the query '1'"):
        await client.value("1", AFTER * SLOT_SECONDS)
    server.start()
    assert await client.value("1", AFTER * SLOT_SECONDS) == 1.0


async def test_what_was_scraped_is_known_after_a_moment(
    server: PrometheusServer, client: Prometheus
) -> None:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text='queue_length{revision="churn-new"} 17\n')

    application, port = web.Application(), free_port()
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    targets = [{"targets": [f"127.0.0.1:{port}"]}]
    scrape = {"job_name": "model", "scrape_interval": "1s", "scrape_timeout": "1s"}
    await asyncio.to_thread(server.start, scrape | {"static_configs": targets})
    value = None
    async with asyncio.timeout(DEADLINE_SECONDS):
        while value is None:
            value = await client.value('avg(queue_length{revision="churn-new"})', time.time())
            await asyncio.sleep(0.1)
    assert value == 17.0
    await runner.cleanup()
