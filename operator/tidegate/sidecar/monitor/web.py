"""What the monitor answers: windows and profile to the operator, feedback, metrics."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import cast

import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from tidegate.api.names import PUBLIC_KEY_FILE
from tidegate.sidecar.monitor.feedback import Feedback
from tidegate.sidecar.monitor.intake import Intake
from tidegate.traffic.signing import token_is_valid

FEEDBACK_LIMIT_BYTES = 1 << 20
LISTENING_SECONDS = 5.0  # who has asked within these will ask again, if the pod is about to end


class Numbers:
    """The endpoints that only the operator may read."""

    def __init__(self, intake: Intake, profile: bytes | None, routing_dir: Path) -> None:
        self._intake = intake
        self._profile = profile
        self._routing_dir = routing_dir
        self._asked_at: float | None = None  # by the monotonic clock
        self._told_through = 0
        self._told = asyncio.Event()

    async def windows(self, request: web.Request) -> web.Response:
        self._check(request)
        try:
            after = int(request.query.get("after", "0"))
            labels_after = int(request.query.get("labelsAfter", "0"))
        except ValueError as error:
            raise web.HTTPBadRequest(text="after and labelsAfter are slot numbers") from error
        report = self._intake.report(after, labels_after)
        self._asked_at, self._told_through = time.monotonic(), report.closed_through
        self._told.set()
        return web.Response(body=orjson.dumps(report.to_json()), content_type="application/json")

    async def farewell(self, seconds: float) -> None:
        """Have the operator hear of the last requests too, if it is listening."""
        book = self._intake.book
        book.end()
        since = self._asked_at
        if since is None or time.monotonic() - since > LISTENING_SECONDS:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while book.has_windows(self._told_through):
                    self._told.clear()
                    await self._told.wait()

    async def profile(self, request: web.Request) -> web.Response:
        self._check(request)
        if self._profile is None:
            raise web.HTTPNotFound(text="this revision has no reference profile")
        return web.Response(body=self._profile, content_type="application/json")

    def _check(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            pem = (self._routing_dir / PUBLIC_KEY_FILE).read_bytes()
            key = cast("Ed25519PublicKey", load_pem_public_key(pem))
        except (OSError, ValueError) as error:
            raise web.HTTPUnauthorized(text="no public key to check the token with") from error
        now = time.time()
        if scheme != "Bearer" or not token_is_valid(token, key, self._intake.member, now):
            raise web.HTTPUnauthorized(text="the operator's token is missing or not valid")


def private_app(numbers: Numbers, feedback: Feedback) -> web.Application:
    """What stands behind the proxy's ports."""
    app = web.Application(client_max_size=FEEDBACK_LIMIT_BYTES)
    app.add_routes(
        [
            web.get("/windows", numbers.windows),
            web.get("/profile", numbers.profile),
            web.post("/feedback", feedback.handle),
        ]
    )
    return app


def metrics_app(registry: CollectorRegistry) -> web.Application:
    """What Prometheus scrapes."""

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics)])
    return app
