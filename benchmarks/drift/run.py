"""How often does a monitor cry wolf, and how soon does it see drift?"""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.drift import (
    alarms,
    cost,
    digits,
    harm,
    labels,
    power,
    psi_grid,
    relations,
    scenarios,
    season,
    streams,
)
from benchmarks.report import put

HERE = Path(__file__).parent
PROCESSES = 2
FULL = 400  # from so many runs on, everything is measured as the README describes it


def main(runs: int, *, write: bool) -> None:
    began = time.perf_counter()
    for name, block in blocks(quick=runs < FULL):
        print(f"\n{block}", flush=True)
        if write:
            put(HERE / "README.md", name, block)
    print(f"\n{(time.perf_counter() - began) / 60:.1f} minutes")


def blocks(*, quick: bool) -> Iterator[tuple[str, str]]:
    """The tables, by the name of their place in the README."""
    few = 1 if quick else 10
    with ProcessPoolExecutor(PROCESSES) as pool:
        yield "false alarms", alarms.false_alarm_table(pool.map, 20 if quick else 1000)
        yield "season", season.season_table(pool.map, quick=quick)
        yield "delay", alarms.delay_table(pool.map, few)
        yield "relations", relations.relation_table(pool.map, 0.1 if quick else 1.0)
        yield "digits", digits.digit_table(pool.map, few)
    yield "streams", streams.stream_table(few)
    yield "labels", labels.label_table(2 if quick else 200)
    yield "scenarios", scenarios.scenario_table(1 if quick else scenarios.PARTS)
    yield "harm", harm.harm_tables(1 if quick else harm.REPLICATES)
    yield "psi grid", psi_grid.psi_table(100 if quick else 2000)
    yield "power", power.power_table(20 if quick else 600)
    yield "cost", cost.cost_table()
