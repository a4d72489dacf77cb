"""How much memory the sidecar takes with 1,000 features at full load, and whether it grows."""

import json
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmarks.data_plane import load, peers
from benchmarks.report import table

FEATURES = 1000
CONNECTIONS = 64
LOOKS = 10


@contextmanager
def _sink() -> Iterator[str]:
    """The address of an object store that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def table_of(folder: Path, tree: Path, seconds: int) -> str:
    """MiB at ten moments of a load that lasts `seconds`, with and without a sink that hangs."""
    head = ["MiB", *(f"{(look + 1) * seconds // LOOKS} s" for look in range(LOOKS))]
    with ThreadPoolExecutor() as pool:  # both at once, each with half of the machine
        runs = {
            title: pool.submit(_watch, folder, tree, seconds, blocked=blocked)
            for title, blocked in (("", False), (", the log's store hangs", True))
        }
    rows = [
        [f"{process}{title}", *(f"{look[process]:.0f}" for look in run.result())]
        for title, run in runs.items()
        for process in ("proxy", "monitor")
    ]
    return table(head, rows)


def _watch(parent: Path, tree: Path, seconds: int, *, blocked: bool) -> list[dict[str, float]]:
    folder = Path(tempfile.mkdtemp(dir=parent))
    with (
        _sink() if blocked else nullcontext("") as store,
        peers.model(folder) as (upstream, _),
        peers.tidegate(
            folder, upstream, tree=tree, features=FEATURES, env=_log(store) if blocked else {}
        ) as peer,
    ):
        content = load.body(FEATURES)
        with ThreadPoolExecutor() as pool:
            # Ten minutes on a busy machine have moments in which a connection takes too long.
            loading = pool.submit(
                load.full, peer, folder, CONNECTIONS, seconds, content, strict=False
            )
            seen = []
            for _ in range(LOOKS):
                wait([loading], timeout=seconds / LOOKS)
                seen.append({name: load.resident_mib(pid) for name, pid in peer.pids.items()})
            loading.result()
        return seen


def _log(store: str) -> dict[str, str]:
    log = {"uri": "s3://predictions/", "percent": 100, "redact": [], "hashed": []}
    return {
        "TIDEGATE_LOG": json.dumps(log),
        "AWS_ENDPOINT_URL": store,
        "AWS_REGION": "local",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
