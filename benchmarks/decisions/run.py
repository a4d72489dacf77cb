"""How often is a good candidate rolled back, and how soon is a bad one found?"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from benchmarks.decisions import ours
from benchmarks.decisions.chart import draw
from benchmarks.decisions.cost import cost_table
from benchmarks.decisions.judges import (
    Verdicts,
    judge_errors,
    judge_errors_by_us,
    judge_latencies,
    judge_predictions,
    our_name,
    passes_by_us,
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

from tidegate.evidence.latency import GROWTH

HERE = Path(__file__).parent
SEED = 20261121
PROCESSES = 2
CHUNK = 100  # runs that are simulated at once
STILL = World("still, 5 %")
MOVING = World("moving, 5 %", moving=True)
RAMPED = World("moving, ramp", RAMP, moving=True)
SMALL = World("still, 1 %", (0.01,))
SESSIONS = (World("sessions of 4", session=4), World("sessions of 10", session=10))
VARYING = tuple(World(f"sessions around {n}", session=n, geometric=True) for n in (4, 10))
PASSES = (STILL, World("sessions of 2", session=2), *SESSIONS, *VARYING)
EDGES = {"+0.5 points": 2.0, "+10 %": 1.1, "+1 %": 1.01}  # just tolerated, times stable's errors
PASS_EDGES = {"+0.5 points": 2.0, "+10 %": 1.1, "+50 %": 1.5}
LATENCY_EDGES = {"+25 %": GROWTH**2, "+10 %": GROWTH}  # whole bins of the histogram
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
    for name, block in tables(runs, chart):
        yield name, f"R = {runs}.\n\n{block}"
    yield "cost", cost_table()
    print(f"\n{(time.perf_counter() - began) / 60:.1f} minutes with {runs} runs")


def tables(runs: int, chart: Path | None) -> Iterator[tuple[str, str]]:
    yield from error_tables(runs, chart)
    yield "errors, sessions", session_table(runs)
    yield "errors, passes", pass_table(runs)
    yield from latency_tables(runs)
    yield from prediction_tables(runs)


def error_tables(runs: int, chart: Path | None) -> Iterator[tuple[str, str]]:
    worlds = (STILL, MOVING, RAMPED, SMALL, *SESSIONS, *VARYING)
    good = judged(errors, judge_errors, [Case(w.name, w, 1.0) for w in worlds], runs)
    yield "errors, good", shares(good)
    edges = [Case(name, STILL, ratio) for name, ratio in EDGES.items()]
    heads = [f"{name}: {100 * ERROR_RATE * ratio:.3g} %" for name, ratio in EDGES.items()]
    found = judged(errors, judge_errors, edges, runs)
    yield "errors, at the tolerance", edge_table(found, heads)
    worse = [Case(f"x{ratio:g}", STILL, ratio) for ratio in (1.5, 2.0, 3.0, 5.0)]
    bad = judged(errors, judge_errors, worse, runs)
    yield "errors, bad", delays(bad, good[STILL.name])
    one_by_one = partial(judge_errors_by_us, session=1)
    known = judged(errors, one_by_one, [Case(STILL.name, STILL, 1.0), *worse], runs)
    good_ones = known.pop(STILL.name)
    yield "errors, one by one", delays(known, good_ones)
    if chart is not None:
        draw(chart, good[RAMPED.name], bad["x3"])


def session_table(runs: int) -> str:
    """Ours where requests of a session share their fate: its length estimated, or given."""
    rows: dict[str, list[str]] = {}
    for world in (STILL, *SESSIONS):
        cases = [Case(f"x{ratio:g}", world, ratio) for ratio in (1.0, 3.0, 5.0)]
        for session, how in ((None, "estimated"), (world.session, "given")):
            judge = partial(judge_errors_by_us, session=session)
            good, *bad = judged(errors, judge, cases, runs).values()
            for rule, slots in good.items():
                row = rows.setdefault(f"{rule}, {how}", [])
                row += [_percent(slots), *(_delay(b[rule]) for b in bad)]
    heads = [
        f"{what}, sessions of {world.session}"
        for world in (STILL, *SESSIONS)
        for what in ("good, %", "x3", "x5")
    ]
    return table(["slots", *heads], [[rule, *row] for rule, row in rows.items()])


def pass_table(runs: int) -> str:
    """Candidates that pass: exactly as bad as is tolerated, by session length, and equal ones."""
    rows = []
    for tolerance, ratio in PASS_EDGES.items():
        judge = partial(passes_by_us, tolerance=tolerance)
        cases = [Case(world.name, world, ratio) for world in PASSES]
        found = judged(errors, judge, cases, runs).values()
        rows.append([f"exactly at {tolerance}, %", *(_percent(v[tolerance]) for v in found)])
    judge = partial(passes_by_us, tolerance="+0.5 points")
    cases = [Case(world.name, world, 1.0) for world in PASSES]
    found = judged(errors, judge, cases, runs).values()
    rows.append(["equal, +0.5 points, slots", *(_delay(v["+0.5 points"]) for v in found)])
    return table(["passed", *(world.name for world in PASSES)], rows)


def latency_tables(runs: int) -> Iterator[tuple[str, str]]:
    worlds = (STILL, RAMPED, SMALL)
    good = judged(latencies, judge_latencies, [Case(w.name, w, 1.0) for w in worlds], runs)
    yield "latency, good", shares(good)
    edges = [Case(name, STILL, slower) for name, slower in LATENCY_EDGES.items()]
    heads = [f"{name}: {100 * slower - 100:.0f} % slower" for name, slower in LATENCY_EDGES.items()]
    found = judged(latencies, judge_latencies, edges, runs)
    yield "latency, at the tolerance", edge_table(found, heads)
    worse = [Case(f"+{100 * slower - 100:.0f} %", STILL, slower) for slower in (1.1, 1.2, 1.5)]
    bad = judged(latencies, judge_latencies, worse, runs)
    yield "latency, bad", delays(bad, good[STILL.name])


def prediction_tables(runs: int) -> Iterator[tuple[str, str]]:
    worlds = (STILL, RAMPED, SMALL)
    good = judged(predictions, judge_predictions, [Case(w.name, w, 0.0) for w in worlds], runs)
    yield "predictions, good", shares(good)
    worse = [Case(f"{shift:g} sd", STILL, shift) for shift in (0.1, 0.2, 0.3, 0.5, 1.0)]
    bad = judged(predictions, judge_predictions, worse, runs)
    yield "predictions, bad", delays(bad, good[STILL.name])


def judged(
    simulate: Callable[[World, np.random.Generator, int, float], Data],
    judge: Callable[[Data], Verdicts],
    cases: Sequence[Case],
    runs: int,
) -> dict[str, Verdicts]:
    """The verdicts of every case, a chunk of runs at a time in one of two processes."""
    sizes = [CHUNK] * (runs // CHUNK) + [runs % CHUNK] * (runs % CHUNK > 0)
    tasks = [
        (simulate, judge, case, chunk, size) for case in cases for chunk, size in enumerate(sizes)
    ]
    with ProcessPoolExecutor(PROCESSES) as pool:
        found = iter(list(pool.map(_judged, *zip(*tasks, strict=True))))
    return {case.head: _joined([next(found) for _ in sizes]) for case in cases}


def _judged(
    simulate: Callable[[World, np.random.Generator, int, float], Data],
    judge: Callable[[Data], Verdicts],
    case: Case,
    chunk: int,
    size: int,
) -> Verdicts:
    """Each case and chunk has its own seed, so that others can come and go."""
    seed = [SEED, *case.world.name.encode(), round(100 * case.difference), chunk]
    return judge(simulate(case.world, np.random.default_rng(seed), size, case.difference))


def _joined(chunks: Sequence[Verdicts]) -> Verdicts:
    return {rule: np.concatenate([chunk[rule] for chunk in chunks]) for rule in chunks[0]}


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


def edge_table(cases: dict[str, Verdicts], heads: Sequence[str]) -> str:
    """Where alpha is hardest to hold: a candidate exactly as bad as is tolerated, by tolerance."""
    shown: dict[str, list[str]] = {}
    for tolerance, verdicts in cases.items():
        others = {our_name(o, alpha) for o in cases if o != tolerance for alpha in ours.ALPHAS}
        for rule, slots in verdicts.items():
            shown.setdefault(rule, []).append("" if rule in others else _percent(slots))
    return table(["rolled back, %", *heads], [[rule, *row] for rule, row in shown.items()])


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
