"""Finds a Prometheus server and its tool for the tests, and prints the folder of the programs.

`python -m hack.prometheus`: those in PATH, or else the programs alone out of the Debian package,
kept for the next time. The package itself is not installed: it would start a service.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hack.cluster.instance import cache_directory

PROGRAMS = ("prometheus", "promtool")
MEND = "install Prometheus, and put its programs into PATH"


class NoPrometheusError(Exception):
    """There is none, and none can be fetched."""


def folder() -> Path:
    """Where the programs are; NoPrometheusError says how to get them."""
    found = [shutil.which(name) for name in PROGRAMS]
    if all(found):
        return Path(found[0] or "").parent
    cache = cache_directory() / "prometheus"
    if not cache.exists():
        _fetch(cache)
    return cache


def _fetch(cache: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NoPrometheusError(f"this is no Debian or Ubuntu: {MEND}")
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        download = ["apt-get", "-q", "download", "prometheus"]
        if not _run(download, scratch) and os.geteuid() == 0:
            _run(["apt-get", "-q", "update"], scratch)  # the lists are empty on a fresh machine
            _run(download, scratch)
        packages = list(Path(scratch).glob("prometheus_*.deb"))
        if not packages or not _run(["dpkg-deb", "-x", str(packages[0]), "out"], scratch):
            raise NoPrometheusError(f"`apt-get download prometheus` failed: {MEND}")
        whole = Path(scratch) / "whole"
        whole.mkdir()
        for name in PROGRAMS:
            (Path(scratch) / "out/usr/bin" / name).rename(whole / name)
        if not cache.exists():  # another run may have done the same meanwhile
            whole.rename(cache)


def _run(command: list[str], directory: str) -> bool:
    done = subprocess.run(command, cwd=directory, stdout=sys.stderr, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    try:
        print(folder())
    except NoPrometheusError as error:
        sys.exit(f"no Prometheus: {error}")
