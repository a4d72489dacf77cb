"""What the two processes may load."""

import subprocess
import sys

import pytest

HEAVY = {"boto3", "kopf", "kubernetes", "pandas", "scipy", "sklearn"}


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        pytest.param("tidegate.sidecar.__main__", HEAVY | {"aiohttp", "numpy"}, id="proxy"),
        pytest.param("tidegate.sidecar.monitor.__main__", HEAVY, id="monitor"),
    ],
)
def test_a_process_loads_nothing_it_does_not_need(module: str, banned: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "tidegate.sidecar" in loaded
    assert banned & {name.partition(".")[0] for name in loaded} == set()
