"""Data drift: the stable revision's inputs against the reference profile, feature by feature."""

import math
from dataclasses import dataclass

import numpy as np

from tidegate.api.v1alpha1.drift_policy import FeatureValue, Signal, SignalStatus
from tidegate.evidence.encode import INVALID, MISSING, OUTSIDE, SPECIAL_BINS
from tidegate.evidence.profile import Category, Number, Profile
from tidegate.evidence.windows import Counts
from tidegate.rollout.references import Reference, References
from tidegate.rollout.series import (
    SEVERITY,
    Budget,
    Level,
    Series,
    alarms,
    clustering,
    level,
    too_few,
    unknown,
)
from tidegate.statistics.distance import (
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    psi_interval,
    psi_noise,
    psi_tolerance_to_eps,
    wasserstein,
)
from tidegate.statistics.drift import DriftDetector
from tidegate.statistics.floats import Floats

TOP_FEATURES = 5


@dataclass(frozen=True, slots=True)
class Moved:
    """How far a feature is from its reference, and whether that is drift."""

    psi: float
    """Without the noise that is to be expected of so many rows."""
    level: Level


def chosen(signal: Signal, profile: Profile) -> list[int]:
    """The indices of the features that a signal looks at."""
    wanted = signal.features
    return [
        i
        for i, f in enumerate(profile.features)
        if wanted is None
        or ((not wanted.include or f.name in wanted.include) and f.name not in wanted.exclude)
    ]


def comparable(
    signal: Signal, profile: Profile, counts: Series[Counts], budget: Budget
) -> list[int] | SignalStatus:
    """The features that can be compared; a signal that says why none can."""
    rows = counts.newest.rows
    if rows < budget.min_samples:
        return too_few(signal, rows, budget)
    features = [i for i in chosen(signal, profile) if any(profile.features[i].counts)]
    if not features:
        message = "The signal looks at no feature that has rows in the reference profile."
        return unknown(signal, rows, message)
    sizes = [len(f.counts) for f in profile.features]
    if [len(row) for row in counts.newest.features] != sizes:
        message = "What the pods count does not fit the features of the reference profile."
        return unknown(signal, rows, message)
    return features


def data_drift(
    signal: Signal,
    profile: Profile,
    counts: Series[Counts],
    references: References,
    budget: Budget,
) -> SignalStatus:
    """The features that have moved, by PSI, with evidence; those that moved most are shown."""
    features = comparable(signal, profile, counts, budget)
    if isinstance(features, SignalStatus):
        return features
    expected = {i: references.feature(i) for i in features}
    found = {
        i: _moved(signal, profile.features[i], i, counts, expected[i], budget) for i in features
    }
    needed = max(1, math.ceil(float(signal.share or 0) * len(features)))
    levels = sorted((m.level for m in found.values()), key=lambda x: -SEVERITY[x])
    top = sorted(found, key=lambda i: -found[i].psi)[:TOP_FEATURES]
    worst, most = profile.features[top[0]].name, found[top[0]].psi
    message = (
        f"{levels.count('Breach')} of {len(features)} features left the reference (PSI beyond "
        f"{signal.breach}); {worst} moved most, PSI {most:.2f}, on {counts.newest.rows} rows."
    )
    return SignalStatus(
        name=signal.name,
        level=levels[needed - 1],
        value=f"{most:.3f}",
        samples=counts.newest.rows,
        message=message,
        top=tuple(_shown(profile.features[i], found[i], i, counts, expected[i]) for i in top),
    )


def _moved(
    signal: Signal,
    feature: Number | Category,
    index: int,
    counts: Series[Counts],
    expected: Reference,
    budget: Budget,
) -> Moved:
    reference = expected.newest
    bins, now = reference.size, of_feature(counts.newest, index)
    noise = psi_noise(max(now.sum(), 1.0), max(reference.sum(), 1.0), bins)
    distance = max(0.0, float(psi(now, reference)) - noise)
    # A constant feature has no shape, yet its values can go missing or become others.
    special = SPECIAL_BINS if bins - SPECIAL_BINS >= 2 else 0

    def weighed(bound: float) -> bool:
        clustered = clustering([[of_feature(s, index, bins) for s in w] for w in counts.slots])
        series = [of_feature(c, index, bins) for c in counts.all]
        each = expected.each(len(series))
        detector = DriftDetector(
            bins,
            max(psi_tolerance_to_eps(bound), clustered * expected.radius(each, budget.chance)),
            clustered,
            ordered=isinstance(feature, Number) and special > 0,
            special=special,
            n_ref=int(expected.whole.sum()),
        )
        return alarms(detector, series, each, budget.threshold)

    return Moved(distance, level(signal, distance, weighed))


def of_feature(counts: Counts, index: int, bins: int = 0) -> Floats:
    """Rows by bin of a feature; none in a window without features, or one of other bins."""
    row = counts.features[index] if index < len(counts.features) else ()
    if bins and len(row) != bins:
        return np.zeros(bins)
    return np.array(row, dtype=np.float64)


def _shown(
    feature: Number | Category,
    moved: Moved,
    index: int,
    counts: Series[Counts],
    expected: Reference,
) -> FeatureValue:
    """The feature's distances, each in its own unit: effect sizes, which decide nothing."""
    reference, now = expected.newest, of_feature(counts.newest, index)
    slots = [of_feature(s, index, reference.size) for s in counts.slots[-1]]
    clustered = clustering([slots])
    rows = now.sum() / clustered
    low, high = psi_interval(float(psi(now, reference)), rows, reference.sum(), now.size)
    special = now[-SPECIAL_BINS:] / max(now.sum(), 1.0)
    regular, before = now[:-SPECIAL_BINS], reference[:-SPECIAL_BINS]
    ordered = isinstance(feature, Number) and regular.sum() > 0 and before.sum() > 0
    return FeatureValue(
        feature=feature.name,
        value=_text(moved.psi),
        lower=_text(low),
        upper=_text(high),
        samples=int(now.sum()),
        jensen_shannon=_text(jensen_shannon(now, reference)),
        kolmogorov_smirnov=_text(kolmogorov_smirnov(regular, before)) if ordered else None,
        wasserstein=_text(wasserstein(regular, before)) if ordered else None,
        missing=_text(special[MISSING]),
        outside=_text(special[OUTSIDE]),
        invalid=_text(special[INVALID]),
    )


def _text(value: float | Floats) -> str:
    return f"{float(value):.3f}"
