"""Backtests of DriftPolicies as tables, side by side, and as data."""

from collections.abc import Iterator, Sequence
from typing import Any

from tidegate.api.meta import timestamp
from tidegate.cli.answer import Answer, table
from tidegate.cli.backtest import Backtest

LEVELS = ("Breach", "Warn", "Ok", "Unknown")


def reported(backtests: Sequence[Backtest]) -> Answer:
    """How many windows had which level, and every alarm: when and why."""
    sections = [_levels(backtests), *(_alarms(b) for b in backtests)]
    return Answer([_data(b) for b in backtests], "\n\n".join(sections))


def _levels(backtests: Sequence[Backtest]) -> str:
    rows = [
        (
            b.policy,
            b.model,
            signal,
            *(str(_count(b, signal, level)) for level in LEVELS),
            str(len(b.alarms)) if signal == "all" else "",
        )
        for b in backtests
        for signal in ("all", *b.signals)
    ]
    head = ("POLICY", "MODEL", "SIGNAL", *(level.upper() for level in LEVELS), "ALARMS")
    return table(head, rows)


def _count(backtest: Backtest, signal: str, level: str) -> int:
    """In how many windows a signal, or all of them together, had a level."""
    if signal == "all":
        return sum(e.level == level for e in backtest.evaluations)
    return sum(
        s.level == level for e in backtest.evaluations for s in e.signals if s.name == signal
    )


def _alarms(backtest: Backtest) -> str:
    windows = len(backtest.evaluations)
    if not backtest.alarms:
        return f"{backtest.policy} on {backtest.model}: no alarm in {windows} windows."
    return "\n".join(_alarm_lines(backtest, windows))


def _alarm_lines(backtest: Backtest, windows: int) -> Iterator[str]:
    many = len(backtest.alarms)
    alarms = "1 alarm" if many == 1 else f"{many} alarms"
    yield f"{backtest.policy} on {backtest.model}: {alarms} in {windows} windows."
    for alarm in backtest.alarms:
        yield f"    {timestamp(alarm.at)}  {alarm.action.do} ({alarm.action.reason})"
        yield f"        {alarm.action.message}"


def _data(backtest: Backtest) -> dict[str, Any]:
    return {
        "policy": backtest.policy,
        "model": backtest.model,
        "windows": [
            {
                "at": timestamp(e.at),
                "level": e.level,
                "signals": [s.to_api() for s in e.signals],
            }
            for e in backtest.evaluations
        ],
        "alarms": [{**a.action.to_api(), "at": timestamp(a.at)} for a in backtest.alarms],
    }
