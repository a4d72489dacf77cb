import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hack.cluster.errors import ClusterError
from hack.cluster.processes import Supervisor, start_ticks
from tests.patience import DEADLINE_SECONDS

FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]
IGNORE = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""
STUBBORN = [sys.executable, "-c", IGNORE]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path)
    yield made
    for process in made.all():
        made.stop(process.name)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pid_of(supervisor: Supervisor, name: str) -> int:
    process = supervisor.find(name)
    assert process is not None
    return process.pid


def test_starts_once_and_leaves_a_running_process_alone(supervisor: Supervisor) -> None:
    assert supervisor.ensure("daemon", FOREVER)
    first = pid_of(supervisor, "daemon")
    assert not supervisor.ensure("daemon", FOREVER)
    assert pid_of(supervisor, "daemon") == first


def test_restarts_a_process_whose_command_has_changed(supervisor: Supervisor) -> None:
    supervisor.ensure("daemon", FOREVER)
    first = pid_of(supervisor, "daemon")
    assert supervisor.ensure("daemon", [*FOREVER, "--new-flag"])
    assert start_ticks(first) is None
    assert pid_of(supervisor, "daemon") != first


def test_starts_again_what_has_died(supervisor: Supervisor) -> None:
    supervisor.ensure("daemon", FOREVER)
    first = pid_of(supervisor, "daemon")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: start_ticks(first) is None)
    assert supervisor.ensure("daemon", FOREVER)


@pytest.mark.parametrize("stranger", [{"start_ticks": 1}, {"boot": "an earlier boot"}])
def test_never_ends_a_stranger_that_got_the_same_pid(
    supervisor: Supervisor, tmp_path: Path, stranger: dict[str, object]
) -> None:
    supervisor.ensure("daemon", FOREVER)
    record = tmp_path / "run/daemon.json"
    ours = json.loads(record.read_text())
    record.write_text(json.dumps({**ours, **stranger}))
    supervisor.stop("daemon")
    assert start_ticks(ours["pid"]) == ours["start_ticks"]
    assert supervisor.find("daemon") is None
    record.write_text(json.dumps(ours))


def test_ends_by_force_what_does_not_listen(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hack.cluster.processes.STOP_SECONDS", 0.1)
    supervisor.ensure("stubborn", STUBBORN)
    pid = pid_of(supervisor, "stubborn")
    wait_for(lambda: "up" in supervisor.log("stubborn").read_text())
    supervisor.stop("stubborn")
    assert start_ticks(pid) is None


def test_waiting_for_a_dead_process_shows_the_end_of_its_log(supervisor: Supervisor) -> None:
    supervisor.ensure("broken", [sys.executable, "-c", "raise SystemExit('no such flag: --x')"])
    with pytest.raises(ClusterError, match="no such flag: --x"):
        supervisor.wait_for("broken", lambda: "not yet", limit_seconds=DEADLINE_SECONDS)


GIVES_UP = """
import pathlib, signal, sys
tried = pathlib.Path(sys.argv[1])
tries = len(tried.read_text()) if tried.exists() else 0
tried.write_text("x" * (tries + 1))
if tries < 2:
    sys.exit("containerd: server is not initialized yet")
signal.pause()
"""


def test_what_gives_up_for_an_excuse_is_started_until_it_stays(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    tried = tmp_path / "tried"

    def start() -> None:
        supervisor.ensure("impatient", [sys.executable, "-c", GIVES_UP, str(tried)])

    start()
    supervisor.wait_for(
        "impatient",
        lambda: "" if tried.exists() and tried.read_text() == "xxx" else "tries",
        limit_seconds=DEADLINE_SECONDS,
        restart=start,
        excuse="not initialized yet",
    )
    assert supervisor.lives("impatient")


def test_what_ends_without_the_excuse_is_not_started_again(supervisor: Supervisor) -> None:
    broken = [sys.executable, "-c", "raise SystemExit('no such flag: --x')"]
    supervisor.ensure("broken", broken)
    with pytest.raises(ClusterError, match="no such flag: --x"):
        supervisor.wait_for(
            "broken",
            lambda: "not yet",
            limit_seconds=DEADLINE_SECONDS,
            restart=lambda: pytest.fail("started again"),
            excuse="not initialized yet",
        )
