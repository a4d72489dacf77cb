import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hack.suite import INTERRUPTED
from hack.target import ROOT

SECONDS = 60.0


def test_a_run_in_the_background_of_a_shell_can_be_ended() -> None:
    """Such a shell lets its jobs ignore SIGINT, and their children after them."""
    script = "trap '' INT; exec \"$@\""
    suite = subprocess.Popen(
        ("sh", "-c", script, "sh", sys.executable, "-m", "hack.suite", "lint"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CI": "true"},
    )
    try:
        children = Path(f"/proc/{suite.pid}/task/{suite.pid}/children")
        deadline = time.monotonic() + SECONDS
        while not children.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        suite.send_signal(signal.SIGTERM)
        assert suite.wait(SECONDS) == INTERRUPTED
    finally:
        suite.kill()
        suite.wait()
