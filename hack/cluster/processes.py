"""Background processes that a later command can find again, and end without hitting a stranger."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hack.cluster.console import wait_until
from hack.cluster.errors import ClusterError
from hack.cluster.shell import tail

STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process we started: the pid counts only together with the boot and the moment it began."""

    name: str
    pid: int
    start_ticks: int | None
    boot: str
    command: tuple[str, ...]

    @property
    def alive(self) -> bool:
        known = self.start_ticks is not None and self.boot == boot_id()
        return known and self.start_ticks == start_ticks(self.pid)


def boot_id() -> str:
    """Tells one boot of the machine from the next."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()  # the command's name may hold blanks
    return None if state in {"Z", "X"} else int(rest[18])


class Supervisor:
    """Starts, finds and ends the processes of one cluster."""

    def __init__(self, state: Path) -> None:
        self._records = state / "run"
        self._logs = state / "log"

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def find(self, name: str) -> Process | None:
        """The recorded process of that name, alive or not."""
        try:
            record = json.loads((self._records / f"{name}.json").read_text())
        except FileNotFoundError:
            return None
        return Process(**{**record, "command": tuple(record["command"])})

    def all(self) -> list[Process]:
        """Every recorded process, in the order in which they were started."""
        paths = sorted(self._records.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [process for path in paths if (process := self.find(path.stem))]

    def started(self, name: str) -> datetime:
        """When the process was started, in whole seconds, as Kubernetes writes times."""
        written = (self._records / f"{name}.json").stat().st_mtime
        return datetime.fromtimestamp(int(written), tz=UTC)

    def ensure(
        self, name: str, command: Sequence[str], extra: Mapping[str, str] | None = None
    ) -> bool:
        """Start the process unless it runs with this very command; say if it was started."""
        process = self.find(name)
        if process and process.alive:
            if process.command == tuple(command):
                return False
            self.stop(name)
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        pid = self._spawn(name, command, {**os.environ, **(extra or {})})
        record = Process(name, pid, start_ticks(pid), boot_id(), tuple(command))
        unfinished = self._records / f"{name}.new"
        unfinished.write_text(json.dumps(asdict(record), indent=1))
        unfinished.rename(self._records / f"{name}.json")  # whole, or not there at all
        return True

    def _spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.posix_spawnp(
            command[0],
            list(command),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log(name)), append, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,  # Ctrl-C in this terminal must not reach the cluster
        )

    def lives(self, name: str) -> bool:
        process = self.find(name)
        return process is not None and process.alive

    def require(self, name: str) -> None:
        """Fail, with the end of its log, if the process has died."""
        if not self.lives(name):
            raise ClusterError(
                f"{name} ended. The end of its log:\n{self._tail(name)}", f"less {self.log(name)}"
            )

    def _tail(self, name: str) -> str:
        try:
            return tail(self.log(name).read_text(errors="replace"))
        except FileNotFoundError:
            return "    (no log)"

    def stop(self, name: str) -> None:
        """End the process: politely, then by force. Never a process that is not ours."""
        process = self.find(name)
        if process and process.alive:
            os.kill(process.pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            with contextlib.suppress(ProcessLookupError):
                while process.alive:
                    if time.monotonic() > deadline:
                        os.kill(process.pid, signal.SIGKILL)
                    time.sleep(0.05)
        (self._records / f"{name}.json").unlink(missing_ok=True)

    def wait_for(
        self,
        name: str,
        missing: Callable[[], str],
        limit_seconds: float,
        *,
        restart: Callable[[], None] | None = None,
        excuse: str = "",
    ) -> None:
        """Wait for a condition that the process brings about; fail at once if it dies.

        If it may `restart`, it does so whenever it has died with `excuse` at the end of its log.
        """

        def lacks() -> str:
            if restart and not self.lives(name) and excuse in self._tail(name):
                restart()
                return excuse
            self.require(name)
            return missing()

        mend = f"less {self.log(name)} may tell why; `up` again goes on from here"
        wait_until(name, lacks, limit_seconds, mend=mend)
