"""A soak that is interrupted leaves nothing behind."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.patience import DEADLINE_SECONDS
from tests.unit.sidecar.harness import eventually

ROOT = Path(__file__).parents[2]
PROCESSES = 6  # two sidecars with a monitor each, two models; the soak itself and the store besides


async def test_an_interrupted_soak_leaves_no_process() -> None:
    mark = f"TIDEGATE_SOAK_RUN={os.getpid()}"
    name, _, value = mark.partition("=")
    soak = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "tests/soak/test_soak.py"),
        cwd=ROOT,
        env={**os.environ, name: value, "TIDEGATE_SOAK_SECONDS": "100"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:

        async def under_way() -> bool:
            return len(_marked(mark)) >= PROCESSES + 2

        await eventually(under_way)
    finally:
        soak.send_signal(signal.SIGINT)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await soak.wait() != 0
    assert _marked(mark) == []


def _marked(mark: str) -> list[int]:
    """The processes that have this in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes().split(
                b"\0"
            ):
                found.append(int(entry.name))
    return found
