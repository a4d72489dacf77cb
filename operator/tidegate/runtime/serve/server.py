"""The server process: loads the model, listens, and drains before it goes."""

import asyncio
import resource
import signal
import socket
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from typing_extensions import override

from tidegate.api.v1alpha1.training_job import Format
from tidegate.runtime.predictor import load
from tidegate.runtime.serve.app import ModelApp
from tidegate.runtime.serve.model import Limits, ServedModel

if TYPE_CHECKING:
    from tidegate.runtime.serve.grpc_server import GrpcServer

# Whoever meets it is refused, the kubelet's probes too: it is above what the sidecar lets in, and
# bodies have a bound of their own. An open connection takes 15 KB.
CONNECTION_LIMIT = 9216
DESCRIPTORS = CONNECTION_LIMIT + 256  # the rest is our own
# For each protocol first the time until nobody comes any more, then what requests have to end in;
# both fit into the 30 s that a pod gets.
DRAIN_SECONDS, SHUTDOWN_SECONDS = 5.0, 20
# A gRPC server that stops cancels the calls that come before its clients have heard of it. So it
# goes on until every client was told to connect anew, and has found another pod.
GRPC_DRAIN_SECONDS, GRPC_SHUTDOWN_SECONDS = 13.0, 12.0


class _Server(uvicorn.Server):
    """On SIGTERM goes on answering for a while, as not ready: traffic still finds its way here."""

    def __init__(
        self,
        config: uvicorn.Config,
        model: ServedModel,
        grpc: "GrpcServer | None",
        drain_seconds: float,
    ) -> None:
        super().__init__(config)
        self._model = model
        self._grpc = grpc
        self._drain_seconds = drain_seconds

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._grpc is not None:
            await self._grpc.start()  # first: who is told that the server is ready may call
        await super().startup(sockets)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._grpc is not None:
            await self._grpc.stop(GRPC_SHUTDOWN_SECONDS)
        await super().shutdown(sockets)

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM or self._model.draining:
            self.should_exit = True
            return
        self._model.draining = True
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
    grpc_port: int | None,
    limits: Limits,
    drain_seconds: float | None,
    allow_unsafe: bool,
    wanted: Format | None = None,
) -> None:
    """Serve the model of a folder until the process is told to end; gRPC if it has a port.

    `drain_seconds`: how long to go on after that; None for what the protocol takes.
    """
    model = ServedModel(name, load(folder, allow_unsafe=allow_unsafe, wanted=wanted), limits)
    config = uvicorn.Config(
        ModelApp(model).application(),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        limit_concurrency=CONNECTION_LIMIT,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        lifespan="off",
    )
    grpc = None
    if grpc_port is not None:
        # Imported here: a pod that serves HTTP alone need not hold the library.
        from tidegate.runtime.serve.grpc_server import GrpcServer

        grpc = GrpcServer(model, f"{host}:{grpc_port}")
        print(f"serving gRPC on {host}:{grpc_port}", flush=True)
    print(f"serving {name} on {host}:{port}", flush=True)
    if drain_seconds is None:
        drain_seconds = DRAIN_SECONDS if grpc is None else GRPC_DRAIN_SECONDS
    _allow_descriptors()
    _Server(config, model, grpc, drain_seconds).run()


def _allow_descriptors() -> None:
    """Take what is allowed: a container may begin with a thousand. No limit reads as -1."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
