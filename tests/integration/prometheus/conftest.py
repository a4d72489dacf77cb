"""A Prometheus for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hack.prometheus import folder
from tests.integration.prometheus.server import PrometheusServer


@pytest.fixture(scope="session")
def programs() -> Path:
    return folder()


@pytest.fixture
def server(programs: Path, tmp_path: Path) -> Iterator[PrometheusServer]:
    made = PrometheusServer(programs, tmp_path)
    yield made
    made.stop()
