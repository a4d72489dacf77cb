"""The log's client against servers that answer badly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest

from tidegate.clients.log_store import LogStore
from tidegate.errors import TerminalError, TransientError

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
URI = "s3://logs/churn/"


@asynccontextmanager
async def client(endpoint: str, uri: str = URI, **more: str) -> AsyncIterator[LogStore]:
    async with aiohttp.ClientSession() as session:
        environment = {**KEYS, "AWS_ENDPOINT_URL": endpoint, **more}
        yield LogStore.from_environment(uri, environment, session, lambda: datetime.now(UTC))


@asynccontextmanager
async def store(answer: bytes) -> AsyncIterator[LogStore]:
    """A store that gives one answer to all requests."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with client(f"http://127.0.0.1:{port}") as target:
            yield target


def status(code: int) -> bytes:
    return f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(
    "answer",
    [
        *(pytest.param(status(code), id=str(code)) for code in (500, 503, 429, 408)),
        pytest.param(b"no HTTP at all\r\n\r\n", id="garbage"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_what_may_pass_is_tried_again(answer: bytes) -> None:
    async with store(answer) as target:
        with pytest.raises(TransientError):
            await target.put("a/b", b"x")


async def test_nobody_listening_is_tried_again() -> None:
    async with client("http://127.0.0.1:1") as target:
        with pytest.raises(TransientError):
            await target.put("a/b", b"x")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (401, "AccessDenied"),
        (403, "AccessDenied"),
        (404, "InputNotFound"),
        (301, "InvalidSpec"),
        (400, "InvalidSpec"),
    ],
)
async def test_a_refusal_is_terminal(code: int, reason: str) -> None:
    async with store(status(code)) as target:
        with pytest.raises(TerminalError) as caught:
            await target.put("a/b", b"x")
    assert caught.value.reason == reason


async def test_a_refusal_repeats_what_the_store_says() -> None:
    said = b"<Error><Code>NoSuchBucket</Code><Message>It is gone</Message></Error>"
    head = b"HTTP/1.1 404 X\r\nContent-Length: %d\r\n\r\n" % len(said)
    async with store(head + said) as target:
        with pytest.raises(TerminalError, match="404 NoSuchBucket It is gone"):
            await target.put("a/b", b"x")


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        pytest.param({"AWS_ACCESS_KEY_ID": ""}, "AccessDenied", id="no credentials"),
        pytest.param({"AWS_SECRET_ACCESS_KEY": "secret\n"}, "AccessDenied", id="line break"),
        pytest.param({"AWS_ENDPOINT_URL": "minio:9000"}, "InvalidSpec", id="no scheme"),
        pytest.param({"AWS_ENDPOINT_URL": "https://"}, "InvalidSpec", id="no host"),
    ],
)
async def test_settings_that_can_not_be_right_are_refused_at_once(
    variables: dict[str, str], reason: str
) -> None:
    with pytest.raises(TerminalError) as caught:
        async with client("http://x", **variables):
            raise AssertionError("it was opened")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("uri", "variables", "host", "path"),
    [
        pytest.param(
            "s3://logs/churn/",
            {"AWS_REGION": "eu-west-1"},
            "logs.s3.eu-west-1.amazonaws.com",
            "/churn/k",
            id="AWS",
        ),
        pytest.param(
            "s3://my.logs/", {}, "s3.us-east-1.amazonaws.com", "/my.logs/k", id="bucket with dots"
        ),
        pytest.param(
            "s3://logs/a b/",
            {"AWS_ENDPOINT_URL": "http://[::1]:9000/s3/"},
            "[::1]",
            "/s3/logs/a%20b/k",
            id="another store",
        ),
    ],
)
async def test_where_objects_go(uri: str, variables: dict[str, str], host: str, path: str) -> None:
    async with client("", uri, **variables) as target:
        url = target.url("k")
    assert (url.host_subcomponent, url.raw_path) == (host, path)
