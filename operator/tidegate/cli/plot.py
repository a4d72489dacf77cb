"""A backtest as a picture: an SVG that needs nothing to be looked at, or a page around it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from tidegate.api.meta import timestamp
from tidegate.cli.backtest import Backtest, Evaluation
from tidegate.errors import TerminalError

WIDTH, PANEL, LEFT, TOP, GAP = 900, 90, 170, 40, 34  # pixels
COLOURS = {"Ok": "#2e7d32", "Warn": "#f9a825", "Breach": "#c62828", "Unknown": "#bdbdbd"}
STYLE = "text{font:12px sans-serif;fill:#333}.small{font-size:10px;fill:#777}"


def save(backtests: Sequence[Backtest], path: Path) -> None:
    """Write `*.svg`, or `*.html` with the alarms below the picture."""
    if path.suffix not in (".svg", ".html"):
        raise TerminalError("InvalidArgument", f"--plot {path}: name a file *.svg or *.html")
    picture = svg(backtests)
    try:
        path.write_text(picture if path.suffix == ".svg" else page(picture, backtests))
    except OSError as error:
        raise TerminalError("NotWritable", f"--plot: {error}") from error


def svg(backtests: Sequence[Backtest]) -> str:
    """A panel for each signal of each backtest: its value over time, coloured by level."""
    panels = [(b, s) for b in backtests for s in b.signals]
    height = TOP + len(panels) * (PANEL + GAP)
    times = [e.at for b in backtests for e in b.evaluations]
    body = [line for i, (b, s) in enumerate(panels) for line in _panel(i, b, s, times)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}">'
    )
    return "\n".join([head, f"<style>{STYLE}</style>", *_legend(), *body, "</svg>"]) + "\n"


def page(picture: str, backtests: Sequence[Backtest]) -> str:
    """The picture with every alarm in words."""
    rows = "\n".join(
        f"<tr><td>{escape(b.policy)}<td>{escape(b.model)}<td>{timestamp(a.at)}"
        f"<td>{escape(a.action.do)}<td>{escape(a.action.message)}"
        for b in backtests
        for a in b.alarms
    )
    return (
        '<!doctype html>\n<meta charset="utf-8"><title>Backtest</title>\n'
        "<style>body{font:14px sans-serif}td{padding:2px 12px;vertical-align:top}</style>\n"
        f"{picture}<table>\n<tr><th>Policy<th>Model<th>Time<th>Action<th>Why\n{rows}\n</table>\n"
    )


def _legend() -> Iterator[str]:
    for i, (level, colour) in enumerate(COLOURS.items()):
        x = LEFT + 90 * i
        yield f'<circle cx="{x}" cy="16" r="5" fill="{colour}"/>'
        yield f'<text x="{x + 10}" y="20">{level}</text>'
    x = LEFT + 90 * len(COLOURS)
    yield f'<line x1="{x}" x2="{x}" y1="8" y2="24" stroke="#c62828" stroke-dasharray="3"/>'
    yield f'<text x="{x + 8}" y="20">alarm</text>'


def _panel(index: int, backtest: Backtest, signal: str, times: Sequence[datetime]) -> Iterator[str]:
    top = TOP + index * (PANEL + GAP)
    points = list(_points(backtest.evaluations, signal))
    highest = max((v for _, v, _ in points if v is not None), default=1.0) or 1.0

    def x(at: datetime) -> float:
        length = (times[-1] - times[0]).total_seconds() or 1.0
        share = (at - times[0]).total_seconds() / length
        return round(LEFT + share * (WIDTH - LEFT - 20), 1)

    def y(value: float) -> float:
        return round(top + PANEL * (1 - value / highest), 1)

    yield f'<text x="8" y="{top + 14}">{escape(signal)}</text>'
    yield f'<text x="8" y="{top + 30}" class="small">{escape(backtest.policy)}</text>'
    yield f'<text x="8" y="{top + 44}" class="small">{escape(backtest.model)}</text>'
    yield f'<text x="{LEFT - 8}" y="{top + 8}" class="small" text-anchor="end">{highest:.3g}</text>'
    yield f'<text x="{LEFT - 8}" y="{top + PANEL}" class="small" text-anchor="end">0</text>'
    bottom = top + PANEL
    yield f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{bottom}" y2="{bottom}" stroke="#ddd"/>'
    for alarm in backtest.alarms:
        at = x(alarm.at)
        yield (
            f'<line x1="{at}" x2="{at}" y1="{top}" y2="{bottom}" stroke="#c62828" '
            f'stroke-dasharray="3"><title>{escape(alarm.action.message)}</title></line>'
        )
    for when, value, level in points:
        height = y(value) if value is not None else bottom
        yield f'<circle cx="{x(when)}" cy="{height}" r="2.5" fill="{COLOURS[level]}"/>'
    yield f'<text x="{LEFT}" y="{bottom + 14}" class="small">{timestamp(times[0])}</text>'
    yield (
        f'<text x="{WIDTH - 20}" y="{bottom + 14}" class="small" text-anchor="end">'
        f"{timestamp(times[-1])}</text>"
    )


def _points(
    evaluations: Sequence[Evaluation], signal: str
) -> Iterator[tuple[datetime, float | None, str]]:
    for evaluation in evaluations:
        for seen in evaluation.signals:
            if seen.name == signal:
                yield evaluation.at, None if seen.value is None else float(seen.value), seen.level
