"""One command at a time may change a cluster, or the images."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster.console import say


@contextmanager
def exclusive(cache: Path, what: str) -> Iterator[None]:
    """Wait for other commands to end; the kernel frees the lock even if this process is killed."""
    locks = cache / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / what).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another command that changes the {what} to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
