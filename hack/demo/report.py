"""The demo's report: one HTML page that needs nothing else, and the same in the terminal."""

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hack.demo.play import Ending
from hack.demo.plots import PLOTS, svg
from hack.demo.screen import Screen, interval, percent
from hack.demo.snapshot import Snapshot
from rich.table import Table

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24 }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem } svg { width: 100%; height: auto }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th, td { text-align: left; padding: .3rem .6rem; vertical-align: top }
th, td { border-bottom: 1px solid #d8dee4 }
.muted { color: #59636e } .good { color: #116329 } .bad { color: #a40e26 }
"""


def write(
    path: Path,
    history: Sequence[Snapshot],
    endings: Sequence[Ending],
    accuracy: Mapping[str, float],
    failure: str,
) -> None:
    """Write the page."""
    began = datetime.fromtimestamp(history[0].at, UTC)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Tidegate demo</title>",
        f"<style>{STYLE}</style><h1>Tidegate demo</h1>",
        f"<p class=muted>{began:%Y-%m-%d %H:%M} UTC, {history[-1].at - history[0].at:.0f} s</p>",
        _outcome(failure),
        _acts(endings, accuracy),
        f"<p>{_requests(history[-1])}</p>",
        *(
            f"<h2>{p.title}</h2><p class=muted>{html.escape(p.text)}</p>{svg(p, history, endings)}"
            for p in PLOTS
        ),
        _decisions(history[-1]),
        "</html>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts), encoding="utf-8")


def show(
    screen: Screen,
    history: Sequence[Snapshot],
    endings: Sequence[Ending],
    accuracy: Mapping[str, float],
) -> None:
    """The same in the terminal."""
    table = Table(title="What happened", title_justify="left")
    for column in ("act", "story", "seconds", "how it ended"):
        table.add_column(column)
    for e in endings:
        table.add_row(str(e.number), e.title, f"{e.seconds:.0f}", "\n".join(e.sentences))
    screen.console.print(table)
    screen.tell(_requests(history[-1]))
    if accuracy:
        told = ", ".join(f"{when} {percent(share)}" for when, share in accuracy.items())
        screen.tell(f"Right answers around the shift: {told}.")


def _requests(last: Snapshot) -> str:
    return (
        f"{last.clients.total_answered} requests were answered, {last.clients.total_failed} failed."
    )


def _outcome(failure: str) -> str:
    if failure:
        return f"<p class=bad>Not as told: {html.escape(failure)}</p>"
    return "<p class=good>Each act ended as told.</p>"


def _acts(endings: Sequence[Ending], accuracy: Mapping[str, float]) -> str:
    rows = [(str(e.number), e.title, f"{e.seconds:.0f} s", " ".join(e.sentences)) for e in endings]
    told = ", ".join(f"{when} <b>{percent(share)}</b>" for when, share in accuracy.items())
    around = f"<p>Right answers around the shift: {told}.</p>" if accuracy else ""
    return _html_table(("Act", "Story", "Time", "How it ended"), rows) + around


def _decisions(last: Snapshot) -> str:
    rows = []
    for d in last.decisions:
        numbers = "; ".join(
            f"{m.name} {m.verdict}: {interval(m)}, tolerance {m.tolerance}, {m.samples} samples"
            for m in d.metrics
        )
        rows.append((d.id, d.at, f"{d.action} {d.version}", d.reason, f"{d.message} {numbers}"))
    return "<h2>The operator's decisions</h2>" + _html_table(
        ("", "At", "Decision", "Reason", "Why"), rows
    )


def _html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"
