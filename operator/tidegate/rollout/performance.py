"""Performance: the stable revision's accuracy, by the labels that came back."""

import math
from collections.abc import Sequence

from tidegate.api.v1alpha1.drift_policy import Signal, SignalStatus
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import Labels
from tidegate.rollout.series import unknown
from tidegate.statistics.drift import RateDetector

MIN_LABELLED = 100
Z95 = 1.96


def performance(
    signal: Signal, profile: Profile, labels: Sequence[Labels], threshold: float
) -> SignalStatus:
    """The signal by the labels of the newest windows, oldest first."""
    needed = signal.min_labelled or MIN_LABELLED
    # Labels come late: the newest window may have only the first few of its own.
    newest = next((n for n in reversed(labels) if n.labelled >= needed), None)
    if newest is None:
        most = max(n.labelled for n in labels)
        return unknown(signal, most, f"{most} of {needed} labels in a window so far.")
    bound = _smallest_accuracy(signal, profile)
    if bound is None:
        message = "maxRelativeDrop needs an accuracy in the reference profile, and it has none."
        return unknown(signal, newest.labelled, message)
    accuracy = 1 - newest.wrong / newest.labelled
    low, high = wilson(newest.labelled - newest.wrong, newest.labelled)
    detector = RateDetector(p0=1 - bound, tol=0.0)
    for window in labels:
        detector.update(window.wrong, window.labelled)
    below = accuracy < bound and float(detector.log_m()) >= threshold
    message = (
        f"Accuracy is {accuracy:.3f} (95 % interval {low:.3f} to {high:.3f}) on "
        f"{newest.labelled} labels; the policy wants at least {bound:.3f}."
    )
    return SignalStatus(
        name=signal.name,
        level="Breach" if below else "Ok",
        value=f"{accuracy:.3f}",
        lower=f"{low:.3f}",
        upper=f"{high:.3f}",
        samples=newest.labelled,
        message=message,
    )


def _smallest_accuracy(signal: Signal, profile: Profile) -> float | None:
    """The accuracy that the policy asks for: the stricter one of `min` and `maxRelativeDrop`."""
    bounds = [float(signal.min)] if signal.min is not None else []
    reference = profile.metrics.get("accuracy")
    if signal.max_relative_drop is not None and reference is not None:
        bounds.append(reference * (1 - float(signal.max_relative_drop)))
    # A rate that the detector can weigh is neither 0 nor 1.
    return min(max(*bounds, 1e-6), 1 - 1e-6) if bounds else None


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a rate. Source: E. B. Wilson, JASA 22 (1927).

    >>> [round(x, 3) for x in wilson(90, 100)]
    [0.826, 0.945]
    """
    rate, z2 = right / total, Z95**2
    middle = (rate + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 * math.sqrt(rate * (1 - rate) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(0.0, middle - half), min(1.0, middle + half)
