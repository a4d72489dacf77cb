"""The client against a real HTTP server that checks as a sidecar does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.unit.clients.listening import listening

from tidegate.clients import sidecars as sidecars_module
from tidegate.clients.sidecars import Sidecars, SkewedClockError, Target
from tidegate.errors import TerminalError, TransientError
from tidegate.evidence.profile import make_profile
from tidegate.evidence.windows import BlockKey, Counts, Labels, Report, slot_of
from tidegate.traffic.signing import token_is_valid

NOW = 1_700_000_000.0
KEY = Ed25519PrivateKey.generate()
POD = Target("uid-1", "", "churn-1", ready=True)
REPORT = Report(
    member="uid-1",
    revision="churn-1",
    generation=4,
    first_slot=1,
    closed_through=slot_of(NOW) - 1,
    labels_closed_through=7,
    windows={BlockKey(9, 4, "churn-1"): Counts(requests=3, errors={"5xx": 1}, rows=3)},
    labels={BlockKey(6, 4, "churn-1"): Labels(labelled=2, wrong=1)},
    refused={"late": 2},
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def date(at: float) -> str:
    return formatdate(at, usegmt=True)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[Sidecars, Target]]:
    async def checked(request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token_is_valid(token, KEY.public_key(), POD.uid, NOW):
            return web.Response(status=401, headers={"Date": date(NOW)})
        answer = await handler(request)
        answer.headers.setdefault("Date", date(NOW))
        return answer

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", checked)
    client = Sidecars(KEY, lambda: NOW)
    async with listening(application) as address:
        try:
            yield client, replace(POD, address=address)
        finally:
            await client.close()


def answering(data: object, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(data, status=status)

    return handler


async def test_pulls_windows_after_the_cursors() -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.json_response(REPORT.to_json())

    async with serving(handler) as (client, pod):
        assert await client.windows(pod, after=5, labels_after=3) == REPORT
    assert asked == ["/windows?after=5&labelsAfter=3"]


async def test_asks_on_while_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod tells an hour of windows in several answers, of which each counts for itself."""
    asked = []
    last = 9

    async def handler(request: web.Request) -> web.Response:
        slot = int(request.query["after"]) + 1
        asked.append(slot)
        windows = {BlockKey(slot, 4, "churn-1"): Counts(requests=slot)}
        report = replace(REPORT, closed_through=slot, windows=windows, more=slot < last)
        return web.json_response(report.to_json())

    async with serving(handler) as (client, pod):
        report = await client.windows(pod, after=5, labels_after=3)
        assert asked == [6, 7, 8, 9]
        assert {k.slot: n.requests for k, n in report.windows.items()} == {6: 6, 7: 7, 8: 8, 9: 9}
        assert (report.closed_through, report.more) == (9, False)
        monkeypatch.setattr(sidecars_module, "REPORTS_AT_ONCE", 3)
        last = 1000
        report = await client.windows(pod, after=5, labels_after=3)
        assert (report.closed_through, len(report.windows)) == (8, 3), "not for ever"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param({"generation": 7}, 200, id="accepted"),
        pytest.param({"generation": 9}, 409, id="the pod knows a newer one"),
    ],
)
async def test_says_what_the_pod_acts_on_after_a_push(data: dict[str, int], status: int) -> None:
    pushed = []

    async def handler(request: web.Request) -> web.Response:
        pushed.append((request.method, request.path, await request.text()))
        return web.json_response(data, status=status)

    async with serving(handler) as (client, pod):
        assert await client.push(pod, "sealed") == data["generation"]
    assert pushed == [("PUT", "/routing", "sealed")]


async def test_reads_the_profile() -> None:
    profile = make_profile(
        {"age": [20.0, 30.0, 40.0] * 20},
        {"age": "number"},
        ["yes", "no", "yes"] * 20,
        "classification",
        {"accuracy": 0.9},
    )
    async with serving(answering(profile.to_json())) as (client, pod):
        assert await client.profile(pod) == profile


