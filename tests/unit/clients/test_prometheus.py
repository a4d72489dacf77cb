"""The client of Prometheus against servers that are no good; the real one is in the integration
tests."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.unit.clients.certificate import certificate

from tidegate.clients import prometheus as module
from tidegate.clients.prometheus import MAX_ANSWER_BYTES, Prometheus, Server
from tidegate.errors import TerminalError, TransientError

QUERY = "sum(x)"
ONE = {"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def asked(
    handler: Handler,
    *,
    context: ssl.SSLContext | None = None,
    token: Path | None = None,
    authority: Path | None = None,
) -> AsyncIterator[Prometheus]:
    """A client of a server that answers with the handler."""
    application = web.Application()
    application.router.add_post("/base/api/v1/query", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    _, port = runner.addresses[0]
    scheme = "https" if context else "http"
    client = Prometheus(Server(f"{scheme}://127.0.0.1:{port}/base", token, authority))
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def says(body: object, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return handler


async def test_the_time_of_the_question_is_sent_to_the_millisecond() -> None:
    seen: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append({k: str(v) for k, v in (await request.post()).items()})
        assert "Authorization" not in request.headers
        return web.json_response(ONE)

    async with asked(handler) as client:
        assert await client.value(QUERY, 1_800_000_010.0) == 1.0
    assert seen == [{"query": QUERY, "time": "1800000010.000", "timeout": "8s"}]


async def test_the_token_is_read_anew_for_each_question(tmp_path: Path) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.json_response(ONE)

    token = tmp_path / "token"
    async with asked(handler, token=token) as client:
        for text in ("first\n", "second"):
            token.write_text(text)
            await client.value(QUERY, 0)
        token.unlink()
        with pytest.raises(TransientError, match="token"):
            await client.value(QUERY, 0)
    assert seen == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_refusal_is_final_and_has_the_query_and_the_reason(status: int) -> None:
    refused = says({"status": "error", "errorType": "bad_data", "error": "parse error"}, status)
    async with asked(refused) as client:
        with pytest.raises(TerminalError) as caught:
            await client.value(QUERY, 0)
    message = str(caught.value)
    assert message.endswith(f"/base answers {status} to the query 'sum(x)': parse error")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 302])
async def test_other_failures_may_pass(status: int) -> None:
    async with asked(says("try later", status)) as client:
        with pytest.raises(TransientError, match=f"answers {status}"):
            await client.value(QUERY, 0)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="nothing"),
        pytest.param({}, id="no type"),
        pytest.param({"resultType": "vector", "result": [{}]}, id="a series without a value"),
        pytest.param({"resultType": "vector", "result": 7}, id="no list"),
        pytest.param({"resultType": "scalar", "result": [0, "one"]}, id="no number"),
        pytest.param([], id="a list"),
    ],
)
async def test_what_is_no_answer_of_prometheus_is_refused(data: object) -> None:
    async with asked(says({"status": "success", "data": data})) as client:
        with pytest.raises(TerminalError, match="the query 'sum\\(x\\)' gives no number"):
            await client.value(QUERY, 0)


async def test_text_that_is_no_json_may_come_from_a_proxy_that_is_not_up_yet() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="<html>one moment</html>")

    async with asked(handler) as client:
        with pytest.raises(TransientError, match="one moment"):
            await client.value(QUERY, 0)


async def test_an_absurdly_large_answer_is_not_read_to_its_end() -> None:
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(64):
            await answer.write(b" " * MAX_ANSWER_BYTES)
            sent += 1
        return answer

    async with asked(handler) as client:
        with pytest.raises(TransientError):
            await client.value(QUERY, 0)
    assert sent < 64


async def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.json_response(ONE)

    monkeypatch.setattr(module, "TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    async with asked(handler) as client:
        with pytest.raises(TransientError, match="does not answer the query 'sum\\(x\\)': Timeout"):
            await client.value(QUERY, 0)


async def test_a_long_query_is_named_by_its_beginning() -> None:
    refused = says({"status": "error", "error": "e" * 5000}, 400)
    async with asked(refused) as client:
        with pytest.raises(TerminalError) as caught:
            await client.value("q" * 1024, 0)
    assert len(str(caught.value)) < 600


async def test_only_a_server_with_the_authoritys_certificate_is_asked(tmp_path: Path) -> None:
    authority, context = certificate(tmp_path)
    async with asked(says(ONE), context=context, authority=authority) as client:
        assert await client.value(QUERY, 0) == 1.0
    async with asked(says(ONE), context=context) as client:
        with pytest.raises(TransientError, match="certificate"):
            await client.value(QUERY, 0)
