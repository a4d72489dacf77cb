"""As much HTTP/1.1 as the demo's clients need: POST over a connection that is kept."""

import asyncio
from dataclasses import dataclass

ANSWER_SECONDS = 10.0
# Connections to a Service stay with one pod; new ones now and then, as real clients have, meet all.
REQUESTS_PER_CONNECTION = 100


class BrokenOffError(ConnectionError):
    """The server closed the connection before an answer was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    inference_id: str
    body: bytes


class Connection:
    """A connection to one host that is opened when it is needed."""

    def __init__(self, host: str) -> None:
        self._host, _, port = host.partition(":")
        self._port = int(port or 80)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = 0

    async def post(self, path: str, body: bytes) -> Answer:
        """The answer to a request; a kept connection that proves dead is replaced once."""
        was_kept = self._streams is not None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._exchange(path, body)
        except (TimeoutError, OSError):
            self._close()
            if not was_kept:
                raise
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._exchange(path, body)
        except (TimeoutError, OSError):
            self._close()
            raise

    async def _exchange(self, path: str, body: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
            self._used = 0
        reader, writer = self._streams
        head = f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer, is_kept = await _read(reader)
        self._used += 1
        if not is_kept or self._used >= REQUESTS_PER_CONNECTION:
            self._close()
        return answer

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        lines = (line.partition(":") for line in head[1:] if line)
        fields = {name.lower(): value.strip() for name, _, value in lines}
        body = await reader.readexactly(int(fields.get("content-length", "0")))
    except asyncio.IncompleteReadError as error:
        raise BrokenOffError("the connection was closed before the answer was complete") from error
    status = int(head[0].split(" ", 2)[1])
    is_kept = fields.get("connection", "").lower() != "close"
    return Answer(status, fields.get("x-tidegate-id", ""), body), is_kept
