"""The sidecar's entry point: the proxy process, which starts the monitor."""

import asyncio
import logging
import sys

import uvloop

from tidegate.sidecar.proxy.server import serve
from tidegate.sidecar.settings import Settings


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Settings.from_environment()))


if __name__ == "__main__":
    main()
