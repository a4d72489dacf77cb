"""What does the sidecar cost a request, beside what else may stand in front of a model?"""

import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.data_plane import counting, load, memory, peers, sizes
from benchmarks.data_plane.load import Full
from benchmarks.data_plane.peers import Peer
from benchmarks.report import put, table
from hack.compiled import compile_into

HERE = Path(__file__).parent
CONNECTIONS = 16, 64
OPEN = 1000
# Half of what the slowest proxy does on a core. At half of what nginx does, the load and the model,
# who share the other core, are what is measured.
LATENCY_RATE = 6000
# In each round: a single bad moment of the machine makes one p99 what it is.
LATENCY_TURNS = 3
NGINX, GO = "nginx", "Go ReverseProxy"


@dataclass
class Case:
    """One row of the tables and what was measured for it, once a round."""

    start: Callable[[], AbstractContextManager[Peer]]
    full: dict[int, list[Full]] = field(default_factory=lambda: {c: [] for c in CONNECTIONS})
    added: list[tuple[float, float]] = field(default_factory=list)
    resident: dict[str, float] = field(default_factory=dict)

    def per_second(self, connections: int) -> float:
        return median(f.per_second for f in self.full[connections])

    def cpu(self, process: str) -> float:
        return median(self.each(process))

    def times(self, other: "Case") -> float:
        """The multiple of another's CPU time, round by round."""
        pairs = zip(self.each("proxy"), other.each("proxy"), strict=True)
        return median(a / b for a, b in pairs)

    def each(self, process: str) -> list[float]:
        return [f.cpu.get(process, 0.0) for f in self.full[CONNECTIONS[0]]]


def main(_runs: int, *, write: bool) -> None:
    """Five rounds of two seconds for each number; one of one second to see that it runs."""
    rounds, seconds = (5, 2) if write else (1, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        binary = folder / "peer"
        subprocess.run(["go", "build", "-o", binary], cwd=HERE / "peer", check=True)
        tree = folder / "compiled"
        compile_into(tree)
        cases = _proxies(folder, binary, tree, rounds, seconds)
        blocks = {
            "throughput": _throughput(cases),
            "cost": _cost(cases),
            **sizes.tables(folder, binary, tree, seconds, HERE / "sizes.svg" if write else None),
            "counting": counting.table_of(),
            "open": memory.open_table_of(folder, tree, seconds=30 if write else 1),
            "memory": memory.table_of(folder, tree, seconds=600 if write else 5),
        }
    for block, text in blocks.items():
        print(text)
        if write:
            put(HERE / "README.md", block, text)


def _proxies(folder: Path, binary: Path, tree: Path, rounds: int, seconds: int) -> dict[str, Case]:
    with peers.model(folder) as (upstream, candidate):
        start = partial(peers.tidegate, folder, upstream, tree=tree)
        cases = {
            "direct": Case(lambda: nullcontext(Peer(upstream, {}))),
            NGINX: Case(lambda: peers.nginx(folder, upstream)),
            GO: Case(lambda: peers.go(binary, upstream)),
            "Tidegate": Case(start),
            "Tidegate, 20 % to a candidate": Case(partial(start, candidate=candidate)),
            "Tidegate, capture off": Case(partial(start, env=peers.CAPTURE_OFF)),
            "Tidegate, not compiled": Case(partial(start, tree=None)),
        }
        for number in range(rounds):
            # Forth and back, so that no one always follows the same other.
            turn = list(cases.items()) if number % 2 == 0 else list(reversed(cases.items()))
            for title, case in turn:
                print("  ", title, flush=True)
                _measure(case, folder, binary, upstream, seconds)
    return cases


def _measure(case: Case, folder: Path, binary: Path, upstream: int, seconds: int) -> None:
    with case.start() as peer:
        load.full(peer, folder, CONNECTIONS[0], 1)  # warm
        for connections in CONNECTIONS:
            case.full[connections].append(load.full(peer, folder, connections, seconds))
        if not peer.pids:
            return
        rate = min(LATENCY_RATE, case.full[CONNECTIONS[0]][-1].per_second / 2)
        for _ in range(LATENCY_TURNS):
            through = load.latency(binary, folder, peer.port, rate, seconds)
            without = load.latency(binary, folder, upstream, rate, seconds)
            case.added.append((through["p50"] - without["p50"], through["p99"] - without["p99"]))
        case.resident = load.memory(peer, OPEN)


def _throughput(cases: dict[str, Case]) -> str:
    head = ["requests/s", *(f"{c} connections" for c in CONNECTIONS), "of nginx", "of Go"]
    first = CONNECTIONS[0]
    rows = [
        [
            title,
            *(f"{case.per_second(c):,.0f}" for c in CONNECTIONS),
            f"{case.per_second(first) / cases[NGINX].per_second(first):.2f}",
            f"{case.per_second(first) / cases[GO].per_second(first):.2f}",
        ]
        for title, case in cases.items()
    ]
    return table(head, rows)


def _cost(cases: dict[str, Case]) -> str:
    head = [
        "",
        "CPU µs a request",
        "of nginx",
        "of Go",
        "of the monitor",
        "added at p50, ms",
        "at p99, ms",
        f"MiB at {OPEN:,} connections",
        "of the monitor",
    ]
    rows = [
        [
            title,
            f"{case.cpu('proxy'):.1f}",
            *(f"{case.times(cases[p]):.2f}" for p in (NGINX, GO)),
            f"{case.cpu('monitor'):.1f}" if "monitor" in case.resident else "",
            f"{1000 * median(a for a, _ in case.added):.2f}",
            f"{1000 * median(b for _, b in case.added):.2f}",
            f"{case.resident['proxy']:.0f}",
            f"{case.resident['monitor']:.0f}" if "monitor" in case.resident else "",
        ]
        for title, case in cases.items()
        if case.added
    ]
    return table(head, rows)
