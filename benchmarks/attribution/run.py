"""Whose fault is it? How often the right thing follows, for eight troubles that are known."""

import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.attribution import ours, thresholds
from benchmarks.attribution.worlds import Trouble, simulate
from benchmarks.report import put, table

from tidegate.rollout.attribution import Remedy

HERE = Path(__file__).parent
SEED = 20261121
PROCESSES = 2
SHARE = 0.05  # of the runs that the other benchmarks take: one of these is four hours long


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table: what goes wrong, and what ought to follow."""

    name: str
    trouble: Trouble
    candidate: Remedy
    world: Remedy


GO_ON, HOLD, ROLL_BACK = Remedy.GO_ON, Remedy.HOLD, Remedy.ROLL_BACK
NOTIFY, RETRAIN = Remedy.NOTIFY, Remedy.RETRAIN
CASES = (
    Case("nothing", Trouble(), GO_ON, GO_ON),
    Case("the inputs shift for all", Trouble(shift=1.0), GO_ON, NOTIFY),
    Case("the concept changes for all", Trouble(concept=True), GO_ON, RETRAIN),
    Case("ten times the errors for all", Trouble(errors=10.0), GO_ON, GO_ON),
    Case("candidate fails 2 %, not 0.5 %", Trouble(candidate_errors=4.0), ROLL_BACK, GO_ON),
    Case("candidate loses a feature", Trouble(zeroed=True), ROLL_BACK, GO_ON),
    Case("both: inputs shift, feature lost", Trouble(1.0, zeroed=True), ROLL_BACK, NOTIFY),
    Case("candidate gets other users", Trouble(skew=0.5), HOLD, GO_ON),
)
WORDS = {GO_ON: "promoted", HOLD: "held", ROLL_BACK: "rolled back"}
OF_WORLD = {GO_ON: "nothing", NOTIFY: "notified", RETRAIN: "retrained"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Tidegate decided, and whether fixed bars would have rolled back and retrained."""

    ours: ours.Decided
    bars: tuple[bool, bool]


def main(runs: int, *, write: bool) -> None:
    began = time.perf_counter()
    runs = max(1, round(SHARE * runs))
    tasks = [(case, run) for case in CASES for run in range(runs)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        outcomes = list(pool.map(_outcome, *zip(*tasks, strict=True), chunksize=10))
    by_case = {case: outcomes[i * runs : (i + 1) * runs] for i, case in enumerate(CASES)}
    block = f"R = {runs}.\n\n{_table(by_case)}"
    print(f"\n{block}\n\n{(time.perf_counter() - began) / 60:.1f} minutes", flush=True)
    if write:
        put(HERE / "README.md", "attribution", block)


def _outcome(case: Case, run: int) -> Outcome:
    rollout = simulate(case.trouble, np.random.default_rng([SEED, *case.name.encode(), run]))
    return Outcome(ours.decide(rollout), thresholds.decide(rollout))


def _table(by_case: dict[Case, list[Outcome]]) -> str:
    head = [
        "what goes wrong",
        "right, %",
        "candidate",
        "minute",
        "world",
        "minute",
        "bars: rolled back / retrained, %",
    ]
    return table(head, [_row(case, outcomes) for case, outcomes in by_case.items()])


def _row(case: Case, outcomes: list[Outcome]) -> list[str]:
    right = [o.ours.candidate is case.candidate and o.ours.world is case.world for o in outcomes]
    bars = np.mean([o.bars for o in outcomes], axis=0)
    return [
        case.name,
        f"{100 * np.mean(right):.1f}",
        _counted([WORDS[o.ours.candidate] for o in outcomes]),
        _median([o.ours.candidate_minute for o in outcomes]),
        _counted([OF_WORLD[o.ours.world] for o in outcomes]),
        _median([o.ours.world_minute for o in outcomes]) if case.world is not GO_ON else "",
        f"{100 * bars[0]:.0f} / {100 * bars[1]:.0f}",
    ]


def _counted(words: list[str]) -> str:
    return ", ".join(f"{word} {times}" for word, times in Counter(words).most_common())


def _median(minutes: list[int]) -> str:
    return f"{np.median(minutes):.0f}"
