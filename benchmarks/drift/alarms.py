"""False alarms while nothing changes, and the windows until a change is seen."""

from collections.abc import Callable, Iterable

import numpy as np
from benchmarks.drift import judges, ours
from benchmarks.drift.judges import Judged
from benchmarks.drift.worlds import Flags, Values, World, drifting, reference, windows
from benchmarks.report import table

SEED = 20261121
WORLDS = (
    World("1,000 rows a window"),
    World("100 rows a window", rows=100),
    World("sessions of 20 rows", session=20),
    World("day and night ± 0.3 sd", swing=0.3),
)
BEFORE, AFTER = 3, 30  # windows before and after the change
STEPS = {f"{size:g} sd": np.full(AFTER, size) for size in (0.1, 0.2, 0.3, 0.5, 1.0)}
PATHS = {**STEPS, "0 to 0.5 sd in 100": np.linspace(0, 0.5, 100)}

Spread = Callable[..., Iterable[dict[str, Judged]]]
"""`map`, or that of a pool of processes."""


def false_alarm_table(spread: Spread, count: int) -> str:
    found = list(spread(_judge_world, WORLDS, [count] * len(WORLDS)))
    rows = [[rule, *(_shares(world[rule]) for world in found)] for rule in found[0]]
    return table(["windows with an alarm, %", *(w.name for w in WORLDS)], rows)


def delay_table(spread: Spread, runs: int) -> str:
    """The first feature drifts; the others judge it alone: their alarms on the rest don't count."""
    rng = np.random.default_rng([SEED, runs])
    before = reference(World("still"), rng)
    cases = [(name, drifting(rng, BEFORE, PATHS[name])) for name in PATHS for _ in range(runs)]
    series = [values for _, values in cases]
    mine = list(spread(_judge_drift, [before] * len(series), series))
    alone = np.concatenate([values[:, :, :1] for values in series])
    ends = np.cumsum([len(values) for values in series])[:-1]
    others = {
        rule.removesuffix(judges.ANY): np.split(judged.windows, ends)
        for rule, judged in judges.judge_by_others(before[:, :1], alone).items()
        if rule.endswith(judges.ANY)
    }
    rules = {**{rule: [m[rule].windows for m in mine] for rule in mine[0]}, **others}
    rows = []
    for rule, alarms in rules.items():
        first = [_first(flags) for flags in alarms]
        seen = {
            name: [f for (n, _), f in zip(cases, first, strict=True) if n == name] for name in PATHS
        }
        rows.append([rule, *(delay_of(found) for found in seen.values())])
    return table(["windows until the alarm", *PATHS], rows)


def _judge_world(world: World, count: int) -> dict[str, Judged]:
    rng = np.random.default_rng([SEED, *world.name.encode()])
    return judges.judge(reference(world, rng), windows(world, rng, count))


def _judge_drift(before: Values, values: Values) -> dict[str, Judged]:
    return judges.by_bound(ours.flags(judges.policies(), ours.profile_of(before), values).T)


def _first(flags: Flags) -> float:
    """The window of the first alarm after the change, counted from 1; infinity for never."""
    after = flags[BEFORE:]
    return float(after.argmax()) + 1 if after.any() else np.inf


def _shares(judged: Judged) -> str:
    shown = judges.percent(judged.windows)
    return shown if judged.features is None else f"{shown} ({judges.percent(judged.features)})"


def delay_of(first: list[float]) -> str:
    found, median = np.isfinite(first), float(np.median(first))
    if not np.isfinite(median):
        return f"{100 * found.mean():.0f} % seen" if found.any() else "never"
    return f"{median:g}" + ("" if found.all() else f", {100 * found.mean():.0f} %")
