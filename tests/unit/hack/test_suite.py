import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hack.suite import INTERRUPTED, UNIT, Run
from hack.target import ROOT
from tests.patience import DEADLINE_SECONDS


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
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not children.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        suite.send_signal(signal.SIGTERM)
        assert suite.wait(DEADLINE_SECONDS) == INTERRUPTED
    finally:
        suite.kill()
        suite.wait()


PYTEST = b"""..F.
FAILED tests/unit/test_a.py::test_one - assert 1 == 2
1 failed, 3 passed in 0.12s
"""
CLUSTER = b"""error: hack/cluster/cluster up failed: kube-proxy is not ready after 90 s
  to mend it: less kube-proxy.log
"""


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (PYTEST, ["1 failed, 3 passed in 0.12s", "test_a.py::test_one - assert 1 == 2"]),
        (CLUSTER, ["kube-proxy is not ready after 90 s", "to mend it: less kube-proxy.log"]),
        (b"ERROR tests/b.py::test\n" * 9 + b"9 errors in 1s\n", ["9 errors", "and 4 more"]),
    ],
)
def test_the_summary_says_what_failed(output: bytes, told: list[str]) -> None:
    ended = Run(UNIT, is_shown_live=True)
    ended.output += output
    ended.end(1)
    assert [text for text in told if text not in ended.summary] == []


def test_the_summary_of_what_passed_is_a_line() -> None:
    ended = Run(UNIT, is_shown_live=True)
    ended.output += b"....\nerror: a line of a test's\n4 passed in 0.12s\n"
    ended.end(0)
    assert ended.summary == "unit          passed  4 passed in 0.12s  (0 s)"
