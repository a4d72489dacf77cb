"""The trade-off in one picture: good candidates lost against time to find a bad one."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from benchmarks.decisions.judges import Verdicts
from benchmarks.decisions.worlds import Floats
from matplotlib.figure import Figure

SLOTS_A_MINUTE = 6


def draw(path: Path, good: Verdicts, bad: Verdicts) -> None:
    """Write an SVG in which down and left is better; the same verdicts give the same bytes."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    ranked = sorted(good, key=lambda rule: (_lost(good[rule]), rule))
    for number, rule in enumerate(ranked, start=1):
        minutes = float(np.median(bad[rule])) / SLOTS_A_MINUTE
        label = f"{number}  {rule.replace('**', '')}"
        if not np.isfinite(minutes):
            axes.plot([], [], " ", label=f"{label}: not found")
            continue
        colour = "tab:blue" if "Tidegate" in rule else "tab:gray"
        axes.plot(_lost(good[rule]), minutes, "o", color=colour, label=label)
        axes.annotate(
            str(number),
            (_lost(good[rule]), minutes),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_xlabel("good candidates rolled back during a ramp, %")
    axes.set_ylabel("minutes to find three times the errors (median)")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    with mpl.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})
    lines = path.read_text().splitlines()  # matplotlib leaves spaces at the ends of lines
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines))


def _lost(slots: Floats) -> float:
    return 100 * float(np.isfinite(slots).mean())
