"""The plots of the demo's report, as SVG."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from hack.demo.play import POLICY_MINIMUM, SHIFT_MARK, Ending
from hack.demo.snapshot import Snapshot

Draw = Callable[[Any, Sequence[Snapshot]], None]
ROLLING_SECONDS = 5
VERDICTS = {"AnalysisPassed": ("passed", "#116329"), "MetricBreached": ("failed", "#a40e26")}


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture and what it shows."""

    title: str
    text: str
    draw: Draw


def svg(plot: Plot, history: Sequence[Snapshot], endings: Sequence[Ending]) -> str:
    """The picture, with the acts and the shift marked in it."""
    with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(10, 2.8), layout="constrained")
        plot.draw(axes, history)
        mark(axes, endings, history)
        axes.set_xlabel("seconds")
        axes.spines[["top", "right"]].set_visible(False)
        page = io.StringIO()
        figure.savefig(page, format="svg")
        plt.close(figure)
    text = page.getvalue()
    return text[text.index("<svg") :]


def mark(axes: Any, endings: Sequence[Ending], history: Sequence[Snapshot]) -> None:
    """Mark where the acts begin, and the shift."""
    start = history[0].at
    axes.set_xlim(0, max(history[-1].at - start, 1.0))
    for ending in endings:
        axes.axvline(ending.began - start, color="#59636e", linewidth=0.8)
        axes.text(
            ending.began - start,
            1.02,
            f" act {ending.number}",
            transform=axes.get_xaxis_transform(),
            color="#59636e",
        )
        if SHIFT_MARK in ending.marks:
            axes.axvline(ending.marks[SHIFT_MARK] - start, color="#a40e26", linewidth=1.2)


def _weights(axes: Any, history: Sequence[Snapshot]) -> None:
    start = history[0].at
    versions = dict.fromkeys(s.candidate for s in history if s.candidate)
    for version in versions:
        shares = [s.weight if s.candidate == version else 0 for s in history]
        times = [s.at - start for s in history]
        axes.fill_between(times, shares, step="post", alpha=0.6, label=version)
    axes.set_ylim(0, 100)
    axes.set_ylabel("% of requests")
    _legend(axes)


def _accuracy(axes: Any, history: Sequence[Snapshot]) -> None:
    clients, start = history[-1].clients, history[0].at
    if clients.at:  # a story may end before the first answer
        window = np.ones(min(ROLLING_SECONDS, len(clients.at)))
        answered = np.convolve(np.array(clients.answered, dtype=float), window, mode="same")
        right = np.convolve(np.array(clients.right, dtype=float), window, mode="same")
        times = np.array(clients.at, dtype=float) - start
        with np.errstate(invalid="ignore", divide="ignore"):
            axes.plot(times, 100 * right / answered, color="#0969da")
    axes.axhline(100 * POLICY_MINIMUM, color="#59636e", linestyle="--", linewidth=0.8)
    axes.set_ylim(50, 101)
    axes.set_ylabel("% right")


def _evidence(axes: Any, history: Sequence[Snapshot]) -> None:
    """The interval that each passed or failed analysis rests on."""
    start = history[0].at
    found = [(d, m) for d in history[-1].decisions for m in d.metrics if m.name == "accuracy"]
    for decision, metric in found:
        verdict = VERDICTS.get(decision.reason)
        if (
            verdict is None
            or metric.estimate is None
            or metric.lower is None
            or metric.upper is None
        ):
            continue
        at = datetime.fromisoformat(decision.at).timestamp() - start
        words, colour = verdict
        axes.vlines(at, metric.lower, metric.upper, color=colour, alpha=0.4, linewidth=6)
        axes.plot(at, metric.estimate, "o", color=colour)
        text = f"{decision.version} {words}   "
        axes.text(at, metric.estimate, text, color=colour, va="center", ha="right")
        axes.axhline(float(metric.tolerance), color="#59636e", linestyle="--", linewidth=0.8)
    axes.axhline(0, color="#d8dee4", linewidth=0.8)
    axes.set_ylim(-0.7, 0.7)
    axes.set_ylabel("accuracy, difference")


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", frameon=False, ncols=4)


def _drift(axes: Any, history: Sequence[Snapshot]) -> None:
    start = history[0].at
    for index, name in enumerate(dict.fromkeys(s.name for seen in history for s in seen.signals)):
        found = [(seen.at - start, seen.signal(name)) for seen in history]
        points = [(at, s) for at, s in found if s is not None and s.value is not None]
        if not points:
            continue
        times = [at for at, _ in points]
        axes.plot(times, [s.value for _, s in points], color=f"C{index}", alpha=0.5, label=name)
        breached = [s.value if s.level == "Breach" else np.nan for _, s in points]
        axes.plot(times, breached, color=f"C{index}", linewidth=2.5)
    axes.set_ylabel("value")
    _legend(axes)


PLOTS = (
    Plot("Who answered", "The candidate's share of the requests.", _weights),
    Plot(
        "What the clients got",
        f"Right answers, over {ROLLING_SECONDS} s. Dashed: the policy's minimum. Red: the shift.",
        _accuracy,
    ),
    Plot(
        "The evidence",
        "Accuracy of the candidate minus that of stable, over the same seconds, at each verdict, "
        "with the interval that holds however often one looks. Dashed: the tolerance.",
        _evidence,
    ),
    Plot("The drift", "The value of each signal of the policy; thick where it breaches.", _drift),
)
