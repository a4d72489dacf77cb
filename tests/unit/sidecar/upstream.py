"""A small HTTP server to stand behind the proxy: it answers with exactly the bytes it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = Callable[["Asked"], Awaitable[bytes]]


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    raw_head: bytes
    body: bytes
    """Raw: the chunks' framing is part of it."""
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader

    @property
    def path(self) -> str:
        return self.raw_head.split(b" ")[1].decode()

    def header(self, name: str) -> str | None:
        for line in self.raw_head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode().lower() == name.lower():
                return value.strip().decode()
        return None


@dataclass
class Upstream:
    """Where it listens, what it was asked, and how often it was connected to."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def predictions(*values: object) -> bytes:
    return response(json.dumps({"predictions": list(values)}).encode())


async def one(_asked: Asked) -> bytes:
    """Answers every request with the prediction 1, the readiness probe with 200."""
    return predictions(1)


@asynccontextmanager
async def upstream(answer: Answer = one, port: int = 0) -> AsyncIterator[Upstream]:
    """Serve until the block is left; an empty answer closes the connection."""
    state = Upstream()
    writers: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                asked = Asked(head, await _body(head, reader), writer, reader)
                state.asked.append(asked)
                raw = await answer(asked)
                if not raw:
                    break
                writer.write(raw)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=1 << 20)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while not body.endswith(b"0\r\n\r\n"):
            body += await reader.readuntil(b"\r\n")
        return body
    if b"content-length:" not in lower:
        return b""
    length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
    return await reader.readexactly(length)
