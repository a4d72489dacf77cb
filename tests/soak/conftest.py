import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.runtime.programs import S3Server

collect_ignore = ["clock"]  # read by sidecars, and by no test
CLUSTER = str(Path(__file__).parents[2] / "hack/cluster/cluster")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[S3Server]:
    """A real S3 server for the prediction log; its program is where the local cluster builds it."""
    folder = os.environ.get("TIDEGATE_BIN") or subprocess.check_output(
        [CLUSTER, "build", "versitygw"], text=True
    )
    (tmp_path / "s3/logs").mkdir(parents=True)
    server = S3Server(Path(folder.strip()) / "versitygw", tmp_path / "s3")
    server.start()
    yield server
    server.stop()
