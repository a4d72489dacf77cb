"""What the terminal shows: one line for each thing done, and what is waited for."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hack.cluster.errors import ClusterError

POLL_SECONDS = 0.1
REMIND_SECONDS = 15.0  # a log without a TTY gets a line this often while something is slow


def say(line: str) -> None:
    """Tell what is going on: beside the output, which belongs to what a command is asked for."""
    print(line, file=sys.stderr, flush=True)


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)} min {int(value % 60):02d} s"


class Progress:
    """One thing that takes a while: rewritten in place on a TTY, plain reminders elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._start = self._shown = time.monotonic()
        self._tty = sys.stderr.isatty()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def update(self, detail: str) -> None:
        """Show how far it is."""
        if not self._tty and time.monotonic() - self._shown < REMIND_SECONDS:
            return
        self._shown = time.monotonic()
        line = f"  … {self._what}: {detail} ({_seconds(self.elapsed)})"
        if self._tty:
            sys.stderr.write(f"\r\x1b[K{line[:150]}")
            sys.stderr.flush()
        else:
            say(line)

    def finish(self, mark: str) -> None:
        """Replace the moving line with the final one."""
        clear = "\r\x1b[K" if self._tty else ""
        say(f"{clear}  {mark} {self._what} ({_seconds(self.elapsed)})")


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show that something is under way, and how it ended."""
    shown = Progress(what)
    shown.update("started")
    try:
        yield shown
    except BaseException:
        shown.finish("✗")
        raise
    shown.finish("✓")


def wait_until(
    what: str, missing: Callable[[], str], limit_seconds: float, *, mend: str = ""
) -> None:
    """Poll until `missing` returns an empty string; it says what is still missing until then."""
    with progress(what) as shown:
        while lacks := missing():
            if shown.elapsed > limit_seconds:
                raise ClusterError(
                    f"{what} is not ready after {limit_seconds:.0f} s: {lacks}", mend
                )
            shown.update(f"not ready yet, {lacks}")
            time.sleep(POLL_SECONDS)