async def test_a_pod_without_a_profile_has_none() -> None:
    async with serving(answering({"message": "no profile"}, 404)) as (client, pod):
        assert await client.profile(pod) is None


async def test_another_pod_at_the_address_is_refused() -> None:
    async with serving(answering(REPORT.to_json())) as (client, pod):
        with pytest.raises(TerminalError, match="401"):
            await client.windows(replace(pod, uid="uid-2"), after=0, labels_after=0)
    async with serving(answering(replace(REPORT, member="uid-2").to_json())) as (client, pod):
        with pytest.raises(TerminalError, match="another pod"):
            await client.windows(pod, after=0, labels_after=0)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="nothing"),
        pytest.param([], id="a list"),
        pytest.param({**REPORT.to_json(), "windows": [[1, 2]]}, id="a short row"),
        pytest.param({**REPORT.to_json(), "generation": None}, id="no number"),
        pytest.param({**REPORT.to_json(), "refused": []}, id="a list for an object"),
        pytest.param(
            {**REPORT.to_json(), "closedThrough": slot_of(NOW) + 10}, id="slots of the future"
        ),
    ],
)
async def test_what_is_not_a_report_is_refused(data: object) -> None:
    async with serving(answering(data)) as (client, pod):
        with pytest.raises(TerminalError) as caught:
            await client.windows(pod, after=0, labels_after=0)
    assert caught.value.reason == "InvalidReport"


async def test_infinity_is_no_json() -> None:
    async with serving(answering({**REPORT.to_json(), "generation": float("inf")})) as (
        client,
        pod,
    ):
        with pytest.raises(TerminalError) as caught:
            await client.windows(pod, after=0, labels_after=0)
    assert caught.value.reason == "InvalidAnswer"


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecars_module, "MAX_ANSWER_BYTES", 1000)
    async with serving(answering("x" * 2000)) as (client, pod):
        with pytest.raises(TerminalError, match="more than 1000 bytes"):
            await client.windows(pod, after=0, labels_after=0)


async def test_a_redirect_leads_nowhere() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})

    async with serving(handler) as (client, pod):
        with pytest.raises(TransientError, match="302"):
            await client.windows(pod, after=0, labels_after=0)


@pytest.mark.parametrize("status", [500, 503])
async def test_a_failing_pod_is_worth_another_try(status: int) -> None:
    async with serving(answering({}, status)) as (client, pod):
        with pytest.raises(TransientError):
            await client.windows(pod, after=0, labels_after=0)


async def test_a_pod_that_is_not_there_is_worth_another_try() -> None:
    client = Sidecars(KEY, lambda: NOW)
    with pytest.raises(TransientError):
        await client.push(replace(POD, address="127.0.0.1:1"), "sealed")
    await client.close()


@pytest.mark.parametrize("ahead", [-600.0, -31.0, 31.0, 600.0])
async def test_a_pod_whose_clock_is_wrong_tells_nothing_that_can_be_used(ahead: float) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(REPORT.to_json(), headers={"Date": date(NOW + ahead)})

    async with serving(handler) as (client, pod):
        with pytest.raises(SkewedClockError) as caught:
            await client.windows(pod, after=0, labels_after=0)
    assert (caught.value.seconds, caught.value.report) == (ahead, REPORT)
    assert f"differs from the operator's by {ahead:+.0f} s" in str(caught.value)


async def test_a_pod_whose_clock_is_so_wrong_that_no_token_holds_is_known_by_its_date() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=401, headers={"Date": date(NOW + 86400)})

    async with serving(handler) as (client, pod):
        with pytest.raises(SkewedClockError) as caught:
            await client.windows(pod, after=0, labels_after=0)
    assert (caught.value.seconds, caught.value.report) == (86400.0, None)


@pytest.mark.parametrize("said", [date(NOW + 29), date(NOW - 29), "yesterday", ""])
async def test_a_clock_that_is_nearly_right_or_unknown_is_taken_for_right(said: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(REPORT.to_json(), headers={"Date": said})

    async with serving(handler) as (client, pod):
        assert await client.windows(pod, after=0, labels_after=0) == REPORT
