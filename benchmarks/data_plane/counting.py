"""How many values a second the monitor decodes and counts, beside libraries on the same rows."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from benchmarks import peers
from benchmarks.data_plane.peers import FEATURES
from benchmarks.drift import cost
from benchmarks.drift.judges import EVIDENTLY
from benchmarks.report import table
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from tidegate.evidence.profile import Profile, make_profile
from tidegate.sidecar.monitor.intake import Intake
from tidegate.sidecar.records import Kind, Reader, Record, pack

ROWS = 10_000
REPEATS = 5  # the best of so many: the machine is shared
PIECE_BYTES = 65536  # about what a socket gives at once
NOW = 1.8e9
WHYLOGS = ("whylogs==1.6.4", "pandas==2.3.3", "numpy==2.4.6")
PEERS = {
    "Evidently, drift preset": (cost.PEERS / "evidently_cost.py", EVIDENTLY),
    "alibi-detect, Kolmogorov-Smirnov": (cost.PEERS / "alibi_cost.py", cost.ALIBI),
    "whylogs, profile": (Path(__file__).with_name("whylogs_profile.py"), WHYLOGS),
}


def table_of() -> str:
    """Million values a second on one core, of rows with 30 features."""
    rng = np.random.default_rng(1)
    reference, window = (rng.normal(size=(ROWS, FEATURES)).round(4) for _ in range(2))
    profile = _profile(reference)
    columns = dict(zip((f.name for f in profile.features), window.T.copy(), strict=True))
    seconds = {}
    for rows in (1, 10, 1000):
        stream = _stream(window, rows)
        title = f"**Tidegate, from JSON, {rows:,} {'row' if rows == 1 else 'rows'} a request**"
        seconds[title] = _best(partial(_take, profile, stream))
    seconds |= {
        "**Tidegate, counting alone**": _best(lambda: profile.encode(columns)),
        "numpy, histogram of 10 bins": _best(lambda: [np.histogram(c, 10) for c in window.T]),
        "scipy, Kolmogorov-Smirnov": _best(
            lambda: [ks_2samp(a, b) for a, b in zip(reference.T, window.T, strict=True)]
        ),
    }
    given = {"reference": reference, "window": window}
    for title, (script, requirements) in PEERS.items():
        seconds[title] = float(peers.ask(script, requirements, given)["seconds"])
    lines = [[title, f"{window.size / took / 1e6:,.2f}"] for title, took in seconds.items()]
    return table([f"{ROWS:,} rows x {FEATURES} features", "million values a second"], lines)


def _profile(reference: NDArray[np.float64]) -> Profile:
    columns = {f"f{i}": column for i, column in enumerate(reference.T)}
    kinds: dict[str, Literal["number", "category"]] = dict.fromkeys(columns, "number")
    return make_profile(columns, kinds, np.arange(len(reference)) % 2, "classification", {})


def _stream(window: NDArray[np.float64], rows: int) -> bytes:
    """The rows as the proxy sends them on, so many in each request."""
    answer = json.dumps({"predictions": [1] * rows}).encode()
    return b"".join(
        pack(
            Record(
                Kind.ANSWERED,
                status=200,
                arrival=NOW,
                sequence=at + 1,
                latency=0.001,
                revision="churn-stable",
                request=json.dumps({"instances": window[at : at + rows].tolist()}).encode(),
                response=answer,
            )
        )
        for at in range(0, len(window), rows)
    )


def _take(profile: Profile, stream: bytes) -> None:
    intake, reader = Intake("pod", "churn-stable", profile, lambda: NOW), Reader()
    for at in range(0, len(stream), PIECE_BYTES):
        for record in reader.feed(stream[at : at + PIECE_BYTES]):
            intake.take(record)
    intake.book.mark(NOW + 60.0, 0)  # what waits for company is counted now
    if intake.totals.rows != ROWS:
        raise RuntimeError(f"{intake.totals.rows} rows were counted")


def _best(step: Callable[[], object]) -> float:
    took = []
    for _ in range(REPEATS):
        began = time.process_time()
        step()
        took.append(time.process_time() - began)
    return min(took)
