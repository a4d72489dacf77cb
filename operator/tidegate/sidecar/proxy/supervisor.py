"""Keeps a monitor running beside the proxy: started, watched, started again."""

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from tidegate.evidence.windows import slot_of
from tidegate.sidecar.proxy.channel import Channel
from tidegate.sidecar.records import Kind, Record
from tidegate.sidecar.settings import ENV_CHANNEL, ENV_SOCKET

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
HEALTHY_SECONDS = 30.0  # a monitor that lived this long is started again at once

logger = logging.getLogger(__name__)


class Supervisor:
    """One monitor process at a time; the secret of the ids outlives them all."""

    def __init__(
        self,
        channel: Channel,
        socket_path: str,
        secret: bytes,
        routing: Callable[[], Record | None],
        clock: Callable[[], float],
    ) -> None:
        self._channel = channel
        self._socket_path = socket_path
        self._secret = secret
        self._routing = routing
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._first_slot = slot_of(clock())

    async def run(self) -> None:
        """Never returns; cancel it to stop watching."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_SECONDS
        while True:
            born = loop.time()
            code = await self._live()
            # What the lost monitor had counted is gone; the slot that it died in is not whole.
            # If the clock was set back, the slots that it had closed come once more.
            self._first_slot = slot_of(max(self._clock(), self._channel.marked)) + 1
            pause = FIRST_PAUSE_SECONDS if loop.time() - born > HEALTHY_SECONDS else pause
            logger.warning("the monitor ended (%s); next start in %.1f s", code, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _live(self) -> str:
        """One life of a monitor; how it ended."""
        try:
            process = self._process = await self._start()
        except OSError as error:
            return str(error)
        code = await process.wait()
        self._channel.detach()
        return f"exit code {code}"

    async def stop(self, seconds: float) -> None:
        """Close the channel, which ends the monitor once it has read what was sent."""
        self._channel.detach()
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()  # heeded only by one that is starting, which has no counts
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tidegate.sidecar.monitor",
                pass_fds=[theirs.fileno()],
                env=os.environ | {ENV_CHANNEL: str(theirs.fileno()), ENV_SOCKET: self._socket_path},
            )
        finally:
            theirs.close()
        self._channel.mark(self._clock())  # with it the monitor is up to date, and answers
        self._channel.attach(ours, [r for r in (self._hello(), self._routing()) if r])
        return process

    def _hello(self) -> Record:
        hello = {"secret": self._secret.hex(), "firstSlot": self._first_slot}
        return Record(Kind.HELLO, request=json.dumps(hello).encode())
