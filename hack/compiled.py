"""Compiles the sidecar's request path to C: `python -m hack.compiled FOLDER`.

The folder is a package tree then, for PYTHONPATH: compiled modules stand beside their sources, and
Python takes those that are there. Where there are none, the same sources run as they are.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "operator/tidegate"
PROXY = (
    "capture",
    "channel",
    "client",
    "desk",
    "exchange",
    "heads",
    "lane",
    "ledger",
    "patience",
    "relay",
    "rounds",
    "split",
    "upstream",
)
MODULES = (
    "tidegate/evidence/ids.py",
    "tidegate/evidence/latency.py",
    "tidegate/sidecar/framing.py",
    "tidegate/sidecar/records.py",
    *(f"tidegate/sidecar/proxy/{name}.py" for name in PROXY),
)
# No debug information: it would hold the names of folders, and no two builds would be equal.
OPTIONS = {"MYPYC_OPT_LEVEL": "3", "MYPYC_DEBUG_LEVEL": "0"}


def compile_into(folder: Path) -> None:
    """Raise CalledProcessError if there is no C compiler, or mypy finds an error."""
    shutil.copytree(PACKAGE, folder / "tidegate", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "mypyc", "--ignore-missing-imports", *MODULES],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | OPTIONS,
    )
    shutil.rmtree(folder / "build")
    shutil.rmtree(folder / ".mypy_cache", ignore_errors=True)


def main() -> int:
    """Compile, or say what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m hack.compiled", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to; it must not have a tidegate/ yet")
    try:
        compile_into(parser.parse_args().folder)
    except subprocess.CalledProcessError as error:
        print(error.stdout, error.stderr, sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
