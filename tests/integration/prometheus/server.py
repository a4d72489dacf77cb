"""A real Prometheus: with a past that is written before it starts, or scraping.

It listens on the loopback, if nobody else has to reach it.
"""

import subprocess
import time
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import yaml
from tests.patience import DEADLINE_SECONDS
from tests.ports import free_port

Sample = tuple[str, float, float]
"""A series as it is exposed, its value, and when: Unix seconds."""


class PrometheusServer:
    """The server's process on a folder of its own."""

    def __init__(self, programs: Path, root: Path, address: str = "") -> None:
        self._programs, self._root = programs, root
        self.address = address or f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.process: subprocess.Popen[bytes] | None = None

    def remember(self, samples: Iterable[Sample], kinds: Mapping[str, str]) -> None:
        """Write samples into the store, before the start; `kinds` tells counters from gauges."""
        text = self._root / "past.txt"
        by_name: dict[str, list[str]] = {name: [] for name in kinds}
        for series, value, at in samples:
            name = series.partition("{")[0].removesuffix("_total")
            by_name[name].append(f"{series} {value} {at:.3f}")
        lines = [
            line
            for name, rows in by_name.items()
            for line in (f"# TYPE {name} {kinds[name]}", *rows)
        ]
        text.write_text("\n".join([*lines, "# EOF", ""]))
        tool, data = str(self._programs / "promtool"), str(self._root / "data")
        command = [tool, "tsdb", "create-blocks-from", "openmetrics", str(text), data]
        subprocess.run(command, check=True, capture_output=True)

    def start(self, scrape: Mapping[str, Any] | None = None) -> None:
        """Start, with what is to be scraped, if anything; returns when it answers."""
        config = self._root / "prometheus.yml"
        config.write_text(yaml.safe_dump({"scrape_configs": [scrape] if scrape else []}))
        self.process = subprocess.Popen(
            [
                self._programs / "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={self._root / 'data'}",
                "--storage.tsdb.retention.time=10y",
                f"--web.listen-address={self.address}",
                "--log.level=error",
            ]
        )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._ready():
            assert self.process.poll() is None, "Prometheus has ended"
            assert time.monotonic() < deadline, "Prometheus does not get ready"
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=DEADLINE_SECONDS)
