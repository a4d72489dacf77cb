"""The server process: loads the model, listens, and drains before it goes."""

import asyncio
import signal
from pathlib import Path
from types import FrameType

import uvicorn
from typing_extensions import override

from tidegate.runtime.predictor import load
from tidegate.runtime.serve.app import Limits, ModelApp

CONNECTION_LIMIT = 1024
SHUTDOWN_SECONDS = 20


class _Server(uvicorn.Server):
    """On SIGTERM goes on answering for a while, as not ready: traffic still finds its way here."""

    def __init__(self, config: uvicorn.Config, app: ModelApp, drain_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._drain_seconds = drain_seconds

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM or self._app.draining:
            self.should_exit = True
            return
        self._app.draining = True
        asyncio.get_running_loop().call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        print(f"not ready any more; ending in {self._drain_seconds:g} s", flush=True)
        asyncio.get_running_loop().call_later(self._drain_seconds, self._end)

    def _end(self) -> None:
        self.should_exit = True


def serve(
    folder: Path,
    name: str,
    *,
    host: str,
    port: int,
    limits: Limits,
    drain_seconds: float,
    allow_unsafe: bool,
) -> None:
    """Serve the model of a folder until the process is told to end."""
    app = ModelApp(name, load(folder, allow_unsafe=allow_unsafe), limits)
    config = uvicorn.Config(
        app.application(),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        limit_concurrency=CONNECTION_LIMIT,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        lifespan="off",
    )
    print(f"serving {name} on {host}:{port}", flush=True)
    _Server(config, app, drain_seconds).run()
