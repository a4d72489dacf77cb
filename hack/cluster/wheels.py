"""The build context of an image: every wheel it needs, fetched and built on the host."""

import hashlib
import platform
import shutil
import sys
from pathlib import Path

from hack.cluster.console import progress
from hack.cluster.shell import run

PROJECT = Path(__file__).parents[2]
PYTHON = "3.11"  # of the base image, whatever Python this machine has
GLIBC = range(17, 37)  # manylinux_2_17 … 2_36, the newest that Debian 12 can load
NETWORK = "check the network and pip's configuration: pip config list"


def ensure_context(directory: Path, target: str) -> None:
    """Fill the folder with all wheels; what did not change stays, and so do its image layers."""
    pip = _pip(directory.parent / "venv")
    lock = PROJECT / "requirements" / f"{target}.lock"
    key = hashlib.sha256(f"{PYTHON} {platform.machine()} {lock.read_text()}".encode()).hexdigest()
    marker = directory / "wheels.key"
    if not marker.exists() or marker.read_text() != key:
        with progress(f"download wheels for {target}"):
            _download(pip, directory, lock)
        marker.write_text(key)
    _build(pip, directory)


def _pip(environment: Path) -> Path:
    """A pip of our own, with the build backend: the host's Python stays as it is."""
    pip = environment / "bin/pip"
    if not (environment / "done").exists():
        with progress("a virtual environment for building wheels"):
            create: list[str | Path] = [sys.executable, "-m", "venv", "--clear", environment]
            run(create, mend="apt-get install python3-venv")
            run([pip, "install", "--quiet", "--upgrade", "pip", "hatchling"], mend=NETWORK)
        (environment / "done").touch()
    return pip


def _download(pip: Path, directory: Path, lock: Path) -> None:
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC] + [f"manylinux2014_{machine}"]
    wheels = directory / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    run(
        [pip, "download", "--quiet", "--only-binary=:all:", "--implementation=cp",
         f"--python-version={PYTHON}", *(f"--platform={tag}" for tag in tags),
         f"--dest={wheels}", "--no-deps", "--require-hashes", f"--requirement={lock}"],
        mend=NETWORK,
    )  # fmt: skip
    pinned = sorted("==".join(wheel.name.split("-")[:2]) for wheel in wheels.glob("*.whl"))
    (directory / "dependencies.txt").write_text("\n".join(pinned) + "\n")


def _build(pip: Path, directory: Path) -> None:
    """Build Tidegate's wheel; an unchanged one keeps its file, and so its image layer."""
    fresh = directory / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    options = ["--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={fresh}"]
    run([pip, "wheel", *options, PROJECT])
    (built,) = fresh.glob("*.whl")
    for old in directory.glob("tidegate-*.whl"):
        if old.name != built.name or old.read_bytes() != built.read_bytes():
            old.unlink()
    if not (directory / built.name).exists():
        built.rename(directory / built.name)
    shutil.rmtree(fresh)
