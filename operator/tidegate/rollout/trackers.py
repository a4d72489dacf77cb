"""Trackers: one metric's evidence, slot by slot, from counts to e-values in the user's unit.

Each tracker compares the candidate with stable inside one block (slot and routing generation) at
a time, so that whatever moves both arms cancels. The tests behind them are anytime-valid.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

import numpy as np
from typing_extensions import override

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.analysis import Metric
from tidegate.errors import TerminalError
from tidegate.evidence.latency import BINS
from tidegate.evidence.paired import compared, disagreed
from tidegate.evidence.values import Compared, question_of
from tidegate.evidence.windows import Counts, Labels
from tidegate.statistics.difference import DifferenceTest
from tidegate.statistics.floats import Floats
from tidegate.statistics.latency import (
    bins_of_increase,
    decayed,
    increase_of_bins,
    latency_tables,
)
from tidegate.statistics.mean import MeanTest
from tidegate.statistics.quantile import QuantileShift
from tidegate.statistics.rate import RateTest
from tidegate.statistics.ratio import RatioTest
from tidegate.statistics.shift import ShiftTest

PREDICTION_BINS = 12  # ten deciles of a score, or eleven labels and the rest
HORIZON_SLOTS = 720  # two hours: a regression that begins within them is found almost as fast


@dataclass(frozen=True, slots=True)
class Estimate:
    """How the candidate differs from stable, in the unit of the metric's tolerance."""

    value: float | None
    lower: float | None = None
    upper: float | None = None


class Test(Protocol):
    """What the tests behind the trackers have in common."""

    def log_e_worse(self) -> float: ...
    def log_e_good(self) -> float: ...
    def to_state(self) -> dict[str, Any]: ...
    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self: ...


T = TypeVar("T", bound=Test)


