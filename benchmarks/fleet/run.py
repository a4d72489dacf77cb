"""What do 5,000 Models cost? Processor time of a Model's minute, its state, and its windows."""

import asyncio
import gc
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from benchmarks.fleet import recorded
from benchmarks.report import put, table
from typing_extensions import override

from tidegate.api.meta import ObjectKey
from tidegate.api.v1alpha1.analysis import Analysis
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.model_status import RolloutStatus
from tidegate.clients.sidecars import Sidecars, Target
from tidegate.controllers.__main__ import GARBAGE_AFTER
from tidegate.controllers.collector import Collector, Gathered
from tidegate.controllers.drift_policy.plan import plan
from tidegate.controllers.drift_policy.state import Observed, Watched
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import SLOT_SECONDS, Report, merged
from tidegate.rollout.analysis import Arms, Evidence, start, weigh
from tidegate.rollout.drift import Current
from tidegate.rollout.machine import State
from tidegate.rollout.skew import layout_of

HERE = Path(__file__).parent
MODELS = 5_000
PAST, MEASURED = 70, 30  # minutes; the operator keeps an hour
TURNS = 5  # of each minute the calmest counts: what shares the machine makes it take longer
MINUTE_MS = 60_000
KEY = ObjectKey("Model", "growth", "churn")
ARMS = Arms(recorded.STABLE, recorded.CANDIDATE)


class Decide(NamedTuple):
    """A stage of the decision."""

    stage: str
    look: Callable[[Gathered], None]
    state: Callable[[], str]
    """What a status keeps from one look to the next."""


class Recorded(Sidecars):
    """Answers with what was recorded, a minute at a time; parsed as the client parses it."""

    def __init__(self, reference: Profile) -> None:
        self.next = defaultdict[str, asyncio.Queue[bytes]](asyncio.Queue)
        self._reference = reference

    @override
    async def windows(self, target: Target, *, after: int, labels_after: int) -> Report:
        answer = await self.next[target.uid].get()
        return Report.from_json(orjson.loads(answer))

    @override
    async def profile(self, target: Target) -> Profile | None:
        return self._reference


@dataclass
class Clock:
    """Processor time by stage; the minutes of the past are not counted."""

    counts: bool = False
    stages: dict[str, list[float]] = field(default_factory=dict)

    def add(self, stage: str, began: float) -> None:
        if self.counts:
            took = 1000 * (time.process_time() - began)
            self.stages.setdefault(stage, []).append(took)


def main(runs: int, *, write: bool) -> None:
    gc.set_threshold(GARBAGE_AFTER)
    measured = min(runs, MEASURED)
    for name, block in asyncio.run(blocks(measured)).items():
        print(f"\n{block}", flush=True)
        if write:
            put(HERE / "README.md", name, block)


async def blocks(measured: int) -> dict[str, str]:
    """The tables, by the name of their place in the README."""
    rows, kept = [], []
    for name, decide in (("quiet", _watching), ("in a rollout", _weighing)):
        means, state = await _means(measured, decide)
        rows += [_row(f"{name}: {stage}", ms) for stage, ms in means.items()]
        rows.append(_row(f"**a Model {name}**", sum(means.values())))
        kept.append([f"state of a Model {name}, in a status", f"{len(state) / 1000:.1f}"])
    stepwise, _ = await _means(measured, _stepping)
    rows.append(_row(*list(stepwise.items())[-1]))
    kept.append(["its windows of an hour, in the operator's memory", f"{_held() / 1000:,.0f}"])
    return {
        "fleet": table(["a minute of a Model", "ms", f"{MODELS:,} of them, % of a core"], rows),
        "kept": table(["kept of a Model", "kB"], kept),
    }


def _row(name: str, ms: float) -> list[str]:
    return [name, f"{ms:.2f}", f"{100 * MODELS * ms / MINUTE_MS:.0f}"]


