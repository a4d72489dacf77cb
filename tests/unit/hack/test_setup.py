"""`hack/setup` on machines where git refuses: the commit hooks are a comfort, not a need."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from hack.target import ROOT


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_goes_on_where_the_commit_hooks_cannot_be_installed(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "hack").mkdir()
    shutil.copy(ROOT / "hack/setup", tmp_path / "hack/setup")
    program(tmp_path / ".venv/bin/pip", "exit 0")
    # What git says in a clone of somebody else, and pre-commit where core.hooksPath is set.
    refusal = "echo 'fatal: detected dubious ownership' >&2; exit 1"
    program(tmp_path / ".venv/bin/pre-commit", refusal)
    environment = {**os.environ, "CI": "", "PYTHON": sys.executable}
    done = subprocess.run(
        [tmp_path / "hack/setup"], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0
    assert "commit hooks" in done.stdout
    assert (tmp_path / ".venv/.complete").exists()
