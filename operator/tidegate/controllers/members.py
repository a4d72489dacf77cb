"""What each pod of a Model has reported, and what all of them have counted together.

What a pod reports is kept per pod and block and *replaced* when it is reported again, so neither
the order of the reports nor their repetition matters, and nothing is counted twice.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import Generic, TypeVar

from tidegate.evidence.windows import SLOT_SECONDS, BlockKey, Counts, Labels, Report
from tidegate.traffic.signing import CLOCK_SKEW_SECONDS

T = TypeVar("T")

SKEW_STEP_SECONDS = 5.0  # the date of an answer tells seconds, and answers take their time
SET_BACK_SLOTS = CLOCK_SKEW_SECONDS // SLOT_SECONDS


class Member:
    """What one pod has reported."""

    def __init__(self, since: float) -> None:
        self.windows: dict[BlockKey, Counts] = {}
        self.labels: dict[BlockKey, Labels] = {}
        self.closed_through: int | None = None
        self.labels_closed_through: int | None = None
        self.generation: int | None = None
        self.heard_at = since
        self.answers: bool | None = None
        """Whether it answered when it was last asked; None before."""
        self.skew: float | None = None
        """By how much its clock is ahead, while it is left out for that."""
        self.has_no_profile = False
        """Whether it was asked for its profile and had none that can be read."""
        self.told = 0
        """Requests in all windows that it has told of."""
        self.lost = 0
        """Requests that the pod has counted but could not tell of, since it was heard first."""
        self.unheard = 0
        """Requests of which nobody wants to hear while its clock is wrong."""
        self._counted: int | None = None

    def leave_out(self, seconds: float, report: Report | None) -> None:
        """Book nothing of a pod whose clock is ahead by so much, but how many requests that are."""
        # What stands in a status must not change with each second of drift.
        if self.skew is None or abs(seconds - self.skew) > SKEW_STEP_SECONDS:
            self.skew = seconds
        if report is None:
            return
        self.generation = report.generation
        if self._counted is None:  # what it has counted before its oldest window nobody can tell
            self._counted = report.counted - sum(c.requests for c in report.windows.values())
        self.unheard = max(0, report.counted - self._counted)

    def take(self, report: Report) -> None:
        """Book a report."""
        self._miss(report)
        self.skew, self.unheard = None, 0
        for key, counts in report.windows.items():
            if key.slot <= report.closed_through:
                known = self.windows.get(key)
                self.told += counts.requests - (known.requests if known else 0)
                self.windows[key] = counts
        for key, labels in report.labels.items():
            # Labels of an open slot only grow: the larger count is the newer one.
            if key not in self.labels or labels.labelled > self.labels[key].labelled:
                self.labels[key] = labels
        self.closed_through = max(self.closed_through or 0, report.closed_through)
        self.labels_closed_through = max(
            self.labels_closed_through or 0, report.labels_closed_through
        )
        self.generation = report.generation

    def _miss(self, report: Report) -> None:
        """Find out what is missing: pods count on when their monitors die, or nobody listens."""
        before, self._counted = self._counted, report.counted
        if before is None or report.counted < before:  # it was not heard before, or begins anew
            return
        told = sum(
            counts.requests
            for key, counts in report.windows.items()
            if (self.closed_through or 0) < key.slot <= report.closed_through
        )
        self.lost += max(0, report.counted - before - told)

    def is_set_back(self, report: Report) -> bool:
        """Whether its clock, and so the operator's, was far ahead when it was heard before."""
        return report.closed_through < (self.closed_through or 0) - SET_BACK_SLOTS

    def drop_after(self, report: Report) -> tuple[list[BlockKey], list[BlockKey]]:
        """Forget slots that are yet to come, which a clock that was ahead has named."""
        slot = report.closed_through
        windows = [key for key in self.windows if key.slot > slot + SET_BACK_SLOTS]
        labels = [key for key in self.labels if key.slot > slot + SET_BACK_SLOTS]
        for key in windows:
            del self.windows[key]
        for key in labels:
            del self.labels[key]
        if (self.closed_through or 0) > slot + SET_BACK_SLOTS:
            self.closed_through = slot
            self.labels_closed_through = report.labels_closed_through
        return windows, labels

    def drop_before(self, slot: int, labels_slot: int) -> tuple[list[BlockKey], list[BlockKey]]:
        """Forget what is older than these slots; the windows and the labels that are forgotten."""
        return _drop(self.windows, slot), _drop(self.labels, labels_slot)

    @property
    def empty(self) -> bool:
        return not self.windows and not self.labels


def _drop(blocks: dict[BlockKey, T], before: int) -> list[BlockKey]:
    # This is asked at each poll, and must not walk over the whole hour: only the front is looked
    # at. A block that came late goes with those that it came with.
    old = list(takewhile(lambda key: key.slot < before, blocks))
    for key in old:
        del blocks[key]
    return old


class Sums(Generic[T]):
    """What the members have counted together; only blocks with news are added up anew."""

    def __init__(self, merge: Callable[[Iterable[Mapping[BlockKey, T]]], dict[BlockKey, T]]):
        self._merge = merge
        self._sums: dict[BlockKey, T] = {}
        self._doubted: set[BlockKey] = set()

    def doubt(self, keys: Iterable[BlockKey]) -> None:
        """These blocks may have changed; to doubt too many costs time and nothing else."""
        self._doubted.update(keys)

    def of(self, parts: Iterable[Mapping[BlockKey, T]]) -> Mapping[BlockKey, T]:
        """The sums as of now, in a mapping that will not change any more."""
        if self._doubted:
            new = self._merge({k: p[k] for k in self._doubted & p.keys()} for p in parts)
            sums = dict(self._sums)
            for key in self._doubted:
                sums.pop(key, None)
            self._sums, self._doubted = {**sums, **new}, set()
        return self._sums
