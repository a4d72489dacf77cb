"""How often is a good candidate rolled back, and how soon is a bad one found?"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from benchmarks.decisions import ours
from benchmarks.decisions.chart import draw
from benchmarks.decisions.cost import cost_table
from benchmarks.decisions.judges import (
    ERROR_METRICS,
    Verdicts,
    judge_errors,
    judge_latencies,
    judge_predictions,
    percent,
)
from benchmarks.decisions.worlds import (
    ERROR_RATE,
    RAMP,
    REQUESTS,
    Floats,
    World,
    errors,
    latencies,
    predictions,
)
from benchmarks.report import put, table

HERE = Path(__file__).parent
SEED = 20261121
STILL = World("still, 5 %")
MOVING = World("moving, 5 %", moving=True)
RAMPED = World("moving, ramp", RAMP, moving=True)
SMALL = World("still, 1 %", (0.01,))
SESSIONS = (World("sessions of 4", session=4), World("sessions of 10", session=10))
CANDIDATE_ROWS = STILL.steps[0] * REQUESTS  # a slot

Data = TypeVar("Data")


@dataclass(frozen=True, slots=True)
class Case:
    """A column of a table: a world, and how far the candidate differs in it."""

    head: str
    world: World
    difference: float


def main(runs: int, *, write: bool) -> None:
    for name, block in blocks(runs, HERE / "trade-off.svg" if write else None):
        print(f"\n{block}", flush=True)
        if write:
            put(HERE / "README.md", name, block)


def blocks(runs: int, chart: Path | None) -> Iterator[tuple[str, str]]:
    """The tables, by the name of their place in the README."""
    began = time.perf_counter()
    yield from error_tables(runs, chart)
    yield from latency_tables(runs // 2)
    yield from prediction_tables(runs // 5)
    yield "cost", cost_table()
    print(f"\n{(time.perf_counter() - began) / 60:.1f} minutes with {runs} runs")


def error_tables(runs: int, chart: Path | None) -> Iterator[tuple[str, str]]:
    worlds = (STILL, MOVING, RAMPED, SMALL, *SESSIONS)
    good = judged(errors, judge_errors, [Case(w.name, w, 1.0) for w in worlds], runs)
    yield "errors, good", f"R = {runs}.\n\n{shares(good)}"
    fewer = runs // 2
    yield "errors, at the tolerance", f"R = {fewer}.\n\n{edge_table(fewer)}"
    worse = [Case(f"x{ratio:g}", STILL, ratio) for ratio in (1.5, 2.0, 3.0, 5.0)]
    bad = judged(errors, judge_errors, worse, fewer)
    yield "errors, bad", f"R = {fewer}.\n\n{delays(bad, good[STILL.name])}"
    if chart is not None:
        draw(chart, good[RAMPED.name], bad["x3"])


def latency_tables(runs: int) -> Iterator[tuple[str, str]]:
    worlds = (STILL, RAMPED, SMALL)
    good = judged(latencies, judge_latencies, [Case(w.name, w, 1.0) for w in worlds], runs)
    yield "latency, good", f"R = {runs}.\n\n{shares(good)}"
    worse = [Case(f"+{100 * slower - 100:.0f} %", STILL, slower) for slower in (1.1, 1.2, 1.5)]
    bad = judged(latencies, judge_latencies, worse, runs)
    yield "latency, bad", f"R = {runs}.\n\n{delays(bad, good[STILL.name])}"


def prediction_tables(runs: int) -> Iterator[tuple[str, str]]:
    worlds = (STILL, RAMPED, SMALL)
    good = judged(predictions, judge_predictions, [Case(w.name, w, 0.0) for w in worlds], runs)
    yield "predictions, good", f"R = {runs}.\n\n{shares(good)}"
    worse = [Case(f"{shift:g} sd", STILL, shift) for shift in (0.1, 0.2, 0.3, 0.5, 1.0)]
    bad = judged(predictions, judge_predictions, worse, runs)
    yield "predictions, bad", f"R = {runs}.\n\n{delays(bad, good[STILL.name])}"


def judged(
    simulate: Callable[[World, np.random.Generator, int, float], Data],
    judge: Callable[[Data], Verdicts],
    cases: Sequence[Case],
    runs: int,
) -> dict[str, Verdicts]:
    """The verdicts of every case; each has its own seed, so that cases can come and go."""
    found = {}
    for case in cases:
        rng = np.random.default_rng([SEED, *case.world.name.encode(), round(100 * case.difference)])
        found[case.head] = judge(simulate(case.world, rng, runs, case.difference))
    return found


def shares(cases: dict[str, Verdicts]) -> str:
    """How many of the candidates were rolled back."""
    rules = next(iter(cases.values()))
    rows = [[rule, *(_percent(v[rule]) for v in cases.values())] for rule in rules]
    return table(["rolled back, %", *cases], rows)


def delays(cases: dict[str, Verdicts], good: Verdicts) -> str:
    """When the candidates were rolled back, beside the share of good ones that were, too."""
    rules = next(iter(cases.values()))
    rows = [
        [rule, _percent(good[rule]), *(_delay(v[rule]) for v in cases.values())] for rule in rules
    ]
    return table(["slots (candidate requests)", "good ones, %", *cases], rows)


def edge_table(runs: int) -> str:
    """Ours where alpha is hardest to hold: a candidate that is exactly as bad as is tolerated."""
    rows = []
    for (tolerance, metric), ratio in zip(ERROR_METRICS.items(), (2.0, 1.1), strict=True):
        rng = np.random.default_rng([SEED, round(100 * ratio)])
        counts = errors(STILL, rng, runs, ratio)
        each = (ours.error_blocks(counts, run) for run in range(runs))
        found = ours.rollbacks({tolerance: metric}, each)[tolerance]
        rates = f"{100 * ERROR_RATE:.2f} % against {100 * ERROR_RATE * ratio:.2f} %"
        rows.append([f"{tolerance}: {rates}", *(_percent(slots) for slots in found.values())])
    heads = (f"alpha {percent(alpha)}" for alpha in ours.ALPHAS)
    return table(["rolled back, %", *heads], rows)


def _percent(slots: Floats) -> str:
    return f"{100 * np.isfinite(slots).mean():.1f}"


def _delay(slots: Floats) -> str:
    """The median over all runs, where at least half of them ended in a rollback."""
    found, median = np.isfinite(slots).mean(), np.median(slots)
    if not np.isfinite(median):
        return f"{100 * found:.0f} % found" if found else "never"
    requests = median * CANDIDATE_ROWS
    rows = f"{requests / 1000:.1f}k" if requests >= 1000 else f"{requests:.0f}"
    return f"{median:.0f} ({rows})" + ("" if found > 0.995 else f", {100 * found:.0f} %")
