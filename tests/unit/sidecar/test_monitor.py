"""Counting and feedback through real sidecars, and what a crash of the monitor costs."""

import asyncio
import gzip
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.harness import (
    CANDIDATE,
    STABLE,
    Connection,
    Reply,
    Sidecar,
    eventually,
    once,
    post,
    routing,
    sidecar,
    total,
)
from tests.unit.sidecar.upstream import Asked, predictions, response, upstream

from tidegate.evidence.profile import make_profile
from tidegate.evidence.windows import SLOT_SECONDS
from tidegate.traffic.routing import Member

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROFILE = make_profile(
    {"age": np.arange(100.0), "plan": ["basic", "pro"] * 50},
    {"age": "number", "plan": "category"},
    [0, 1] * 50,
    "classification",
    {"accuracy": 0.9},
).to_json()
ROW = [42, "pro"]
PACE_SECONDS = 0.005  # at full speed a busy machine has no time left for the monitor's start


async def model_answer(asked: Asked) -> bytes:
    match asked.path:
        case "/fail":
            return response(b"", "500 Internal Server Error")
        case "/reject":
            return response(b"{}", "422 Unprocessable Entity")
        case "/two":
            return predictions(1, 0)
        case _:
            return predictions(1)


@pytest_asyncio.fixture(loop_scope="module")
async def pod(tmp_path: Path) -> AsyncIterator[Sidecar]:
    async with (
        upstream(model_answer) as model,
        sidecar(tmp_path, model.port, profile=PROFILE) as running,
    ):
        await running.monitor_up()
        yield running


def feedback(body: Any) -> bytes:
    return post(body, "/feedback")


async def id_of(pod: Sidecar, path: str = "/p", rows: int = 1) -> str:
    reply = await once(pod.port, post({"instances": [ROW] * rows}, path))
    id_ = reply.header("x-tidegate-id")
    assert id_ is not None
    return id_


async def answered(pod: Sidecar, body: Any) -> Reply:
    """The answer to feedback that comes right behind the answer that it is about."""
    return await once(pod.port, feedback(body))


async def test_windows_and_labels_add_up_over_two_pods(tmp_path: Path) -> None:
    """Everything that is sent is counted once, in closed windows, under its generation."""
    async with (
        upstream(model_answer) as model,
        sidecar(tmp_path, model.port, profile=PROFILE) as stable,
        sidecar(
            tmp_path, model.port, profile=PROFILE, uid="pod-2", revision=CANDIDATE
        ) as candidate,
    ):
        await stable.monitor_up()
        await candidate.monitor_up()
        members = (
            Member("pod-1", f"127.0.0.1:{stable.port}", STABLE),
            Member("pod-2", f"127.0.0.1:{candidate.port}", CANDIDATE),
        )
        document = routing(8, candidate.port, 30, members=members)
        for pod in (stable, candidate):
            await pod.route(document)
        connection = await Connection.open(stable.port)
        for path, count in (("/p", 200), ("/fail", 20), ("/reject", 10)):
            for _ in range(count):
                await connection.ask(post({"instances": [ROW]}, path))
        for _ in range(50):
            await connection.ask(post({"instances": [ROW, {}]}, "/two"))
        ids = [
            (await connection.ask(post({"instances": [ROW]}))).header("x-tidegate-id")
            for _ in range(40)
        ]
        await connection.close()
        assert {str(i).partition(".")[0] for i in ids} == {"pod-1", "pod-2"}

        feedbacks = [{"id": i, "label": n % 2} for n, i in enumerate(ids)]
        reply = await once(stable.port, feedback(feedbacks))
        assert reply.json()["results"] == {"accepted": 40}

        async def closed() -> bool:
            reports = [await stable.report(), await candidate.report()]
            return sum(n.requests for r in reports for n in r.windows.values()) >= 320

        await eventually(closed)
        reports = [await stable.report(), await candidate.report()]
    both = total({**reports[0].windows, **reports[1].windows})
    assert {k.generation for r in reports for k in r.windows} == {8}
    assert [{k.revision for k in r.windows} for r in reports] == [{STABLE}, {CANDIDATE}]
    assert both.requests == 320
    assert both.errors == {"5xx": 20, "rejected": 10}
    assert sum(both.latency.values()) == 320
    assert both.rows == 240
    assert both.unparsed == {"feature_count": 50}
    assert both.predictions == {"1": 240}
    assert [sum(f) for f in both.features] == [240, 240]
    labels = [n for r in reports for n in r.labels.values()]
    assert (sum(n.labelled for n in labels), sum(n.wrong for n in labels)) == (40, 20)


