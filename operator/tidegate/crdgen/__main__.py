"""`python -m tidegate.crdgen`: write what is generated from the API types, or check it."""

import argparse
import os
import sys
from pathlib import Path

from tidegate.crdgen.files import INSTALL, find_helm, from_chart, from_types

CACHE = Path(os.environ.get("TIDEGATE_CACHE", "~/.cache/tidegate")).expanduser()


def write(root: Path, files: dict[Path, str]) -> None:
    """Write each file below `root`."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def stale(root: Path, files: dict[Path, str]) -> list[Path]:
    """The files that are not there, or say something else."""
    return [
        p for p, text in files.items() if not (root / p).is_file() or (root / p).read_text() != text
    ]


def main(arguments: list[str]) -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.crdgen", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file is stale"
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: here)")
    chosen = parser.parse_args(arguments)

    files = from_types()
    if not chosen.check:
        write(chosen.root, files)  # before the chart is rendered, which reads them
    helm = find_helm(os.environ, CACHE)
    if helm is None:
        print(f"helm was not found: {INSTALL} is left as it is", file=sys.stderr)
    else:
        files |= from_chart(chosen.root, helm)
    if not chosen.check:
        write(chosen.root, files)
        return 0
    for path in stale(chosen.root, files):
        print(f"{path} is stale: run make generate", file=sys.stderr)
    return 1 if stale(chosen.root, files) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
