"""Seasons: the hours that windows are compared with, and how they are learned from traffic.

Hours are learned in a bounded time at the beginning and stay as they are from then on, and only
the shape of the day or week is taken from them (`statistics.season`): a drift that lasts, that is
slow, or that began before, is not learned away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import numpy as np

from tidegate.api.meta import timestamp
from tidegate.api.names import short_hash
from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec, SeasonStatus
from tidegate.evidence.hours import (
    CELL_LIMIT,
    DAY,
    HOUR_SLOTS,
    WEEK,
    Cycle,
    Hours,
    HourTable,
    empty_table,
    fits,
    hour_of,
)
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import SLOT_SECONDS, Counts
from tidegate.rollout.drift import Current
from tidegate.rollout.lost import lost_values

FORMAT = 1
CYCLES: Mapping[str, Cycle] = {"HourOfDay": DAY, "HourOfWeek": WEEK}
# As many as show which of the differences of two hours come back.
CYCLES_LEARNED: Mapping[Cycle, int] = {DAY: 7, WEEK: 4}


@dataclass(frozen=True, slots=True)
class Learned:
    """What was counted of a Model's stable revision, hour by hour."""

    layout: str
    """The digest of the bins that were counted with: other ones can't be added to these."""
    since: int
    """The first slot of the first hour."""
    through: int
    """The last slot of the newest hour: an hour is counted once."""
    hours: Hours

    @property
    def until(self) -> int:
        """The slot with which learning ends."""
        return self.since + CYCLES_LEARNED[self.hours.cycle] * self.hours.cycle * HOUR_SLOTS

    def to_json(self) -> dict[str, Any]:
        return {
            "version": FORMAT,
            "layout": self.layout,
            "since": self.since,
            "through": self.through,
            "hours": self.hours.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Learned":
        """Raise KeyError, TypeError or ValueError where `data` is nothing that was learned."""
        if data["version"] != FORMAT:
            raise ValueError(f"version {data['version']} of learned hours is not known")
        hours = Hours.from_json(data["hours"])
        return cls(str(data["layout"]), int(data["since"]), int(data["through"]), hours)


def learn(spec: DriftPolicySpec, current: Current, learned: Learned | None) -> Learned | None:
    """What is known with the hour that ended last; None if that brings nothing new.

    Values that have gone missing are a fault and no season: such an hour is left out.
    """
    cycle, profile = CYCLES.get(spec.reference.seasonality), current.profile
    end = (current.closed_through + 1) // HOUR_SLOTS * HOUR_SLOTS
    if cycle is None or _of_profile(profile, cycle) or (learned and learned.through + 1 >= end):
        return None
    if not fits(cycle, _columns(profile)):
        return None
    layout, hour = _layout(profile), hour_of(end - 1, cycle)
    known = learned if learned and _is_of(learned, layout, cycle) else None
    if known and end > known.until:
        return None
    before = _table(known) if known else None
    counts = _counted(current, end - HOUR_SLOTS, end)
    if not counts.rows or lost_values(profile, [counts], spec.window.min_samples):
        return None
    table = before or empty_table(cycle, profile.bins)
    answers = {k: counts.predictions.get(k, 0) for k in profile.predictions.counts}
    features = np.fromiter(chain.from_iterable(counts.features), np.int64)
    table = table.plus(hour, features if features.size else 0, answers)
    since = known.since if known and before else end - HOUR_SLOTS
    return Learned(layout, since, end - 1, Hours.of(table))


def season_of(
    spec: DriftPolicySpec, current: Current, learned: Learned | None
) -> tuple[Current, SeasonStatus | None]:
    """With the hours that the policy asks for, as far as they are known; and what is known."""
    cycle, profile = CYCLES.get(spec.reference.seasonality), current.profile
    if cycle is None:
        return current, None
    if profile.hours is not None and _of_profile(profile, cycle):
        hours = profile.hours.table().folded(cycle)
        told = SeasonStatus(
            source="Profile", known=hours.known, of=cycle, message="Hours of the training data."
        )
        return replace(current, hours=hours), told
    return _of_traffic(current, learned, cycle)


def _of_traffic(
    current: Current, learned: Learned | None, cycle: Cycle
) -> tuple[Current, SeasonStatus]:
    """What was learned; where that is not enough yet, the training data's hours, if it has some."""
    columns, layout = _columns(current.profile), _layout(current.profile)
    told = SeasonStatus(source="Traffic", known=0, of=cycle, provisional=True)
    trained = current.profile.hours.table() if current.profile.hours else None
    coarse = replace(current, hours=trained)
    if not fits(cycle, columns):
        message = (
            f"{columns} bins and predictions are too many to be learned for each of {cycle} "
            f"hours, at most {CELL_LIMIT // cycle}; {_compared(trained)}"
        )
        return coarse, told.model_copy(update={"provisional": False, "message": message})
    if learned is None or not _is_of(learned, layout, cycle):
        message = f"No hour is known yet; {_compared(trained)}"
        return coarse, told.model_copy(update={"message": message})
    table = _table(learned)
    if table is None:
        message = "What was learned can't be read; delete its ConfigMap to learn anew."
        return coarse, told.model_copy(update={"message": message})
    usable = table if _seen(learned) >= cycle else trained
    if usable is None and _seen(learned) >= DAY:
        usable = table.folded(DAY)
    since, until = _time(learned.since), _time(learned.until)
    update = {
        "known": table.known,
        "provisional": current.closed_through + 1 < learned.until,
        "message": f"Learned from the traffic since {since}, until {until}; {_compared(usable)}",
    }
    return replace(current, hours=usable), told.model_copy(update=update)


def _compared(hours: HourTable | None) -> str:
    """How windows are judged meanwhile, as the end of a sentence."""
    if hours is None:
        return "windows are compared with the whole reference."
    return f"windows are compared by the hours of the {'day' if hours.cycle == DAY else 'week'}."


def _seen(learned: Learned) -> int:
    """How many hours learning has lasted, up to the newest that is known."""
    return (learned.through + 1 - learned.since) // HOUR_SLOTS


def _time(slot: int) -> str:
    return timestamp(datetime.fromtimestamp(slot * SLOT_SECONDS, tz=UTC))


def _table(learned: Learned) -> HourTable | None:
    """The counts; None where somebody has damaged them."""
    try:
        return learned.hours.table()
    except ValueError:
        return None


def _of_profile(profile: Profile, cycle: Cycle) -> bool:
    return profile.hours is not None and profile.hours.cycle >= cycle


def _columns(profile: Profile) -> int:
    return profile.bins + len(profile.predictions.counts)


def _layout(profile: Profile) -> str:
    bins = [replace(feature, counts=()) for feature in profile.features]
    return short_hash(repr((bins, profile.predictions.edges)), 16)


def _is_of(learned: Learned, layout: str, cycle: Cycle) -> bool:
    return learned.layout == layout and learned.hours.cycle == cycle


def _counted(current: Current, start: int, end: int) -> Counts:
    """What the stable revision has counted in these slots, with the bins of its profile.

    Payloads that name no feature have answers all the same.
    """
    sizes = [len(f.counts) for f in current.profile.features]
    blocks = (
        counts
        for key, counts in current.windows.items()
        if key.revision == current.revision
        and start <= key.slot < end
        and [len(f) for f in counts.features] in ([], sizes)
    )
    return sum(blocks, Counts())
