"""One command at a time may change the clusters of this machine."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster.console import say


@contextmanager
def exclusive(cache: Path) -> Iterator[None]:
    """Wait for other commands to end; the kernel frees the lock even if this process is killed."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another cluster command to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
