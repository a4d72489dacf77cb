"""What a build that broke off leaves: nothing that the next one takes for whole."""

import contextlib
from pathlib import Path

import pytest
from hack.cluster import wheels
from hack.cluster.errors import ClusterError


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Beside an environment whose programs note what they are told, and fail."""
    programs = tmp_path / "venv/bin"
    programs.mkdir(parents=True)
    for name in ("pip", "python"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\nexit 1\n')
        program.chmod(0o755)
    (tmp_path / "venv/done").write_text(wheels.TOOLS)
    (tmp_path / "sidecar").mkdir()
    return tmp_path / "sidecar"


def test_wheels_that_were_not_all_downloaded_are_downloaded_again(context: Path) -> None:
    (context / "wheels.key").write_text("of the versions before")
    with pytest.raises(ClusterError):
        wheels.ensure_context(context, "sidecar")
    assert not (context / "wheels.key").exists()


def test_modules_that_were_not_all_compiled_are_compiled_again(context: Path) -> None:
    (context / "compiled.key").write_text("of the sources before")
    # Where this machine can't compile for the image, nothing is tried.
    with contextlib.suppress(ClusterError):
        wheels._compile(context.parent / "venv/bin/python", context)
    assert not (context / "compiled.key").exists()


def test_a_mac_asks_for_wheels_by_the_name_that_linux_gives_its_processor(
    context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    with pytest.raises(ClusterError):
        wheels.ensure_context(context, "sidecar")
    told = (context.parent / "told").read_text()
    assert "manylinux2014_aarch64" in told
    assert "arm64" not in told
