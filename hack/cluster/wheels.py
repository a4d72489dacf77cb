"""The build context of an image: every wheel it needs, fetched and built on the host."""

import hashlib
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

from hack.cluster.console import progress, say
from hack.cluster.shell import run

PROJECT = Path(__file__).parents[2]
PYTHON = "3.11"  # of the base image, whatever Python this machine has
GLIBC = range(17, 37)  # manylinux_2_17 … 2_36, the newest that Debian 12 can load
TOOLS = "hatchling mypy[mypyc]==2.4.1"  # the compiler that the tests ran with
NETWORK = "check the network and pip's configuration: pip config list"


def ensure_context(directory: Path, target: str) -> None:
    """Fill the folder with all wheels; what did not change stays, and so do its image layers."""
    environment = directory.parent / "venv"
    pip = _pip(environment)
    lock = PROJECT / "requirements" / f"{target}.lock"
    key = hashlib.sha256(f"{PYTHON} {platform.machine()} {lock.read_text()}".encode()).hexdigest()
    marker = directory / "wheels.key"
    if not marker.exists() or marker.read_text() != key:
        marker.unlink(missing_ok=True)  # what is there is no longer whole until it is written
        with progress(f"download wheels for {target}"):
            _download(pip, directory, lock)
        marker.write_text(key)
    _build(pip, directory)
    if target == "sidecar":
        _compile(environment / "bin/python", directory)


def _pip(environment: Path) -> Path:
    """A pip of our own, with the build backend: the host's Python stays as it is."""
    pip = environment / "bin/pip"
    done = environment / "done"
    if not done.exists() or done.read_text() != TOOLS:
        with progress("a virtual environment for building wheels"):
            create: list[str | Path] = [sys.executable, "-m", "venv", "--clear", environment]
            run(create, mend="apt-get install python3-venv")
            run([pip, "install", "--quiet", "--upgrade", "pip", *TOOLS.split()], mend=NETWORK)
        done.write_text(TOOLS)
    return pip


def _download(pip: Path, directory: Path, lock: Path) -> None:
    machine = platform.machine().replace("arm64", "aarch64")  # macOS has a name of its own for it
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


def _compile(python: Path, directory: Path) -> None:
    """The sidecar's request path in C, where this machine can make what the base image loads.

    Elsewhere the folder stays empty, and the sources run as they are.
    """
    compiled, marker = directory / "compiled", directory / "compiled.key"
    digest = hashlib.sha256(TOOLS.encode())
    for source in sorted((PROJECT / "operator").rglob("*.py")):
        digest.update(source.read_bytes())
    if compiled.exists() and marker.exists() and marker.read_text() == digest.hexdigest():
        return
    marker.unlink(missing_ok=True)
    shutil.rmtree(compiled, ignore_errors=True)
    compiled.mkdir()
    obstacle = _obstacle()
    if obstacle:
        say(f"the sidecar is not compiled and takes twice the CPU time: {obstacle}")
        return
    tree = directory / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    with progress("compile the sidecar's request path"):
        run([python, "-m", "hack.compiled", tree], directory=PROJECT)
        for library in tree.rglob("*.so"):
            place = compiled / library.relative_to(tree)
            place.parent.mkdir(parents=True, exist_ok=True)
            library.rename(place)
    shutil.rmtree(tree)
    marker.write_text(digest.hexdigest())


def _obstacle() -> str:
    """Why this machine can't compile for the base image; empty if it can."""
    version = platform.python_version_tuple()
    if ".".join(version[:2]) != PYTHON:
        return f"this is Python {'.'.join(version)}, the image has {PYTHON}"
    libc, release = platform.libc_ver()
    if libc != "glibc" or tuple(map(int, release.split("."))) > (2, GLIBC.stop - 1):
        return f"the image can't load what is linked with {libc} {release}"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "there is no Python.h; mend it with: apt-get install python3-dev"
    return "" if shutil.which("cc") else "there is no C compiler; mend it with: apt-get install gcc"
