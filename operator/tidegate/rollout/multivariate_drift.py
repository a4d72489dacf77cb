"""Multivariate drift: can a classifier tell recent rows from the reference's?

A Job trains and judges it, once in an interval; here its findings become a level. An alarm needs
an AUC beyond the bound, and evidence for that which keeps the policy's budget over all looks.
"""

import math
from collections.abc import Iterable, Sequence

from tidegate.api.meta import duration
from tidegate.api.v1alpha1.drift_policy import (
    DriftPolicySpec,
    Look,
    Signal,
    SignalStatus,
    Sustain,
)
from tidegate.rollout.series import SEVERITY, Level, level, unknown
from tidegate.statistics.two_sample import auc_evidence, auc_interval

INTERVAL = "24h"
SHOWN = 3  # features in the sentence


def interval_seconds(signal: Signal) -> float:
    """How often a signal looks; it looks at the rows of as long a time."""
    return duration(signal.interval or INTERVAL).total_seconds()


def look_threshold(spec: DriftPolicySpec, signal: Signal, streams: int) -> float:
    """The evidence of a single look at which this signal keeps its part of the budget.

    Of `k` looks each raises a false alarm with a probability of at most `exp(-threshold)`, so all
    together raise no more than `k` times that on average, whatever depends on whatever: every look
    compares with the same reference rows.
    """
    budget = duration(spec.false_alarms.in_).total_seconds() / spec.false_alarms.per_model
    looks = max(1.0, budget / interval_seconds(signal))
    return math.log(max(streams, 1) * looks)


def multivariate_drift(
    signal: Signal, looks: Iterable[Look], threshold: float, sustain: Sustain
) -> SignalStatus:
    """The signal by its newest looks, oldest first."""
    mine = [look for look in looks if look.signal == signal.name]
    if not mine:
        return unknown(signal, 0, "No rows have been compared yet.")
    newest = mine[-1]
    return _status(signal, newest).model_copy(
        update={"level": _sustained([_level(signal, k, threshold) for k in mine], sustain)}
    )


def _level(signal: Signal, look: Look, threshold: float) -> Level:
    if look.auc is None:
        return "Unknown"
    auc, rows = float(look.auc), _effective(look)
    return level(signal, auc, lambda bound: auc_evidence(auc, rows, bound) >= threshold)


def _effective(look: Look) -> float:
    """How many independent rows tell as much as those that were judged."""
    return look.samples / max(1.0, float(look.clustering))


def _sustained(levels: Sequence[Level], sustain: Sustain) -> Level:
    """The highest level that enough of the newest looks have reached."""
    newest = levels[-sustain.of :]
    wanted: tuple[Level, ...] = ("Breach", "Warn")
    for name in wanted:
        if sum(SEVERITY[n] >= SEVERITY[name] for n in newest) >= sustain.breaches:
            return name
    return "Unknown" if newest[-1] == "Unknown" else "Ok"


def _status(signal: Signal, look: Look) -> SignalStatus:
    if look.auc is None:
        return unknown(signal, look.samples, look.message)
    low, high = auc_interval(float(look.auc), _effective(look))
    most = ", ".join(t.feature for t in look.top[:SHOWN])
    message = (
        f"A classifier tells rows of the prediction log from training rows with a ROC AUC of "
        f"{float(look.auc):.3f} (95 % interval {low:.3f} to {high:.3f}; 0.5 is chance) on "
        f"{look.samples} rows up to {look.through}"
    )
    return SignalStatus(
        name=signal.name,
        level="Ok",
        value=f"{float(look.auc):.3f}",
        lower=f"{low:.3f}",
        upper=f"{high:.3f}",
        samples=look.samples,
        message=f"{message}; most by {most}." if most else f"{message}.",
        top=look.top,
    )