class Tracker(ABC, Generic[T]):
    """The evidence of one metric; it changes only by `fold`, which its subclasses have."""

    def __init__(self, test: T) -> None:
        self.test = test
        self.samples = 0
        """Rows or requests of the candidate that were compared."""
        self.stable_samples = 0
        self.events: tuple[int, int] | None = None
        """Bad ones among them, of candidate and stable; None for a metric that counts none."""

    @abstractmethod
    def estimate(self, alpha: float) -> Estimate:
        """The difference, with an interval that holds at any time with probability 1 - alpha."""

    def state(self) -> dict[str, Any]:
        """The JSON from which `restore` makes an equal tracker."""
        counted = {"n1": self.samples, "n0": self.stable_samples, "k": self.events}
        return {**counted, "test": self.test.to_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.samples, self.stable_samples = int(state["n1"]), int(state["n0"])
        events = state.get("k")  # absent from what older versions have written
        self.events = None if events is None else (int(events[0]), int(events[1]))
        self.test = type(self.test).from_state(state["test"])

    def _count(self, candidate: float, stable: float) -> None:
        self.samples += int(candidate)
        self.stable_samples += int(stable)

    def _count_events(self, candidate: int, stable: int) -> None:
        before = self.events or (0, 0)
        self.events = before[0] + candidate, before[1] + stable


class CountTracker(Tracker[T]):
    """A metric of what the windows count."""

    @abstractmethod
    def fold(self, candidate: Counts, stable: Counts) -> None:
        """Take in one block of both arms."""


class ErrorTracker(CountTracker[DifferenceTest | RatioTest]):
    """Requests that failed, as a difference of rates or, with a relative tolerance, as a ratio."""

    def __init__(self, metric: Metric, session: int | None) -> None:
        if metric.max_absolute_increase is not None:
            super().__init__(_difference(metric.max_absolute_increase, session))
        else:
            super().__init__(_ratio(float(metric.max_relative_increase or 0.0), session))

    @override
    def fold(self, candidate: Counts, stable: Counts) -> None:
        self.test.update(candidate.failed, candidate.requests, stable.failed, stable.requests)
        self._count(candidate.requests, stable.requests)
        self._count_events(candidate.failed, stable.failed)

    @override
    def estimate(self, alpha: float) -> Estimate:
        value, (low, high) = self.test.estimate(), self.test.interval(alpha)
        none = 0.0 if isinstance(self.test, DifferenceTest) else 1.0  # what no change looks like
        return Estimate(None if value is None else value - none, low - none, high - none)


class LabelTracker(Tracker[DifferenceTest]):
    """Wrong answers among the labelled ones; shown as a difference of accuracy."""

    def __init__(self, metric: Metric, session: int | None) -> None:
        super().__init__(_difference(metric.max_absolute_drop or "0.02", session))

    def fold(self, candidate: Labels, stable: Labels) -> None:
        """Take in the labels of one block of both arms."""
        self.test.update(candidate.wrong, candidate.labelled, stable.wrong, stable.labelled)
        self._count(candidate.labelled, stable.labelled)
        self._count_events(candidate.wrong, stable.wrong)

    @override
    def estimate(self, alpha: float) -> Estimate:
        wrong, (low, high) = self.test.estimate(), self.test.interval(alpha)
        return Estimate(None if wrong is None else -wrong, -high, -low)


class LatencyTracker(CountTracker[RatioTest]):
    """A quantile of the seconds in the model, by requests beyond stable's quantile of the past."""

    def __init__(self, metric: Metric, session: int | None) -> None:
        # The tolerance is in the shifted threshold: what is tested is "no more beyond it".
        super().__init__(_ratio(0.0, session))
        self._quantile = float(metric.quantile or "0.95")
        self._tolerated_bins = bins_of_increase(float(metric.max_relative_increase or "0"))
        self._past = np.zeros(BINS)
        self._shift = QuantileShift()

    @override
    def fold(self, candidate: Counts, stable: Counts) -> None:
        h1, h0 = _histogram(candidate.latency), _histogram(stable.latency)
        (table,) = latency_tables(h1, h0, self._past, (self._quantile,), self._tolerated_bins)
        self._shift.update(h1, h0, self._past, self._quantile)
        self.test.update(*table)
        self._past = decayed(self._past, h0)
        self._count(h1.sum(), h0.sum())
        self._count_events(int(table[0]), int(table[2]))

    @override
    def estimate(self, alpha: float) -> Estimate:
        shift = self._shift.estimate()
        value = None if shift is None else increase_of_bins(shift)
        _, phi = self.test.phi()
        return Estimate(value, *map(increase_of_bins, self._shift.interval(alpha, phi)))

    @override
    def state(self) -> dict[str, Any]:
        past = _sparse(self._past)
        return {**super().state(), "past": past, "shift": self._shift.to_state()}

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._past = _histogram(state["past"])
        self._shift = QuantileShift.from_state(state["shift"])


class ShiftTracker(CountTracker[ShiftTest]):
    """The predictions' distribution against stable's of the same minutes."""

    def __init__(self, metric: Metric, session: int | None) -> None:
        tolerance, phi = float(metric.max_distance or "0.1"), _phi(session)
        super().__init__(
            ShiftTest(PREDICTION_BINS, tolerance, horizon=HORIZON_SLOTS, dispersion=phi)
        )
        self._keys: list[str] = []

    @override
    def fold(self, candidate: Counts, stable: Counts) -> None:
        k1, k0 = self._binned(candidate.predictions), self._binned(stable.predictions)
        self.test.update(k1, k0)
        self._count(k1.sum(), k0.sum())

    def _binned(self, predictions: Mapping[str, int]) -> Floats:
        """Labels get bins in the order in which they are met; the last bin takes what is left."""
        counts = np.zeros(PREDICTION_BINS)
        for key in sorted(predictions):
            if key not in self._keys and len(self._keys) < PREDICTION_BINS - 1:
                self._keys.append(key)
            index = self._keys.index(key) if key in self._keys else PREDICTION_BINS - 1
            counts[index] += predictions[key]
        return counts

    @override
    def estimate(self, alpha: float) -> Estimate:
        return Estimate(self.test.estimate())

    @override
    def state(self) -> dict[str, Any]:
        return {**super().state(), "keys": self._keys}

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._keys = [str(k) for k in state["keys"]]


class PairTracker(CountTracker[RateTest]):
    """Requests that candidate and stable answered differently, of those that both were asked."""

    def __init__(self, metric: Metric, session: int | None) -> None:
        tolerance, phi = float(metric.max_rate or "0.1"), _phi(session)
        super().__init__(RateTest(tolerance, horizon=HORIZON_SLOTS, dispersion=phi))

    @override
    def fold(self, candidate: Counts, stable: Counts) -> None:
        pairs = compared(candidate.pairs)
        self.test.update(disagreed(candidate.pairs), pairs)
        self._count(pairs, pairs)

    @override
    def estimate(self, alpha: float) -> Estimate:
        return Estimate(self.test.estimate(), *self.test.interval(alpha))


class ValueTracker(Tracker[MeanTest]):
    """What Prometheus says of both revisions, window by window."""

    def __init__(self, metric: Metric, session: int | None) -> None:
        question, between = question_of(metric), metric.range
        if question is None or between is None:
            raise ValueError("Prometheus takes query and range")
        rise = metric.max_relative_increase or metric.max_absolute_increase
        fall = metric.max_relative_drop or metric.max_absolute_drop
        test = MeanTest(
            float(rise) if rise is not None else -float(fall or 0),
            float(between.min),
            float(between.max),
            relative=(metric.max_relative_increase or metric.max_relative_drop) is not None,
            horizon=max(1, HORIZON_SLOTS // question.slots),
            # No longer than this can a session have a part in the values of one arm.
            dispersion=float(session or 1),
        )
        super().__init__(test)
        self.missing = 0
        """Windows in which both answered requests, and of one there is no value."""

    def fold(self, window: Compared) -> None:
        """Take in a window; what has no value is no evidence."""
        if window.candidate is None or window.stable is None:
            self.missing += 1
            return
        self.test.update(window.candidate, window.stable)
        self._count(window.requests, window.stable_requests)

    @override
    def estimate(self, alpha: float) -> Estimate:
        return Estimate(self.test.estimate(), *self.test.interval(alpha))

    @override
    def state(self) -> dict[str, Any]:
        return {**super().state(), "missing": self.missing}

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.missing = int(state["missing"])


AnyCountTracker = ErrorTracker | LatencyTracker | ShiftTracker | PairTracker
AnyTracker = AnyCountTracker | LabelTracker | ValueTracker


def tracker_of(metric: Metric, session: int | None = None) -> AnyTracker:
    """A fresh tracker; TerminalError(InvalidSpec) for a tolerance that no test can have.

    `session`: how many requests share their arm, at most; None where each one is drawn.
    """
    try:
        return _TRACKERS[metric.source](metric, session)
    except ValueError as error:
        message = f"spec.delivery.analysis.metrics, {metric.name}: {error}"
        raise TerminalError(Reason.INVALID_SPEC, message) from error


def _difference(tolerance: str, session: int | None) -> DifferenceTest:
    phi = _phi(session)
    return DifferenceTest(tol=float(tolerance), horizon=HORIZON_SLOTS, dispersion=phi)


def _ratio(tolerance: float, session: int | None) -> RatioTest:
    phi = _phi(session)
    return RatioTest(tolerance, margin=tolerance, horizon=HORIZON_SLOTS, dispersion=phi)


def _phi(session: int | None) -> float | Literal["auto"]:
    """What divides the evidence: the known length of the sessions, or an estimate."""
    return "auto" if session is None else float(session)


_TRACKERS: Mapping[str, Callable[[Metric, int | None], AnyTracker]] = {
    "ErrorRate": ErrorTracker,
    "LatencyQuantile": LatencyTracker,
    "PredictionShift": ShiftTracker,
    "LabelledAccuracy": LabelTracker,
    "PairedDisagreement": PairTracker,
    "Prometheus": ValueTracker,
}


def tolerance_in_words(metric: Metric) -> str:
    """The tolerance of the metric, with its sign and unit."""
    if metric.max_absolute_increase is not None:
        return f"+{metric.max_absolute_increase}"
    if metric.max_relative_increase is not None:
        return f"+{float(metric.max_relative_increase):.0%}"
    if metric.max_absolute_drop is not None:
        return f"-{metric.max_absolute_drop}"
    if metric.max_relative_drop is not None:
        return f"-{float(metric.max_relative_drop):.0%}"
    return f"{metric.max_rate or metric.max_distance}"


def _histogram(sparse: Mapping[str, float]) -> Floats:
    """A dense latency histogram of one that is keyed by the bin's index."""
    dense = np.zeros(BINS)
    for index, count in sparse.items():
        dense[int(index)] = count
    return dense


def _sparse(dense: Floats) -> dict[str, float]:
    return {str(i): float(dense[i]) for i in np.flatnonzero(dense)}


def capped(log_e: float) -> str:
    """An e-value for people: how many times likelier, at most 1e6.

    >>> capped(math.log(42.0)), capped(1e9), capped(-3.0)
    ('42', '1000000', '0.05')
    """
    value = math.exp(min(log_e, math.log(1e6)))
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
