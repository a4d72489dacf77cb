"""Prediction drift: what the stable revision answers, against what it answered to its reference."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tidegate.api.v1alpha1.drift_policy import Signal, SignalStatus
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import Counts
from tidegate.rollout.references import References
from tidegate.rollout.series import Budget, Series, alarms, clustering, level, too_few, unknown
from tidegate.statistics.distance import (
    jensen_shannon,
    jensen_shannon_noise,
    js_tolerance_to_eps,
)
from tidegate.statistics.drift import DriftDetector
from tidegate.statistics.floats import Floats

PREDICTION_BINS = 30  # rarer classes are one: what a detector weighs grows with the square of these


def prediction_drift(
    signal: Signal,
    profile: Profile,
    counts: Series[Counts],
    references: References,
    budget: Budget,
) -> SignalStatus:
    """The Jensen-Shannon distance of the newest window's predictions, with evidence."""
    rows = sum(counts.newest.predictions.values())
    if rows < budget.min_samples:
        return too_few(signal, rows, budget)
    known = profile.predictions.counts
    if not any(known.values()):
        return unknown(signal, rows, "The reference profile has no predictions.")
    keys = {*known, *(k for c in counts.blocks for k in c.predictions)}
    ranked = sorted(keys, key=lambda k: (-known.get(k, 0), k))
    if len(ranked) < 2:
        return SignalStatus(name=signal.name, level="Ok", value="0", samples=rows)
    expected = references.predictions(lambda found: _binned(found, ranked))
    reference = expected.newest
    now = _binned(counts.newest.predictions, ranked)
    noise = jensen_shannon_noise(rows, reference.sum(), reference.size)
    raw = float(jensen_shannon(now, reference))
    distance = math.sqrt(max(0.0, raw**2 - noise**2))

    def weighed(bound: float) -> bool:
        slots = [[_binned(c.predictions, ranked) for c in window] for window in counts.slots]
        clustered = clustering(slots)
        series = [_binned(c.predictions, ranked) for c in counts.all]
        each = expected.each(len(series))
        detector = DriftDetector(
            reference.size,
            max(js_tolerance_to_eps(bound), clustered * expected.radius(each, budget.chance)),
            clustered,
            ordered=False,
            special=0,
            n_ref=int(expected.whole.sum()),
        )
        return alarms(detector, series, each, budget.threshold)

    message = (
        f"The predictions are {distance:.3f} (Jensen-Shannon distance) from the reference, "
        f"on {rows} rows."
    )
    return SignalStatus(
        name=signal.name,
        level=level(signal, distance, weighed),
        value=f"{distance:.3f}",
        samples=rows,
        message=message,
    )


def _binned(predictions: Mapping[str, int], ranked: Sequence[str]) -> Floats:
    """Rows by class; the rarest classes, by the reference, are one where there are many."""
    named, rest = ranked[:PREDICTION_BINS], ranked[PREDICTION_BINS:]
    bins = [predictions.get(key, 0) for key in named]
    if rest:
        bins.append(sum(predictions.get(key, 0) for key in rest))
    return np.array(bins, dtype=np.float64)
