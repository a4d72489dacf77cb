"""The monitor's entry point; the proxy starts it and ends it by closing the channel."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry
from typing_extensions import override

from tidegate.clients.log_store import LogStore
from tidegate.errors import TerminalError
from tidegate.evidence.profile import Profile
from tidegate.sidecar.monitor.feedback import Feedback
from tidegate.sidecar.monitor.intake import Intake
from tidegate.sidecar.monitor.metrics import SidecarMetrics
from tidegate.sidecar.monitor.prediction_log.log import PredictionLog
from tidegate.sidecar.monitor.prediction_log.parts import Parts
from tidegate.sidecar.monitor.prediction_log.redaction import Redaction
from tidegate.sidecar.monitor.prediction_log.uploader import Refusal, Store, Uploader
from tidegate.sidecar.monitor.web import Numbers, metrics_app, private_app
from tidegate.sidecar.records import Kind, Reader
from tidegate.sidecar.settings import ENV_CHANNEL, ENV_SOCKET, LogSettings, Settings

TICK_SECONDS = 1.0
NICENESS = 10  # the request path comes first
PROFILE_LIMIT_BYTES = 8 << 20
FLUSH_SECONDS = 10.0  # for the rest of the prediction log; the proxy may have less time than that

logger = logging.getLogger(__name__)


class ChannelEnd(asyncio.Protocol):
    """Feeds the intake until the proxy closes the channel."""

    def __init__(self, intake: Intake) -> None:
        self._reader = Reader()
        self._intake = intake
        self.greeted = asyncio.Event()
        """The first mark is in: the secret of the ids is known, and how much was counted before."""
        self.closed = asyncio.Event()

    @override
    def data_received(self, data: bytes) -> None:
        for record in self._reader.feed(data):
            self._intake.take(record)
            if record.kind is Kind.MARK:
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


def open_log(settings: LogSettings, pod: Settings, profile: Profile | None) -> PredictionLog:
    """The prediction log of this life of the monitor."""
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    folder = f"model={pod.model}/revision={pod.revision}/"
    parts = Parts(folder, f"{pod.pod_uid}-{started}")
    redaction = Redaction(profile, settings)
    return PredictionLog(
        pod.model, settings.percent, redaction, parts, time.monotonic, time.thread_time
    )


def open_store(settings: LogSettings, session: aiohttp.ClientSession) -> Store:
    """Where the log goes; a store that refuses everything if the settings can't be right."""
    clock = partial(datetime.now, UTC)
    try:
        return LogStore.from_environment(settings.uri, os.environ, session, clock)
    except TerminalError as error:
        return Refusal(error)


async def serve(settings: Settings, channel: socket.socket, socket_path: str) -> None:
    """Count until the channel closes."""
    profile, content = read_profile(settings.profile) or (None, None)
    async with aiohttp.ClientSession() as session:
        log, uploader = None, None
        if settings.log is not None:
            log = open_log(settings.log, settings, profile)
            uploader = Uploader(log.parts, open_store(settings.log, session))
        intake = Intake(settings.pod_uid, settings.revision, profile, time.time, log)
        registry = CollectorRegistry()
        registry.register(SidecarMetrics(intake, uploader))
        end = ChannelEnd(intake)
        await asyncio.get_running_loop().create_connection(lambda: end, sock=channel)
        await end.greeted.wait()
        numbers = Numbers(intake, content, settings.routing_dir)
        private = web.AppRunner(private_app(numbers, Feedback(intake, session)), access_log=None)
        public = web.AppRunner(metrics_app(registry), access_log=None)
        try:
            await private.setup()
            await public.setup()
            await web.TCPSite(public, None, settings.metrics_port).start()
            await web.UnixSite(private, socket_path).start()
            await _count(end, intake, uploader)
            await numbers.farewell(settings.farewell_seconds)
        finally:
            await private.cleanup()
            await public.cleanup()
            if uploader is not None:
                await uploader.close(FLUSH_SECONDS)


async def _count(end: ChannelEnd, intake: Intake, uploader: Uploader | None) -> None:
    while not end.closed.is_set():
        intake.tick()
        if uploader is not None:
            uploader.wake()
        try:
            async with asyncio.timeout(TICK_SECONDS):
                await end.closed.wait()
        except TimeoutError:
            continue


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
