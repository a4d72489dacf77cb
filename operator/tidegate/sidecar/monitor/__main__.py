"""The monitor's entry point; the proxy starts it and ends it by closing the channel."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry
from typing_extensions import override

from tidegate.errors import TerminalError
from tidegate.evidence.profile import Profile
from tidegate.sidecar.monitor.feedback import Feedback
from tidegate.sidecar.monitor.intake import Intake
from tidegate.sidecar.monitor.metrics import SidecarMetrics
from tidegate.sidecar.monitor.web import Numbers, metrics_app, private_app
from tidegate.sidecar.records import Reader
from tidegate.sidecar.settings import ENV_CHANNEL, ENV_SOCKET, Settings

TICK_SECONDS = 1.0
NICENESS = 10  # the request path comes first
PROFILE_LIMIT_BYTES = 8 << 20

logger = logging.getLogger(__name__)


class ChannelEnd(asyncio.Protocol):
    """Feeds the intake until the proxy closes the channel."""

    def __init__(self, intake: Intake) -> None:
        self._reader = Reader()
        self._intake = intake
        self.greeted = asyncio.Event()
        """The first record is in: the secret of the ids is known."""
        self.closed = asyncio.Event()

    @override
    def data_received(self, data: bytes) -> None:
        for record in self._reader.feed(data):
            self._intake.take(record)
            self.greeted.set()
        self._intake.arrived()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.greeted.set()


def read_profile(path: Path) -> tuple[Profile, bytes] | None:
    """The reference profile and its bytes; None if there is none that can be used."""
    try:
        with path.open("rb") as file:
            content = file.read(PROFILE_LIMIT_BYTES)
        return Profile.from_json(json.loads(content)), content
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TerminalError) as error:
        logger.warning("%s is not used: %s", path, error)
        return None


async def serve(settings: Settings, channel: socket.socket, socket_path: str) -> None:
    """Count until the channel closes."""
    loop = asyncio.get_running_loop()
    profile, content = read_profile(settings.profile) or (None, None)
    intake = Intake(settings.pod_uid, settings.revision, profile, time.time)
    registry = CollectorRegistry()
    registry.register(SidecarMetrics(intake))
    end = ChannelEnd(intake)
    await loop.create_connection(lambda: end, sock=channel)
    await end.greeted.wait()
    async with aiohttp.ClientSession() as session:
        numbers = Numbers(intake, content, settings.routing_dir)
        private = web.AppRunner(private_app(numbers, Feedback(intake, session)), access_log=None)
        public = web.AppRunner(metrics_app(registry), access_log=None)
        try:
            await private.setup()
            await public.setup()
            await web.TCPSite(public, None, settings.metrics_port).start()
            await web.UnixSite(private, socket_path).start()
            while not end.closed.is_set():
                intake.tick()
                try:
                    await asyncio.wait_for(end.closed.wait(), TICK_SECONDS)
                except TimeoutError:
                    continue
        finally:
            await private.cleanup()
            await public.cleanup()


def main() -> None:
    """Run beside the proxy."""
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the proxy says when it is over
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(NICENESS)
    channel = socket.socket(fileno=int(os.environ[ENV_CHANNEL]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Settings.from_environment(), channel, os.environ[ENV_SOCKET]))


if __name__ == "__main__":
    main()