def _held() -> int:
    """Bytes of an hour of windows: those of each pod, and their sums."""
    answers = recorded.minutes(60, rollout=False)
    tracemalloc.start()
    pods = [
        {k: c for m in answers for k, c in Report.from_json(orjson.loads(m[uid])).windows.items()}
        for uid in answers[0]
    ]
    hour = [*pods, merged(pods)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del hour  # it had to be there until now
    return held


async def _means(
    measured: int, decide: Callable[[Profile], Decide]
) -> tuple[dict[str, float], str]:
    """The mean of each stage, and the state at the end."""
    turns = [await _minutes(measured, decide) for _ in range(TURNS)]
    stages, state = turns[0]
    calmest = {s: np.min([times[s] for times, _ in turns], axis=0) for s in stages}
    return {stage: float(np.mean(took)) for stage, took in calmest.items()}, state


async def _minutes(
    measured: int, decide: Callable[[Profile], Decide]
) -> tuple[dict[str, list[float]], str]:
    """Processor milliseconds of each measured minute, by stage; and the state at the end."""
    rollout = decide is not _watching
    clock, reference = Clock(), recorded.profile(np.random.default_rng(recorded.SEED))
    sidecars, news = Recorded(reference), asyncio.Queue[ObjectKey]()
    collector = Collector(sidecars, clock=lambda: 0.0, on_news=news.put_nowait)
    targets = recorded.targets(rollout=rollout)
    collector.follow(
        KEY, targets, after=recorded.FIRST_SLOT - 1, every=0.0, generation=1, envelope=None
    )
    stage, look, state = decide(reference)
    try:
        for number, answers in enumerate(recorded.minutes(PAST + measured, rollout=rollout)):
            clock.counts = number >= PAST
            began = time.process_time()
            for uid, answer in answers.items():
                sidecars.next[uid].put_nowait(answer)
            last = recorded.last_slot(number)
            while (collector.gathered(KEY).closed_through or 0) < last:
                await news.get()
            gathered = collector.gathered(KEY)
            clock.add("read and add up the reports of three pods", began)
            began = time.process_time()
            look(gathered)
            clock.add(stage, began)
    finally:
        await collector.close()
    return clock.stages, state()


def _watching(reference: Profile) -> Decide:
    """A look of a DriftPolicy each minute; its windows are ten minutes long."""
    policy = DriftPolicy.model_validate(
        {
            "metadata": {"name": "tabular", "namespace": KEY.namespace},
            "spec": {
                "window": {"size": "10m"},
                "signals": [
                    {"name": "inputs", "type": "DataDrift", "warn": "0.1", "breach": "0.25"},
                    {"name": "answers", "type": "PredictionDrift", "breach": "0.15"},
                    {"name": "accuracy", "type": "Performance", "maxRelativeDrop": "0.05"},
                ],
            },
        }
    )
    model = Model.model_validate(
        {
            "metadata": {"name": KEY.name, "namespace": KEY.namespace},
            "spec": {"artifact": {"fromTraining": {}}},
        }
    )

    def look(seen: Gathered) -> None:
        nonlocal policy
        through = seen.closed_through or 0
        current = Current(recorded.STABLE, reference, seen.windows, seen.labels, through)
        now = datetime.fromtimestamp(SLOT_SECONDS * through, UTC)
        found = plan(Observed(policy, (Watched(model, current),)), now)
        status = policy.status.model_copy(update={"models": found.models})
        policy = policy.model_copy(update={"status": status})

    def state() -> str:
        return "".join(m.model_dump_json(by_alias=True) for m in policy.status.models)

    return Decide("watch for drift", look, state)


def _weighing(reference: Profile) -> Decide:
    """A look at a rollout each minute, with the default metrics."""
    weighing = _Weighing(reference)

    def look(seen: Gathered) -> None:
        weighing.look(seen, seen.closed_through)

    return Decide("weigh six slots of both arms", look, weighing.state)


def _stepping(reference: Profile) -> Decide:
    """A look after each slot, as the operator takes it."""
    weighing = _Weighing(reference)

    def look(seen: Gathered) -> None:
        last = seen.closed_through or 0
        for slot in range(last - recorded.SLOTS_A_MINUTE + 1, last + 1):
            weighing.look(seen, slot)

    name = "in a rollout: six looks instead, one after each slot"
    return Decide(name, look, weighing.state)


class _Weighing:
    """A rollout; its state is packed after each look, and unpacked at the next."""

    def __init__(self, reference: Profile) -> None:
        self._analysis, self._layout = Analysis(), layout_of(reference, reference)
        self._rollout = RolloutStatus(
            revision=recorded.CANDIDATE,
            state=State.STEPPING,
            cursor=start(self._analysis, recorded.FIRST_SLOT - 1),
        )

    def look(self, seen: Gathered, through: int | None) -> None:
        evidence = Evidence(seen.windows, seen.labels, through, through, self._layout)
        found = weigh(self._analysis, self._rollout.cursor, ARMS, evidence)
        known = {"cursor": found.cursor, "metrics": found.results, "evidence": found.evidence}
        self._rollout = self._rollout.model_copy(update=known)

    def state(self) -> str:
        return self._rollout.model_dump_json(by_alias=True)
