"""Trackers: one metric's evidence, slot by slot, from counts to e-values in the user's unit.

Each tracker compares the candidate with stable inside one block (slot and routing generation) at
a time, so that whatever moves both arms cancels. The tests behind them are anytime-valid.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import numpy as np
from typing_extensions import override

from tidegate.api.v1alpha1.model import Metric
from tidegate.evidence.latency import BINS
from tidegate.evidence.windows import Counts, Labels
from tidegate.statistics.difference import DifferenceTest
from tidegate.statistics.floats import Floats
from tidegate.statistics.latency import (
    bins_of_increase,
    decayed,
    increase_of_bins,
    latency_tables,
    quantile_bin,
)
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


class Tracker(ABC):
    """The evidence of one metric; it changes only by `fold`."""

    def __init__(self) -> None:
        self.samples = 0
        """Rows or requests of the candidate that were compared."""
        self.stable_samples = 0

    @abstractmethod
    def log_e_worse(self) -> float:
        """Evidence, in nats, that the candidate is worse than the tolerance allows."""

    @abstractmethod
    def log_e_good(self) -> float:
        """Evidence, in nats, that the candidate is not worse than the tolerance allows."""

    @abstractmethod
    def estimate(self, alpha: float) -> Estimate:
        """The difference, with an interval that holds at any time with probability 1 - alpha."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The JSON from which `restore` makes an equal tracker."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""

    def _counters(self) -> dict[str, Any]:
        return {"n1": self.samples, "n0": self.stable_samples}

    def _restore_counters(self, state: Mapping[str, Any]) -> None:
        self.samples, self.stable_samples = int(state["n1"]), int(state["n0"])


class CountTracker(Tracker):
    """A metric of what the windows count."""

    @abstractmethod
    def fold(self, candidate: Counts, stable: Counts) -> None:
        """Take in one block of both arms."""


class _Rates:
    """A rate against stable's, with the tolerance as a difference or as a ratio."""

    def __init__(self, absolute: str | None, relative: str | None) -> None:
        self.test: DifferenceTest | RatioTest
        if absolute is not None:
            self.test = DifferenceTest(tol=float(absolute), horizon=HORIZON_SLOTS)
        else:
            tolerance = float(relative or 0.0)
            self.test = RatioTest(tol=tolerance, margin=tolerance, horizon=HORIZON_SLOTS)

    def estimate(self, alpha: float) -> Estimate:
        value, (low, high) = self.test.estimate(), self.test.interval(alpha)
        if isinstance(self.test, DifferenceTest):
            return Estimate(value, low, high)
        return Estimate(None if value is None else value - 1, low - 1, high - 1)

    def restore(self, state: dict[str, Any]) -> None:
        self.test = type(self.test).from_state(state)


class ErrorTracker(CountTracker):
    """Requests that failed."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._rates = _Rates(metric.max_absolute_increase, metric.max_relative_increase)

    @override
    def fold(self, candidate: Counts, stable: Counts) -> None:
        self._rates.test.update(
            candidate.failed, candidate.requests, stable.failed, stable.requests
        )
        self.samples += candidate.requests
        self.stable_samples += stable.requests

    @override
    def log_e_worse(self) -> float:
        return self._rates.test.log_e_worse()

    @override
    def log_e_good(self) -> float:
        return self._rates.test.log_e_good()

    @override
    def estimate(self, alpha: float) -> Estimate:
        return self._rates.estimate(alpha)

    @override
    def state(self) -> dict[str, Any]:
        return {**self._counters(), "test": self._rates.test.to_state()}

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        self._restore_counters(state)
        self._rates.restore(state["test"])


class LabelTracker(Tracker):
    """Wrong answers among the labelled ones; shown as a difference of accuracy."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._rates = _Rates(metric.max_absolute_drop, None)

    def fold(self, candidate: Labels, stable: Labels) -> None:
        self._rates.test.update(candidate.wrong, candidate.labelled, stable.wrong, stable.labelled)
        self.samples += candidate.labelled
        self.stable_samples += stable.labelled

    @override
    def log_e_worse(self) -> float:
        return self._rates.test.log_e_worse()

    @override
    def log_e_good(self) -> float:
        return self._rates.test.log_e_good()

    @override
    def estimate(self, alpha: float) -> Estimate:
        wrong = self._rates.estimate(alpha)
        return Estimate(
            None if wrong.value is None else -wrong.value,
            None if wrong.upper is None else -wrong.upper,
            None if wrong.lower is None else -wrong.lower,
        )

    @override
    def state(self) -> dict[str, Any]:
        return {**self._counters(), "test": self._rates.test.to_state()}

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        self._restore_counters(state)
        self._rates.restore(state["test"])


