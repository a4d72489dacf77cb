"""One command at a time may change a cluster, or the images."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster.console import say


@contextmanager
def exclusive(cache: Path, what: str) -> Iterator[None]:
    """Wait for other commands to end; the kernel frees the lock even if this process is killed."""
    path = _path(cache, what)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another command that changes the {what} to end")
                fcntl.flock(lock, fcntl.LOCK_EX)
            # The one that was waited for may have forgotten this file; then another counts.
            if _is_at(path, lock.fileno()):
                yield
                return


def forget(cache: Path, what: str) -> None:
    """Remove the lock's file, by the command that holds it."""
    _path(cache, what).unlink(missing_ok=True)


def _is_at(path: Path, opened: int) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except FileNotFoundError:
        return False


def _path(cache: Path, what: str) -> Path:
    return cache / "locks" / what
