"""Data quality: values that go missing, lie outside of what training saw, or are no values at all.

These are rates, each with a detector of its own: a source that begins to send nothing moves a
distance over all bins much less than it moves the share of the missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tidegate.api.v1alpha1.drift_policy import FeatureValue, Signal, SignalStatus
from tidegate.evidence.encode import INVALID, MISSING, OUTSIDE, SPECIAL_BINS
from tidegate.evidence.profile import Category, Profile
from tidegate.evidence.windows import Counts
from tidegate.rollout.data_drift import TOP_FEATURES, comparable, of_feature
from tidegate.rollout.series import SEVERITY, Budget, Level, Series, clustering, level
from tidegate.statistics.drift import RateDetector

KINDS = (MISSING, OUTSIDE, INVALID)


@dataclass(frozen=True, slots=True)
class Rate:
    """The share of one kind of special values of one feature."""

    feature: str
    what: str
    share: float
    reference: float
    level: Level


def data_quality(
    signal: Signal, profile: Profile, counts: Series[Counts], budget: Budget
) -> SignalStatus:
    """The rates that have risen by more than the bound, with evidence."""
    features = comparable(signal, profile, counts, budget)
    if isinstance(features, SignalStatus):
        return features
    rates = sorted(
        (rate for i in features for rate in _rates(signal, profile, i, counts, budget)),
        key=lambda r: (-SEVERITY[r.level], r.reference - r.share),
    )
    worst, risen = rates[0], [r for r in rates if r.share > r.reference]
    message = (
        f"{worst.feature}: {worst.share:.1%} {worst.what}, in the reference "
        f"{worst.reference:.1%}, on {counts.newest.rows} rows."
    )
    return SignalStatus(
        name=signal.name,
        level=worst.level,
        value=f"{max(0.0, worst.share - worst.reference):.3f}",
        samples=counts.newest.rows,
        message=message,
        top=tuple(
            FeatureValue(feature=f"{r.feature} {r.what}", value=f"{r.share - r.reference:.3f}")
            for r in risen[:TOP_FEATURES]
        ),
    )


def _rates(
    signal: Signal, profile: Profile, index: int, counts: Series[Counts], budget: Budget
) -> Iterator[Rate]:
    feature = profile.features[index]
    bins, rows = len(feature.counts), sum(feature.counts)
    outside = "never seen" if isinstance(feature, Category) else "outside the reference"
    names = {MISSING: "missing", OUTSIDE: outside, INVALID: "invalid"}
    now = of_feature(counts.newest, index)
    for kind in KINDS:
        place = bins - SPECIAL_BINS + kind
        share, before = float(now[place] / max(now.sum(), 1.0)), feature.counts[place] / rows

        def alarms(bound: float, place: int = place, before: float = before) -> bool:
            rows_of = [[of_feature(s, index, bins) for s in w] for w in counts.slots]
            clustered = clustering(
                [[np.array([s[place], s.sum() - s[place]]) for s in w] for w in rows_of]
            )
            if before + bound >= 1:
                return False  # no share can rise by so much
            detector = RateDetector(before, tol=bound, n_ref=rows, D=clustered)
            for window in (of_feature(c, index, bins) for c in counts.all):
                detector.update(window[place], window.sum())
            return float(detector.log_m()) >= budget.threshold

        yield Rate(feature.name, names[kind], share, before, level(signal, share - before, alarms))