class LatencyTracker(CountTracker):
    """A quantile of the seconds in the model, by requests beyond stable's quantile of the past."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._quantile = float(metric.quantile or "0.99")
        self._tolerated_bins = bins_of_increase(float(metric.max_relative_increase or "0"))
        # The tolerance is in the shifted threshold: what is tested is "no more beyond it".
        self._test = RatioTest(tol=0.0, margin=0.0, horizon=HORIZON_SLOTS)
        self._past = np.zeros(BINS)
        self._seen = np.zeros((2, BINS))  # candidate and stable, all slots, for the estimate

    @override
    def fold(self, candidate: Counts, stable: Counts) -> None:
        h1, h0 = _histogram(candidate.latency), _histogram(stable.latency)
        (table,) = latency_tables(h1, h0, self._past, (self._quantile,), self._tolerated_bins)
        self._test.update(*table)
        self._past = decayed(self._past, h0)
        if h1.sum() and h0.sum():
            self._seen += np.stack([h1, h0])
        self.samples += int(h1.sum())
        self.stable_samples += int(h0.sum())

    @override
    def log_e_worse(self) -> float:
        return self._test.log_e_worse()

    @override
    def log_e_good(self) -> float:
        return self._test.log_e_good()

    @override
    def estimate(self, alpha: float) -> Estimate:
        if not self._seen.sum(axis=1).all():
            return Estimate(None)
        bins = [quantile_bin(h, self._quantile) for h in self._seen]
        return Estimate(increase_of_bins(bins[0] - bins[1]))

    @override
    def state(self) -> dict[str, Any]:
        return {
            **self._counters(),
            "test": self._test.to_state(),
            "past": _sparse(self._past),
            "seen": [_sparse(h) for h in self._seen],
        }

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        self._restore_counters(state)
        self._test = RatioTest.from_state(state["test"])
        self._past = _histogram(state["past"])
        self._seen = np.stack([_histogram(h) for h in state["seen"]])


class ShiftTracker(CountTracker):
    """The predictions' distribution against stable's of the same minutes."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        tolerance = float(metric.max_distance or "0.1")
        self._test = ShiftTest(PREDICTION_BINS, tolerance, horizon=HORIZON_SLOTS)
        self._keys: list[str] = []

    @override
    def fold(self, candidate: Counts, stable: Counts) -> None:
        k1, k0 = self._binned(candidate.predictions), self._binned(stable.predictions)
        self._test.update(k1, k0)
        self.samples += int(k1.sum())
        self.stable_samples += int(k0.sum())

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
    def log_e_worse(self) -> float:
        return self._test.log_e_worse()

    @override
    def log_e_good(self) -> float:
        return self._test.log_e_good()

    @override
    def estimate(self, alpha: float) -> Estimate:
        return Estimate(self._test.estimate())

    @override
    def state(self) -> dict[str, Any]:
        return {
            **self._counters(),
            "test": self._test.to_state(),
            "keys": self._keys,
        }

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        self._restore_counters(state)
        self._test = ShiftTest.from_state(state["test"])
        self._keys = [str(k) for k in state["keys"]]


def tracker_of(metric: Metric) -> CountTracker | LabelTracker:
    """A fresh tracker for the metric's source."""
    source: Literal["ErrorRate", "LatencyQuantile", "PredictionShift", "LabelledAccuracy"]
    source = metric.source
    match source:
        case "ErrorRate":
            return ErrorTracker(metric)
        case "LatencyQuantile":
            return LatencyTracker(metric)
        case "PredictionShift":
            return ShiftTracker(metric)
        case "LabelledAccuracy":
            return LabelTracker(metric)
        case _:
            assert_never(source)


def tolerance_in_words(metric: Metric) -> str:
    """The tolerance of the metric, with its sign and unit."""
    if metric.max_absolute_increase is not None:
        return f"+{metric.max_absolute_increase}"
    if metric.max_relative_increase is not None:
        return f"+{float(metric.max_relative_increase):.0%}"
    if metric.max_absolute_drop is not None:
        return f"-{metric.max_absolute_drop}"
    return f"{metric.max_distance}"


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
