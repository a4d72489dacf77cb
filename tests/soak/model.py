"""The model behind a sidecar, as an ASGI application: slow or long-winded if it is asked to be."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
PIECE = b" " * 65536


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Predict whether each row's first number is 50 or more."""
    if scope["type"] != "http":
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    else:
        return  # the client has left
    headers = dict(scope["headers"])
    await asyncio.sleep(float(headers.get(b"x-slow", 0)))
    rows = json.loads(body)["instances"] if body else []
    answer = json.dumps({"predictions": [int(row[0] >= 50) for row in rows]}).encode()
    pieces = int(headers.get(b"x-pieces", 0))
    length = str(len(answer) + pieces * len(PIECE)).encode()
    start = {"type": "http.response.start", "status": 200}
    await send(start | {"headers": [(b"content-length", length)]})
    for _ in range(pieces):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": answer})
