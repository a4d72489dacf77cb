"""The demo in the terminal: what is told, and a live table of what happens."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hack.demo.snapshot import Comparison, Signal, Snapshot
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

# A log that is no terminal gets a line when something changes, and at least this often.
REMIND_SECONDS = 15.0
BAR_WIDTH = 40
NONE = "-"
COLOURS = {"Pass": "green", "Fail": "red", "Ok": "green", "Warn": "yellow", "Breach": "red"}


class Screen:
    """Where the story is told."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._topic: tuple[object, ...] = ()
        self._told_at = 0.0

    def tell(self, text: str, style: str = "") -> None:
        self.console.print(
            text, style=style, highlight=False, soft_wrap=not self.console.is_terminal
        )

    def open_act(self, number: int, title: str, told: str) -> None:
        self.console.print()
        self.console.rule(f"[bold]Act {number}: {title}", align="left")
        self.tell(told)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The live table is shown inside."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=4, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def show(self, seen: Snapshot, waiting_for: str) -> None:
        """Show what is seen now, and what the story waits for."""
        if self._live is not None:
            self._live.update(_table(seen, waiting_for))
            return
        topic = (waiting_for, seen.stable, seen.candidate, seen.weight, seen.drift_level)
        now = time.monotonic()
        if topic != self._topic or now - self._told_at > REMIND_SECONDS:
            self.console.print(f"  {_line(seen, waiting_for)}", markup=False, soft_wrap=True)
            self._topic, self._told_at = topic, now


def percent(share: float | None) -> str:
    """A share as text."""
    return NONE if share is None else f"{share:.1%}"


def _line(seen: Snapshot, waiting_for: str) -> str:
    arms = f"stable {seen.stable or NONE} {100 - seen.weight} %"
    if seen.candidate:
        arms += f", candidate {seen.candidate} {seen.weight} %"
    right = percent(seen.recent_accuracy())
    return f"{waiting_for}: {arms}; clients right {right}; drift {seen.drift_level or NONE}"


def _table(seen: Snapshot, waiting_for: str) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", min_width=10)
    grid.add_column()
    grid.add_row("waiting for", waiting_for)
    jobs = "  ".join(f"{version} {state or 'Pending'}" for version, state in seen.jobs.items())
    grid.add_row("training", jobs or NONE)
    grid.add_row("traffic", _bar(seen))
    grid.add_row("rollout", f"{seen.state or NONE}  {seen.message}")
    grid.add_row("evidence", _evidence(seen.comparisons))
    grid.add_row("drift", _signals(seen.signals))
    grid.add_row("clients", f"{percent(seen.recent_accuracy())} right in the last seconds")
    return Panel(grid, title="tumours", title_align="left", border_style="dim")


def _bar(seen: Snapshot) -> Text:
    if not seen.stable:
        return Text("nothing serves yet")
    share = round(BAR_WIDTH * seen.weight / 100)
    text = Text.assemble(
        (f"{seen.stable} {100 - seen.weight:>3} % ", "green"),
        ("█" * (BAR_WIDTH - share), "green"),
        ("█" * share, "cyan"),
    )
    if seen.candidate:
        text.append(f" {seen.weight:>3} % {seen.candidate}", style="cyan")
    return text


def _evidence(comparisons: tuple[Comparison, ...]) -> RenderableType:
    if not comparisons:
        return Text(NONE)
    table = Table.grid(padding=(0, 2))
    for c in comparisons:
        table.add_row(
            c.name,
            Text(c.verdict, style=COLOURS.get(c.verdict, "")),
            interval(c),
            f"tolerance {c.tolerance}",
            f"{c.samples} samples",
        )
    return Group(table)


def interval(c: Comparison) -> str:
    """An estimate with its interval, as text."""
    if c.estimate is None:
        return "no estimate yet"
    if c.lower is None or c.upper is None:
        return f"{c.estimate:+.3f}"
    return f"{c.estimate:+.3f} [{c.lower:+.3f}, {c.upper:+.3f}]"


def _signals(signals: tuple[Signal, ...]) -> RenderableType:
    if not signals:
        return Text(NONE)
    table = Table.grid(padding=(0, 2))
    for s in signals:
        value = NONE if s.value is None else f"{s.value:.3f}"
        table.add_row(s.name, Text(s.level, style=COLOURS.get(s.level, "")), value, s.message)
    return table
