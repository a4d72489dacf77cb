"""The proxy process: listens, keeps the monitor alive, and drains before it stops.

A client that keeps its connection may send its next request in the very moment in which the
connection is closed, and that request is lost. So clients are told first: as soon as the pod is
about to end (SIGUSR1, see `tidegate.sidecar.retire`), each answer says that it is the last one.
Only who has not asked for some seconds since then is hung up on.
"""

import asyncio
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

from tidegate.sidecar.proxy.board import Board
from tidegate.sidecar.proxy.capture import Capture
from tidegate.sidecar.proxy.channel import Channel
from tidegate.sidecar.proxy.client import Client
from tidegate.sidecar.proxy.control import Control
from tidegate.sidecar.proxy.desk import CLIENT_LIMIT, Desk
from tidegate.sidecar.proxy.relay import ClientEnd, Relay
from tidegate.sidecar.proxy.shadow import Shadow
from tidegate.sidecar.proxy.split import Split, Tcp, Unix
from tidegate.sidecar.proxy.supervisor import Supervisor
from tidegate.sidecar.records import Kind, Record
from tidegate.sidecar.settings import Settings
from tidegate.traffic.routing import Routing

SWEEP_SECONDS = 1.0
DRAIN_SECONDS = 25.0  # below the 30 s that a pod gets to end
DRAIN_POLL_SECONDS = 0.02
MODEL_PATIENCE_SECONDS = 5.0  # on a starved node; nobody else could answer in its place
STOP_SECONDS = 3.0  # more for the monitor, which has a log to bring home and counts to tell
ANSWER_SECONDS = 1.0  # for what the monitor has said last to go out
BACKLOG = 4096
DESCRIPTORS = 2 * CLIENT_LIMIT + 256  # each client has an upstream; the rest is our own

logger = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then let requests in flight finish."""
    loop = asyncio.get_running_loop()
    stop, retire = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, retire.set)
    _allow_descriptors()
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        await _serve(settings, f"{folder}/monitor.sock", stop, retire)


async def _serve(
    settings: Settings, monitor_path: str, stop: asyncio.Event, retire: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    channel = Channel(loop)
    secret = os.urandom(32)
    model = Tcp(*settings.upstream, MODEL_PATIENCE_SECONDS)
    door = (
        _relay(model) if settings.relays else _desk(settings, model, monitor_path, secret, channel)
    )

    def announce(routing: Routing) -> None:
        door.apply(routing)
        channel.send(_routing_record(routing))

    board = Board(settings.model, settings.routing_dir, announce)
    board.read_file()
    supervisor = Supervisor(
        channel,
        monitor_path,
        secret,
        lambda: _routing_record(board.current) if board.current else None,
        time.time,
    )
    control = Control(board, monitor_path, retire.is_set)
    traffic_server = await loop.create_server(
        door.accept, None, settings.traffic_port, backlog=BACKLOG
    )
    control_server = await asyncio.start_server(control.serve, None, settings.control_port)
    background = [
        loop.create_task(stop.wait()),
        loop.create_task(supervisor.run()),
        loop.create_task(_tick(board, door.traffic, channel)),
    ]
    farewell = loop.create_task(_farewell(door.traffic, retire, settings.drain_seconds))
    is_source = str(sys.modules[Client.__module__].__file__).endswith(".py")
    how = "interpreted: at twice the CPU time" if is_source else "compiled"
    logger.info("serving %s of %s (%s)", settings.revision, settings.model, how)
    ended, _ = await asyncio.wait(background, return_when=asyncio.FIRST_COMPLETED)
    retire.set()
    traffic_server.close()
    end = loop.time() + DRAIN_SECONDS
    await _drain(door.traffic, end)
    for task in (*background, farewell):
        task.cancel()
    end += STOP_SECONDS
    await channel.drain((end - loop.time()) / 2)
    channel.mark(time.time())
    await channel.drain((end - loop.time()) / 2)
    await supervisor.stop(end - loop.time())
    control_server.close()  # not sooner: the operator hears of the last requests by then
    await control.finish(ANSWER_SECONDS)
    for task in ended:
        task.result()  # a background task that broke ends the process with its error


class _Door(NamedTuple):
    """What is behind the traffic port."""

    traffic: Desk | Relay
    accept: Callable[[], asyncio.Protocol]
    """A new client's connection."""
    apply: Callable[[Routing], None]


def _relay(model: Tcp) -> _Door:
    relay = Relay(model, asyncio.get_running_loop())
    return _Door(relay, lambda: ClientEnd(relay), lambda _: None)


def _desk(
    settings: Settings, model: Tcp, monitor_path: str, secret: bytes, channel: Channel
) -> _Door:
    # The comparison of the arms rests on an independent draw for each request.
    draw = random.Random(os.urandom(16)).random  # noqa: S311 - nothing secret depends on it
    split = Split(settings.revision, model, draw)
    capture = Capture(
        draw,
        settings.capture_percent / 100,
        settings.body_limit,
        caller_ids=settings.log is not None,
    )
    shadow = Shadow(channel)
    desk = Desk(settings.pod_uid, secret, split, Unix(monitor_path), channel, capture, shadow)
    loop = asyncio.get_running_loop()
    return _Door(desk, lambda: Client(desk, loop), split.apply)


def _allow_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _routing_record(routing: Routing) -> Record:
    return Record(Kind.ROUTING, request=routing.to_json().encode())


async def _tick(board: Board, traffic: Desk | Relay, channel: Channel) -> None:
    while True:
        board.read_file()
        channel.mark(time.time(), traffic.counts() if isinstance(traffic, Relay) else b"")
        await _sweep(traffic)
        await asyncio.sleep(SWEEP_SECONDS)


async def _sweep(traffic: Desk | Relay) -> None:
    """Look after all connections; requests are served in between."""
    more = True
    while more:
        more = traffic.sweep(time.monotonic())
        await asyncio.sleep(0)


async def _farewell(traffic: Desk | Relay, retire: asyncio.Event, seconds: float) -> None:
    await retire.wait()
    if isinstance(traffic, Relay):
        return  # the model's server tells its clients to go, and new ones still come here
    logger.info("every answer is the last one of its connection from now on")
    traffic.draining = True
    await asyncio.sleep(seconds)
    traffic.hanging_up = True
    await _sweep(traffic)


async def _drain(traffic: Desk | Relay, end: float) -> None:
    loop = asyncio.get_running_loop()
    logger.info("draining %d connections", len(traffic.clients))
    # The ticks go on meanwhile; an event for this one end would cost each connection.
    while traffic.clients and loop.time() < end:  # noqa: ASYNC110
        await asyncio.sleep(DRAIN_POLL_SECONDS)
