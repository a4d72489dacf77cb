"""How much memory the sidecar takes with 1,000 features at full load, and whether it grows."""

import json
import os
import socket
import struct
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from benchmarks.data_plane import load, peers
from benchmarks.report import table

FEATURES = 1000
CONNECTIONS = 64
LOOKS = 10
KEPT_SECONDS = 3600  # of windows: the sidecar's clock runs so fast that they fit into the load
CLOCK = Path(__file__).parents[2] / "tests/soak/clock"


@contextmanager
def _sink() -> Iterator[str]:
    """The address of an object store that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def open_table_of(folder: Path, tree: Path, seconds: int) -> str:
    """The most MiB under full load for so many seconds, by connections and features."""
    rows = [
        [f"{connections:,}", f"{features:,}", *(f"{found[p]:.0f}" for p in ("proxy", "monitor"))]
        for features in (30, FEATURES)
        for connections in (CONNECTIONS, 1000)
        for found in [_held(folder, tree, seconds, connections, features)]
    ]
    return table(["connections", "features", "proxy, MiB", "monitor, MiB"], rows)


def _held(
    folder: Path, tree: Path, seconds: int, connections: int, features: int
) -> dict[str, float]:
    with (
        peers.model(folder) as (upstream, _),
        peers.tidegate(folder, upstream, tree=tree, features=features) as peer,
    ):
        content = load.body(features)
        load.full(peer, folder, connections, seconds, content, strict=False)
        return {name: load.peak_mib(pid) for name, pid in peer.pids.items()}


def table_of(folder: Path, tree: Path, seconds: int) -> str:
    """MiB at ten moments of a load that lasts `seconds`, with and without a sink that hangs.

    At the end an hour has passed by the sidecar's clock, and it keeps all windows that it ever
    will.
    """
    times = [f"{(look + 1) * seconds // LOOKS} s" for look in range(LOOKS)]
    head = ["MiB", *times, "rows counted", "windows"]
    with ThreadPoolExecutor() as pool:  # both at once, each with half of the machine
        runs = {
            title: pool.submit(_watch, folder, tree, seconds, blocked=blocked)
            for title, blocked in (("", False), (", the log's store hangs", True))
        }
    rows = [
        [f"{process}{title}", *(f"{look[process]:.0f}" for look in run.result().resident), *counts]
        for title, run in runs.items()
        for process, counts in (
            ("proxy", ["", ""]),
            ("monitor", [f"{run.result().rows:,}", f"{run.result().windows:,}"]),
        )
    ]
    return table(head, rows)


class Watched(NamedTuple):
    """What was seen of a sidecar under load."""

    resident: list[dict[str, float]]
    rows: int
    windows: int


def _watch(parent: Path, tree: Path, seconds: int, *, blocked: bool) -> Watched:
    folder = Path(tempfile.mkdtemp(dir=parent))
    clock = folder / "clock"
    clock.write_bytes(struct.pack("<d", 0.0))
    fast = {"PYTHONPATH": f"{CLOCK}{os.pathsep}{tree}", "TIDEGATE_SOAK_CLOCK": str(clock)}
    with (
        _sink() if blocked else nullcontext("") as store,
        peers.model(folder) as (upstream, _),
        peers.tidegate(
            folder, upstream, features=FEATURES, env=fast | (_log(store) if blocked else {})
        ) as peer,
    ):
        content = load.body(FEATURES)
        with ThreadPoolExecutor() as pool:
            # Ten minutes on a busy machine have moments in which a connection takes too long.
            loading = pool.submit(
                load.full, peer, folder, CONNECTIONS, seconds, content, strict=False
            )
            seen: list[dict[str, float]] = []
            for second in range(1, seconds + 1):
                wait([loading], timeout=1.0)
                ahead = second * (KEPT_SECONDS / seconds - 1)
                with clock.open("r+b") as file:  # in place: it is mapped
                    file.write(struct.pack("<d", ahead))
                if second * LOOKS // seconds > len(seen):
                    seen.append({name: load.resident_mib(pid) for name, pid in peer.pids.items()})
            loading.result()
        return Watched(seen, peer.rows_counted(), peer.windows_closed())


def _log(store: str) -> dict[str, str]:
    log = {"uri": "s3://predictions/", "percent": 100, "redact": [], "hashed": []}
    return {
        "TIDEGATE_LOG": json.dumps(log),
        "AWS_ENDPOINT_URL": store,
        "AWS_REGION": "local",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
