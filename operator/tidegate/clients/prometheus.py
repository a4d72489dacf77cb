"""Prometheus, or whatever speaks its query API: one number for one query at one time."""

import asyncio
import math
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tidegate.errors import TerminalError, TransientError, said

TIMEOUT = aiohttp.ClientTimeout(total=10, connect=2)
SERVER_SECONDS = 8  # what the query may take there, so that its end comes with a reason
MAX_ANSWER_BYTES = 1024 * 1024  # a number takes 100 bytes: more is a query that forgot to add up
SHOWN_QUERY, SHOWN_REASON = 120, 300
# The server has understood, and the same question gets the same answer.
REFUSALS = (400, 401, 403, 404, 405, 422)


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is, and how it knows us."""

    url: str
    """The address that `/api/v1/query` is below."""
    token_file: Path | None = None
    """Holds a bearer token; it is read for each request, as kubelet renews it."""
    ca_file: Path | None = None
    """Holds the certificates that sign the server's; those of the system if None."""


class Prometheus:
    """A client of one server; what it answers is checked, never trusted."""

    def __init__(self, server: Server) -> None:
        """Raise OSError where the certificates can't be read."""
        self._server = server
        ca_file = str(server.ca_file) if server.ca_file else None
        self._session = aiohttp.ClientSession(
            timeout=TIMEOUT,
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca_file)),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self._session.close()

    async def value(self, query: str, at: float) -> float | None:
        """The query's number as of a time in Unix seconds; None if there is none, or it is NaN.

        TransientError if the server can't tell now; TerminalError if it never will.
        """
        form = {"query": query, "time": f"{at:.3f}", "timeout": f"{SERVER_SECONDS}s"}
        about = f"the query {_cut(query, SHOWN_QUERY)!r}"
        try:
            status, content = await self._post("/api/v1/query", form)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            why = _cut(said(error), SHOWN_REASON)
            message = f"{self._server.url} does not answer {about}: {why}"
            raise TransientError(message) from error
        answer = _parsed(content)
        if status != 200 or answer.get("status") != "success":
            why = _cut(str(answer.get("error", content[:SHOWN_REASON].decode(errors="replace"))))
            message = f"{self._server.url} answers {status} to {about}: {why}"
            if status in REFUSALS:
                raise TerminalError("QueryRefused", message)
            raise TransientError(message)
        try:
            return _number(answer["data"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise TerminalError("InvalidAnswer", f"{about} gives no number: {error}") from error

    async def _post(self, path: str, form: dict[str, str]) -> tuple[int, bytes]:
        headers = {}
        if self._server.token_file is not None:
            token = await asyncio.to_thread(self._server.token_file.read_text)
            headers["Authorization"] = f"Bearer {token.strip()}"
        url = f"{self._server.url.rstrip('/')}{path}"
        async with self._session.post(
            url, data=form, headers=headers, allow_redirects=False
        ) as answer:
            content = await answer.content.read(MAX_ANSWER_BYTES + 1)
            while len(content) <= MAX_ANSWER_BYTES and (more := await answer.content.readany()):
                content += more
        return answer.status, content


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _number(data: dict[str, Any]) -> float | None:
    """The only number of an answer: a scalar, or a vector of one series."""
    kind, result = data["resultType"], data["result"]
    if kind == "vector":
        if not result:
            return None
        if len(result) > 1:
            raise ValueError(f"it gives {len(result)} series, not one; add them up with sum()")
        found = float(result[0]["value"][1])
    elif kind == "scalar":
        found = float(result[1])
    else:
        raise ValueError(f"it gives a {kind}, not a number")
    return found if math.isfinite(found) else None


def _cut(text: str, length: int = SHOWN_REASON) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
