"""What a request costs by its size, by the rows in it, and by the features of a row."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib as mpl
from benchmarks.data_plane import load, peers
from benchmarks.data_plane.peers import FEATURES, Peer
from benchmarks.report import table
from matplotlib.figure import Figure

SIZES = 1, 10, 100, 1_000, 10_000  # KB
ROWS = 1, 10, 100, 1_000, 10_000
WIDTHS = 10, 30, 100, 300, 1_000  # features
CONNECTIONS = 4  # enough to keep a core busy, few enough for the largest bodies
LARGE = {"TIDEGATE_MAX_BODY_BYTES": str(16 << 20)}  # the default copies no body above 1 MiB


@dataclass(frozen=True, slots=True)
class Line:
    """CPU time in µs, by the number of rows or features or KB."""

    number: int
    nginx: float
    proxy: float
    """A request."""
    monitor: float
    """A request whose rows were counted; 0 if none was."""
    counted: float
    """The share of the requests whose rows were counted: the others were dropped or not read."""


def tables(
    folder: Path, binary: Path, tree: Path, seconds: int, plot: Path | None
) -> dict[str, str]:
    """Each series as a table, and all as a picture."""
    with peers.reader(binary) as upstream:
        ask = partial(_line, folder, upstream, tree, seconds)
        by_size = [ask(kb, _of_size(kb), counted=False) for kb in SIZES]
        by_rows = [ask(n, load.body(rows=n), rows=n) for n in ROWS]
        by_width = [ask(n, load.body(n), features=n) for n in WIDTHS]
    if plot is not None:
        _draw(plot, {"KB": by_size, "rows of 30 features": by_rows, "features": by_width})
    return {
        "size": _table("KB", by_size, None),
        "rows": _table("rows", by_rows, lambda line: _each(line, line.number * FEATURES)),
        "features": _table("features", by_width, lambda line: _each(line, line.number)),
    }


def _of_size(kb: int) -> str:
    return '{"instances": [["' + "x" * (kb * 1000 - 22) + '"]]}'


def _line(
    folder: Path,
    upstream: int,
    tree: Path,
    seconds: int,
    number: int,
    content: str,
    *,
    rows: int = 1,
    features: int = FEATURES,
    counted: bool = True,
) -> Line:
    print("  ", number, flush=True)
    with peers.nginx(folder, upstream) as peer:
        load.full(peer, folder, CONNECTIONS, 1, content, rows)
        nginx = load.full(peer, folder, CONNECTIONS, seconds, content, rows).cpu["proxy"]
    env = LARGE if counted else {}
    with peers.tidegate(folder, upstream, tree=tree, features=features, env=env) as peer:
        load.full(peer, folder, CONNECTIONS, 1, content, rows)
        before, used = _settled(peer), load.cpu_seconds(peer.pids["monitor"])
        full = load.full(peer, folder, CONNECTIONS, seconds, content, rows)
        whole = (_settled(peer) - before) / rows
        used = load.cpu_seconds(peer.pids["monitor"]) - used
    share = min(whole / full.requests, 1.0)
    return Line(number, nginx, full.cpu["proxy"], 1e6 * used / whole if whole else 0.0, share)


def _settled(peer: Peer) -> int:
    """The rows that were counted, once the monitor has come to the end of what waits for it."""
    last = -1
    while (now := peer.rows_counted()) != last:
        last = now
        time.sleep(1.0)
    return now


def _each(line: Line, values: int) -> str:
    return f"{1000 * line.monitor / values:,.0f}"


def _table(unit: str, lines: Sequence[Line], each: Callable[[Line], str] | None) -> str:
    head = [unit, "nginx, µs", "Tidegate, µs", "of nginx"]
    rows = [
        [f"{x.number:,}", f"{x.nginx:,.0f}", f"{x.proxy:,.0f}", f"{x.proxy / x.nginx:.2f}"]
        for x in lines
    ]
    if each is not None:
        head += ["counted, %", "monitor, µs", "monitor, ns a value"]
        for row, x in zip(rows, lines, strict=True):
            row += [f"{100 * x.counted:.0f}", f"{x.monitor:,.0f}", each(x)]
    return table(head, rows)


def _draw(path: Path, series: dict[str, list[Line]]) -> None:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, (unit, lines) in zip(figure.subplots(1, 3), series.items(), strict=True):
        for name, colour in (("nginx", "gray"), ("proxy", "blue"), ("monitor", "orange")):
            costs = [getattr(line, name) or float("nan") for line in lines]
            numbers = [line.number for line in lines]
            axes.loglog(numbers, costs, "o-", color=f"tab:{colour}", label=name)
        axes.set_xlabel(unit)
    figure.axes[0].set_ylabel("CPU time a request, µs")
    figure.axes[0].legend(frameon=False)
    with mpl.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})
    text = path.read_text().splitlines()  # matplotlib leaves spaces at the ends of lines
    path.write_text("".join(f"{line.rstrip()}\n" for line in text))