async def test_a_killed_monitor_costs_no_request_and_comes_back(
    pod: Sidecar, connect: Connect
) -> None:
    early = await id_of(pod)
    assert (await answered(pod, {"id": early, "label": 1})).status == 200
    statuses: list[int] = []
    enough = asyncio.Event()

    async def load() -> None:
        connection = await connect(pod.port)
        while not enough.is_set():
            statuses.append((await connection.ask(post({"instances": [ROW]}))).status)
            await asyncio.sleep(PACE_SECONDS)

    tasks = [asyncio.create_task(load()) for _ in range(2)]
    before = pod.monitor_pid()
    assert before is not None
    killed_at = time.time()
    os.kill(before, signal.SIGKILL)

    async def another() -> bool:
        return pod.monitor_pid() not in (None, before)

    await eventually(another)
    await pod.monitor_up()
    enough.set()
    await asyncio.gather(*tasks)
    assert set(statuses) == {200}
    assert (await once(pod.port, feedback({"id": early, "label": 1}))).json() == {
        "result": "unknown"
    }
    forged = early[:-4] + ("0000" if not early.endswith("0000") else "1111")
    assert (await once(pod.port, feedback({"id": forged, "label": 1}))).status == 403

    def requests(code: int) -> str:
        return f'tidegate_requests_total{{code="{code}",revision="{STABLE}",track="stable"}}'

    connection = await connect(pod.port)
    assert (await connection.ask(post({}, "/fail"))).status == 500

    async def settled() -> bool:
        return (await pod.scrape()).get(requests(500), 0) == 1  # it was told of last

    await eventually(settled)
    counted = (await pod.scrape()).get(requests(200), 0)
    assert counted <= len(statuses)
    for _ in range(300):
        await connection.ask(post({"instances": [ROW]}))

    async def exact() -> bool:
        return (await pod.scrape()).get(requests(200), 0) == counted + 300

    await eventually(exact)
    first = (await pod.report()).first_slot
    assert first * SLOT_SECONDS > killed_at, "the slot that the crash fell in is not whole"


async def test_feedback_is_taken_once_and_only_for_real_answers(pod: Sidecar) -> None:
    right, wrong = await id_of(pod), await id_of(pod)
    assert (await answered(pod, {"id": right, "label": 1})).json() == {"result": "accepted"}
    assert (await answered(pod, {"id": wrong, "label": "0"})).json() == {"result": "accepted"}
    assert (await once(pod.port, feedback({"id": right, "label": 1}))).status == 409
    forged = right[:-1] + ("0" if right[-1] != "0" else "1")
    assert (await once(pod.port, feedback({"id": forged, "label": 1}))).status == 403
    foreign = right.replace("pod-1", "pod-9")
    assert (await once(pod.port, feedback({"id": foreign, "label": 1}))).status == 404
    assert (await once(pod.port, feedback({"label": 1}))).status == 400
    assert (await once(pod.port, feedback(b"{"))).status == 400
    pair = await id_of(pod, "/two", rows=2)
    assert (await answered(pod, {"id": pair, "label": [1]})).status == 400
    assert (await answered(pod, {"id": pair, "label": [1, None]})).status == 200
    several = [{"id": right, "label": 1}, {"id": foreign, "label": 1}, "nonsense"]
    reply = await once(pod.port, feedback(several))
    assert reply.json() == {"results": {"duplicate": 1, "unknown": 1, "invalid": 1}}
    report = await pod.report()
    labels = list(report.labels.values())
    assert (sum(n.labelled for n in labels), sum(n.wrong for n in labels)) == (3, 1)
    assert report.refused["forged"] == 1
    assert report.refused["duplicate"] == 2


