"""Performance: the stable revision's accuracy, by the labels that came back.

The answers of one session or one batch are right or wrong together. What a slot says is divided by
how many share their fate: the known length of the sessions, or an estimate from earlier slots.
"""

import math
from collections.abc import Iterable

from tidegate.api.v1alpha1.drift_policy import Signal, SignalStatus
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import Labels
from tidegate.rollout.series import Series, unknown
from tidegate.statistics.dispersion import Dispersion
from tidegate.statistics.drift import RateDetector

MIN_LABELLED = 100
Z95 = 1.96


def performance(
    signal: Signal,
    profile: Profile,
    labels: Series[Labels],
    threshold: float,
    session: int | None = None,
) -> SignalStatus:
    """The signal by the labels of the newest windows.

    `session`: how many requests share their fate, at most; None to estimate it.
    """
    needed = signal.min_labelled or MIN_LABELLED
    # Labels come late: the newest window may have only the first few of its own.
    told = list(zip(labels.all, labels.in_order, strict=True))
    newest, slots = next((w for w in reversed(told) if w[0].labelled >= needed), (None, []))
    if newest is None:
        most = max(n.labelled for n in labels.all)
        return unknown(signal, most, f"{most} of {needed} labels in a window so far.")
    bound = _smallest_accuracy(signal, profile)
    if bound is None:
        message = "maxRelativeDrop needs an accuracy in the reference profile, and it has none."
        return unknown(signal, newest.labelled, message)
    accuracy = 1 - newest.wrong / newest.labelled
    alike = _alike(slots, session)
    low, high = wilson((newest.labelled - newest.wrong) / alike, newest.labelled / alike)
    below = accuracy < bound and _evidence(labels, bound, session) >= threshold
    message = (
        f"Accuracy is {accuracy:.3f} (95 % interval {low:.3f} to {high:.3f}) on "
        f"{newest.labelled} labels; the policy wants at least {bound:.3f}."
    )
    return judged(signal, accuracy, (low, high), newest.labelled, message, below=below)


def judged(
    signal: Signal,
    value: float,
    interval: tuple[float, float],
    samples: int,
    message: str,
    *,
    below: bool,
) -> SignalStatus:
    """A signal that has labels enough to go by."""
    low, high = interval
    return SignalStatus(
        name=signal.name,
        level="Breach" if below else "Ok",
        value=f"{value:.3f}",
        lower=f"{low:.3f}",
        upper=f"{high:.3f}",
        samples=samples,
        message=message,
    )


def _evidence(labels: Series[Labels], bound: float, session: int | None) -> float:
    """That more answers are wrong than the bound allows, in nats."""
    detector, clusters = RateDetector(p0=1 - bound, tol=0.0), Dispersion()
    for window in labels.in_order:
        wrong = labelled = 0.0
        for slot in window:
            # Known before the slot: the detector begins anew, and forgets no slot's own divisor.
            alike = session or max(1.0, min(clusters.of_harm(), slot.labelled))
            wrong, labelled = wrong + slot.wrong / alike, labelled + slot.labelled / alike
            _observe(clusters, slot)
        detector.update(wrong, labelled)
    return float(detector.log_m())


def _alike(slots: Iterable[Labels], session: int | None) -> float:
    """How many labels count as one in the interval that is shown."""
    clusters = Dispersion()
    for slot in slots:
        _observe(clusters, slot)
    return session or clusters.of_safety()


def _observe(clusters: Dispersion, slot: Labels) -> None:
    clusters.observe((slot.wrong, slot.labelled - slot.wrong))


def _smallest_accuracy(signal: Signal, profile: Profile) -> float | None:
    """The accuracy that the policy asks for: the stricter one of `min` and `maxRelativeDrop`."""
    bounds = [float(signal.min)] if signal.min is not None else []
    reference = profile.metrics.get("accuracy")
    if signal.max_relative_drop is not None and reference is not None:
        bounds.append(reference * (1 - float(signal.max_relative_drop)))
    # A rate that the detector can weigh is neither 0 nor 1.
    return min(max(*bounds, 1e-6), 1 - 1e-6) if bounds else None


def wilson(right: float, total: float) -> tuple[float, float]:
    """The 95 % interval of a rate. Source: E. B. Wilson, JASA 22 (1927).

    >>> [round(x, 3) for x in wilson(90, 100)]
    [0.826, 0.945]
    """
    rate, z2 = right / total, Z95**2
    middle = (rate + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 * math.sqrt(rate * (1 - rate) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(0.0, middle - half), min(1.0, middle + half)
