"""A strict peer to stand behind the proxy: an HTTP/1.1 server that reads with h11."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import h11


class Message(NamedTuple):
    """A request as the strict peer reads it."""

    method: bytes
    target: bytes
    body: bytes


@dataclass
class Strict:
    """Where it listens, what it was asked, and what it could not read."""

    port: int = 0
    asked: list[Message] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def read(connection: h11.Connection) -> Message | None:
    """The next whole request; raise h11.RemoteProtocolError for one that breaks the rules."""
    request: h11.Request | None = None
    body = b""
    while True:
        match connection.next_event():
            case h11.Request() as request:
                pass
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage() if request is not None:
                return Message(request.method, request.target, body)
            case _:
                return None


def verdict(raw: bytes) -> tuple[Message, int] | str | None:
    """The first request of a stream and its length; None if more must come, or what is wrong."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    try:
        connection.receive_data(raw)
        message = read(connection)
    except h11.RemoteProtocolError as error:
        return str(error)
    return message and (message, len(raw) - len(connection.trailing_data[0]))


@asynccontextmanager
async def strict() -> AsyncIterator[Strict]:
    """Answer every request with `ok` until the block is left."""
    state = Strict()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = b""
        try:
            while data := await reader.read(65536):
                raw += data
                match verdict(raw):
                    case (message, length):
                        state.asked.append(message)
                        raw = raw[length:]
                        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    case str() as error:
                        state.errors.append(error)
                        break
                    case None:
                        pass
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    async with server:
        yield state
