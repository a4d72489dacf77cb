"""When each object was looked at, by two clocks: so a clock that was set is told from time."""

from collections.abc import Callable
from datetime import datetime, timedelta

from tidegate.api.meta import ObjectKey
from tidegate.traffic.signing import CLOCK_SKEW_SECONDS

LEAST = timedelta(seconds=CLOCK_SKEW_SECONDS)  # less is the work of every NTP


class Looks:
    """The last look at each object that was carried out to its end."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic`: a clock that nobody sets, in seconds."""
        self._monotonic = monotonic
        self._begun: dict[ObjectKey, tuple[datetime, float]] = {}
        self._last: dict[ObjectKey, tuple[datetime, float]] = {}

    def begin(self, key: ObjectKey, now: datetime) -> timedelta:
        """Begin a look; by how much the clock was set since the last one, zero if hardly."""
        begun = self._begun[key] = now, self._monotonic()
        then, ticks = self._last.get(key, begun)
        step = now - then - timedelta(seconds=begun[1] - ticks)
        return step if abs(step) > LEAST else timedelta()

    def done(self, key: ObjectKey) -> None:
        """That look is carried out: what it knew of the clock is in the status."""
        self._last[key] = self._begun.pop(key)

    def forget(self, key: ObjectKey) -> None:
        """The object is gone."""
        self._begun.pop(key, None)
        self._last.pop(key, None)
