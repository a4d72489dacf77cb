"""Performance: labels of one session are alike, and count as what they are."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from tidegate.api.v1alpha1.drift_policy import Signal, SignalStatus
from tidegate.evidence.profile import Predictions, Profile
from tidegate.evidence.windows import BlockKey, Labels
from tidegate.rollout.performance import performance
from tidegate.rollout.series import WINDOWS_WEIGHED, Series
from tidegate.statistics.drift import alarm_threshold

PROFILE = Profile(
    "classification", 0, (), Predictions("category", ("no", "yes"), counts={}), {"accuracy": 0.95}
)
SIGNAL = Signal(name="accuracy", type="Performance", min="0.9")
SIZE = 60  # slots: ten minutes
SLOTS = WINDOWS_WEIGHED * SIZE
THRESHOLD = alarm_threshold(1, 30 * 24 * 6)  # a false alarm in thirty days


def told(rng: np.random.Generator, wrong: float, *, alike: int, since: int = 0) -> Series[Labels]:
    """Two hours in which ten answers in a slot are told right or wrong, `alike` at a time."""
    rates = np.where(np.arange(SLOTS) < since, 0.05, wrong)
    found = alike * rng.binomial(10 // alike, rates)
    blocks = {BlockKey(i, 1, "m-old"): Labels(10, int(k)) for i, k in enumerate(found)}
    return Series(blocks, "m-old", SIZE, WINDOWS_WEIGHED - 1, Labels())


def judged(labels: Series[Labels], session: int | None = None) -> SignalStatus:
    return performance(SIGNAL, PROFILE, labels, THRESHOLD, session)


def alarms(wrong: float, *, alike: int, session: int | None = None, since: int = 0) -> int:
    """Of a hundred Models."""
    rng = np.random.default_rng(3)
    each = (told(rng, wrong, alike=alike, since=since) for _ in range(100))
    return sum(judged(labels, session).level == "Breach" for labels in each)


@pytest.mark.parametrize("session", [None, 10])
def test_sessions_at_the_bound_keep_the_budget(session: int | None) -> None:
    # As if they were independent, the same labels alarm often: it is no easy world.
    assert alarms(0.1, alike=10, session=1) > 10
    assert alarms(0.1, alike=10, session=session) == 0


def test_independent_labels_lose_little_to_the_discount() -> None:
    half_an_hour = SLOTS - 3 * SIZE
    known = alarms(0.15, alike=1, session=1, since=half_an_hour)
    assert known > 90
    assert alarms(0.15, alike=1, since=half_an_hour) > known - 10


def test_sessions_that_are_wrong_far_too_often_are_found() -> None:
    assert alarms(0.3, alike=10) == 100


def test_the_interval_is_as_wide_as_sessions_make_it() -> None:
    rng = np.random.default_rng(4)
    independent, sessions = (judged(told(rng, 0.05, alike=n)) for n in (1, 10))
    assert _width(sessions) == pytest.approx(math.sqrt(10) * _width(independent), rel=0.4)


def test_the_order_in_which_pods_report_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    wrong = list(enumerate(rng.binomial(10, 0.16, SLOTS)))

    def series(order: Iterator[tuple[int, int]]) -> Series[Labels]:
        blocks = {BlockKey(i, 1, "m-old"): Labels(10, int(k)) for i, k in order}
        return Series(blocks, "m-old", SIZE, WINDOWS_WEIGHED - 1, Labels())

    assert judged(series(iter(wrong))) == judged(series(reversed(wrong)))


def _width(signal: SignalStatus) -> float:
    return float(signal.upper or 0) - float(signal.lower or 0)
