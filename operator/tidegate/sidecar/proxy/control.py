"""The control port: probes, the routing push; what asks for numbers goes on to the monitor."""

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from tidegate.errors import TerminalError
from tidegate.sidecar.framing import Framing, FramingError
from tidegate.sidecar.proxy.board import Board, Verdict
from tidegate.sidecar.proxy.heads import (
    HeadError,
    RequestHead,
    parse_request,
    with_header,
)

BODY_LIMIT_BYTES = 1 << 20  # a routing document with ten thousand members
REQUEST_SECONDS = 10.0
PIECE_BYTES = 65536


class Reply(NamedTuple):
    """A small JSON answer."""

    status: HTTPStatus
    body: dict[str, object]


class Control:
    """Serves one request on each connection: its callers come a few times a minute."""

    def __init__(self, board: Board, monitor_path: str, draining: Callable[[], bool]) -> None:
        self._board = board
        self._monitor_path = monitor_path
        self._draining = draining
        self._serving: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection; whoever is served is waited for by `finish`."""
        task = asyncio.create_task(self._answer(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def finish(self, seconds: float) -> None:
        """Wait until those who have asked have their answers."""
        if self._serving:
            await asyncio.wait(self._serving, timeout=seconds)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._serve(reader, writer)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the caller is gone, or will ask again
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = parse_request(await reader.readuntil(b"\r\n\r\n"))
            body = await _read_body(reader, head.framing())
        except (HeadError, FramingError) as error:
            writer.write(_rendered(Reply(HTTPStatus.BAD_REQUEST, {"error": str(error)})))
            return
        reply = self._own(head, body)
        if reply is not None:
            writer.write(_rendered(reply))
        else:
            await self._hand_on(head, body, writer)

    def _own(self, head: RequestHead, body: bytes) -> Reply | None:
        match head.method, head.path:
            case (b"GET", b"/livez"):
                return Reply(HTTPStatus.OK, {"alive": True})
            case (b"GET", b"/readyz"):
                # The model's own probe tells of the model: the kubelet takes both into account.
                ready = not self._draining()
                status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
                return Reply(status, {"ready": ready})
            case (b"PUT", b"/routing"):
                return self._take_routing(body)
            case _:
                return None

    def _take_routing(self, body: bytes) -> Reply:
        try:
            verdict = self._board.offer(body.decode(errors="replace"))
        except TerminalError as error:
            status = HTTPStatus.FORBIDDEN
            return Reply(status, {"error": str(error), "reason": error.reason})
        older = verdict is Verdict.OLDER
        status = HTTPStatus.CONFLICT if older else HTTPStatus.OK
        return Reply(status, {"generation": self._board.generation})

    async def _hand_on(self, head: RequestHead, body: bytes, writer: asyncio.StreamWriter) -> None:
        answered = False
        try:
            answer, question = await asyncio.open_unix_connection(self._monitor_path)
            try:
                question.write(with_header(head.raw, b"connection: close") + body)
                while piece := await answer.read(PIECE_BYTES):
                    answered = True
                    writer.write(piece)
                    await writer.drain()
            finally:
                question.close()
        except OSError:
            if answered:
                raise
        if not answered:  # there is none at the moment, or it died over this
            starting = Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the monitor is starting"})
            writer.write(_rendered(starting))


async def _read_body(reader: asyncio.StreamReader, framing: Framing) -> bytes:
    body = b""
    while not framing.done:
        piece = await reader.read(PIECE_BYTES)
        if not piece:
            raise asyncio.IncompleteReadError(body, None)
        body += piece[: framing.take(piece)]
        if len(body) > BODY_LIMIT_BYTES:
            raise FramingError("the body is too large")
    return body


def _rendered(reply: Reply) -> bytes:
    body = json.dumps(reply.body).encode()
    lines = [
        f"HTTP/1.1 {reply.status.value} {reply.status.phrase}",
        "connection: close",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    if reply.status is HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append("retry-after: 1")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
