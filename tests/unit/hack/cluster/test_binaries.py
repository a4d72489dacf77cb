from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hack.cluster.binaries import ensure_built


def test_two_commands_on_an_empty_cache_build_a_program_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(2) as both:
        folders = list(both.map(lambda _: ensure_built(tmp_path, ["pause"]), range(2)))
    assert folders[0] == folders[1]
    assert [path.name for path in folders[0].iterdir()] == ["pause"]
    assert capsys.readouterr().out.count("✓ [1/1] pause") == 1
