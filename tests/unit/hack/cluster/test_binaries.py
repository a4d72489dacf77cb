import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hack.cluster.binaries import ensure_built
from hack.target import CLUSTER


def test_two_commands_on_an_empty_cache_build_a_program_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(2) as both:
        folders = list(both.map(lambda _: ensure_built(tmp_path, ["pause"]), range(2)))
    assert folders[0] == folders[1]
    assert [path.name for path in folders[0].iterdir()] == ["pause"]
    said = capsys.readouterr()
    assert said.err.count("✓ [1/1] pause") == 1
    assert not said.out


def test_the_command_prints_the_folder_and_nothing_else(tmp_path: Path) -> None:
    """Scripts take its output as it is, also on the day on which the cache is empty."""
    printed = subprocess.check_output(
        (CLUSTER, "build", "pause"),
        env={**os.environ, "TIDEGATE_CACHE": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert (Path(printed.removesuffix("\n")) / "pause").is_file()
