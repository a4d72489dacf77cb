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
        self._last: dict[ObjectKey, tuple[datetime, float]] = {}

    def stepped(self, key: ObjectKey, now: datetime) -> timedelta:
        """By how much the clock that says `now` was set since the last look; 0 if hardly."""
        if key not in self._last:
            return timedelta()
        then, ticks = self._last[key]
        step = now - then - timedelta(seconds=self._monotonic() - ticks)
        return step if abs(step) > LEAST else timedelta()

    def note(self, key: ObjectKey, now: datetime) -> None:
        """This look is done: what it knew of the clock is in the status."""
        self._last[key] = now, self._monotonic()

    def forget(self, key: ObjectKey) -> None:
        """The object is gone."""
        self._last.pop(key, None)