async def test_late_labels_are_refused(pod: Sidecar) -> None:
    await pod.route(routing(1, horizon=-20))
    reply = await answered(pod, {"id": await id_of(pod), "label": 1})
    assert (reply.status, reply.json()) == (410, {"result": "late"})


async def test_metrics_tell_what_happened(pod: Sidecar) -> None:
    await pod.route(routing(3))
    await once(pod.port, post({"instances": [ROW]}))
    await once(pod.port, post({"instances": [{"age": None, "plan": "gold"}]}))
    await once(pod.port, post(b"not json"))

    async def counted() -> bool:
        return (await pod.scrape()).get(answered_requests) == 3

    answered_requests = f'tidegate_request_duration_seconds_count{{revision="{STABLE}"}}'
    await eventually(counted)
    numbers = await pod.scrape()
    assert numbers["tidegate_rows_total"] == 2
    assert numbers['tidegate_unparsed_total{reason="json"}'] == 1
    assert numbers['tidegate_missing_ratio{feature="age"}'] == 0.5
    assert numbers['tidegate_feature_drift{feature="plan",method="psi"}'] > 0.5
    assert numbers["tidegate_prediction_drift"] > 0.5
    assert numbers[f'tidegate_weight{{revision="{STABLE}"}}'] == 100
    assert (await pod.numbers("/profile")).json() == PROFILE


async def test_wrapped_payloads_are_read_and_the_others_told_apart(pod: Sidecar) -> None:
    plain = json.dumps({"instances": [ROW]}).encode()
    head = "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(plain), plain)
    for raw in (
        head.encode() + chunks,
        post(gzip.compress(plain), "/p", "Content-Encoding: gzip"),
        post(plain, "/p", "Content-Encoding: br"),
        post(b" " * 2_000_000 + plain),
        post({"prompt": "hello"}),
    ):
        assert (await once(pod.port, raw)).status == 200

    async def counted() -> bool:
        numbers = await pod.scrape()
        read = numbers["tidegate_rows_total"]
        return read + sum(v for k, v in numbers.items() if k in unread) == 5

    reasons = ("encoding", "too_large", "format")
    unread = {f'tidegate_unparsed_total{{reason="{reason}"}}' for reason in reasons}
    await eventually(counted)
    numbers = await pod.scrape()
    assert [numbers[name] for name in sorted(unread)] == [1, 1, 1]


async def test_without_capture_requests_are_counted_and_payloads_are_not(tmp_path: Path) -> None:
    off = {"TIDEGATE_CAPTURE_PERCENT": "0"}
    async with (
        upstream(model_answer) as model,
        sidecar(tmp_path, model.port, profile=PROFILE, environment=off) as pod,
    ):
        await pod.monitor_up()
        for path in ("/p", "/p", "/fail"):
            await once(pod.port, post({"instances": [ROW]}, path))

        async def counted() -> bool:
            return sum(v for k, v in (await pod.scrape()).items() if k.startswith(requests)) == 3

        requests = "tidegate_requests_total"
        await eventually(counted)
        numbers = await pod.scrape()
    assert numbers["tidegate_rows_total"] == numbers['tidegate_dropped_total{queue="capture"}'] == 0
    assert not [name for name in numbers if name.startswith("tidegate_unparsed_total")]
    duration = f'tidegate_request_duration_seconds_count{{revision="{STABLE}"}}'
    assert numbers[duration] == 3


async def test_feedback_and_windows_wait_politely_for_the_monitor(tmp_path: Path) -> None:
    async with upstream(model_answer) as model, sidecar(tmp_path, model.port) as pod:
        reply = await once(pod.port, feedback({"id": "x", "label": 1}))
        assert (reply.status, reply.header("retry-after")) == (503, "1")
        assert (await pod.numbers("/windows")).status == 503
