"""The operator's HTTP port: /livez, /readyz, /metrics.

None of them asks the API server: its restart must not restart the operator.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

from tidegate.controllers.metrics import Metrics

MAX_LOOP_LAG_SECONDS = 5.0

Check = Callable[[], str | None]
"""What is wrong, in a sentence; None if nothing is."""


class Health:
    """Answers the kubelet and Prometheus."""

    def __init__(self, metrics: Metrics, alive: Check, ready: Check) -> None:
        self._metrics = metrics
        self._alive = alive
        self._ready = ready
        application = web.Application()
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._exposition)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def start(self, port: int) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, port=port).start()

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(0)
        lag = loop.time() - before
        if lag > MAX_LOOP_LAG_SECONDS:
            return _answer(f"the event loop lags {lag:.1f} s behind")
        return _answer(self._alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._ready())

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.exposition(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


def _answer(wrong: str | None) -> web.Response:
    return web.Response(
        text="ok\n" if wrong is None else f"{wrong}\n", status=503 if wrong else 200
    )
