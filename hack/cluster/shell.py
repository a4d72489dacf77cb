"""Runs other programs to their end; a failure shows the last lines they said."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster.errors import ClusterError

TAIL_LINES = 15


def tail(text: str) -> str:
    """The last lines, indented, as they stand below an error message."""
    return "\n".join(f"    {line[:300]}" for line in text.splitlines()[-TAIL_LINES:])


def run(
    command: Sequence[str | Path],
    *,
    mend: str = "",
    text: str = "",
    extra: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> str:
    """Return what the program printed, or fail with its messages and the way to mend it."""
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        input=text,
        capture_output=True,
        text=True,
        env={**os.environ, **(extra or {})},
        cwd=directory,
    )
    if done.returncode:
        shown = " ".join(str(part) for part in command)[:150]
        raise ClusterError(f"{shown} failed:\n{tail(done.stdout + done.stderr)}", mend)
    return done.stdout


def succeeds(*command: str) -> bool:
    """Say whether the program ends well; what it says does not matter."""
    return not subprocess.run(command, check=False, capture_output=True).returncode
