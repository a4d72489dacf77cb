"""Labels of sessions are alike: false alarms of a Performance signal, and what it finds."""

import numpy as np
from benchmarks.drift.alarms import delay_of
from benchmarks.report import table

from tidegate.api.v1alpha1.drift_policy import Signal
from tidegate.evidence.profile import Predictions, Profile
from tidegate.evidence.windows import BlockKey, Labels
from tidegate.rollout.performance import performance
from tidegate.rollout.series import WINDOWS_WEIGHED, Series
from tidegate.statistics.drift import alarm_threshold

SEED = 20261121
SLOTS = 60  # of a window: ten minutes
LABELLED = 20  # of a slot
STEADY, BOUND = 0.05, 0.1  # wrong answers: before the change, and tolerated
RATES = (BOUND, 0.15, 0.2)  # after the change
WINDOWS_A_MONTH = 30 * 24 * 6
SESSIONS = (1, 4, 10)
REVISION = "stable"
PROFILE = Profile("classification", 0, (), Predictions("category", ("no", "yes"), counts={}), {})
SIGNAL = Signal(name="accuracy", type="Performance", min=str(1 - BOUND))
RULES = {"as if they were independent": 1, "estimated": None}


def label_table(runs: int) -> str:
    """A row for each length of the sessions and each divisor."""
    rows = []
    for session in SESSIONS:
        rules = {**RULES, "given": session} if session > 1 else RULES
        for rule, given in rules.items():
            name = f"{session}, {rule}" if given == 1 else f"**{session}, {rule}**"
            first = [[_first(run, session, rate, given) for run in range(runs)] for rate in RATES]
            false = 100 * np.isfinite(first[0]).mean()
            rows.append([name, f"{false:.0f}", *map(delay_of, first[1:])])
    heading = [f"to {100 * rate:.0f} % wrong" for rate in RATES[1:]]
    return table(["labels that are alike, divisor", "at the bound, % alarm", *heading], rows)


def _first(run: int, session: int, rate: float, given: int | None) -> float:
    """The first window that alarms after the change, counted from 1; infinity for none."""
    rng = np.random.default_rng([SEED, run, session])
    windows = 2 * WINDOWS_WEIGHED
    rates = np.where(np.arange(windows * SLOTS) < WINDOWS_WEIGHED * SLOTS, STEADY, rate)
    wrong = session * rng.binomial(LABELLED // session, rates)
    blocks = {BlockKey(i, 1, REVISION): Labels(LABELLED, int(k)) for i, k in enumerate(wrong)}
    alarms = (_alarms(blocks, newest, given) for newest in range(WINDOWS_WEIGHED, windows))
    return next((float(i) for i, alarm in enumerate(alarms, start=1) if alarm), np.inf)


def _alarms(blocks: dict[BlockKey, Labels], newest: int, given: int | None) -> bool:
    series = Series(blocks, REVISION, SLOTS, newest, Labels())
    threshold = alarm_threshold(1, WINDOWS_A_MONTH)
    return performance(SIGNAL, PROFILE, series, threshold, given).level == "Breach"
