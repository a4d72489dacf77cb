"""Other people's libraries, run for real: each in a virtual environment of its own.

An environment is made when it is first needed and kept in the user's cache. A peer is a script that
takes two paths: of the arrays that it is given, and of those that it shall write.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VENVS = Path.home() / ".cache/tidegate/bench-venvs"
QUIET = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}  # a benchmark phones nobody

Arrays = Mapping[str, NDArray[Any]]


def ask(script: Path, requirements: Sequence[str], given: Arrays) -> dict[str, NDArray[Any]]:
    """What the script answers; the requirements are pinned, so that the answer stays the same."""
    python = interpreter(requirements)
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "given.npz"), Path(folder, "answer.npz")
        np.savez(question, allow_pickle=False, **given)
        command = [str(python), "-W", "ignore", str(script), str(question), str(answer)]
        subprocess.run(command, check=True, env={**os.environ, **QUIET})
        with np.load(answer) as found:
            return dict(found)


def interpreter(requirements: Sequence[str]) -> Path:
    """The interpreter of an environment that has the requirements; the first one names it."""
    name = requirements[0].partition("=")[0]
    digest = hashlib.sha256("\n".join(sorted(requirements)).encode()).hexdigest()[:8]
    venv = VENVS / f"{name}-{digest}"
    python, complete = venv / "bin/python", venv / ".complete"
    if not complete.exists():
        print(f"installing {', '.join(requirements)} into {venv}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        subprocess.run([*pip, *requirements], check=True)
        complete.touch()
    return python
