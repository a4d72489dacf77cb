"""Values: what a metric server says of a revision, one number for each window of time.

Windows lie side by side and none begins before the last one has ended, so that no request has a
part in two of them. Like slots they are counted from 1970: every operator cuts the same ones.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tidegate.api.meta import duration
from tidegate.api.names import short_hash
from tidegate.api.v1alpha1.analysis import Metric
from tidegate.evidence.windows import SLOT_SECONDS, BlockKey, Counts

DEFAULT_WINDOW = "1m"


class ValueKey(NamedTuple):
    """Which value: the last slot of its window, what was asked, of which revision."""

    slot: int
    question: str
    revision: str


Values = Mapping[ValueKey, float | None]
"""None: it was asked for, and there is none."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of each revision, once for each window."""

    id: str
    """Tells questions apart; it is the same for the same query and window."""
    query: str
    slots: int
    """The window's length."""

    def about(self, namespace: str, revision: str) -> str:
        """The query about one revision."""
        text = self.query.replace("{{revision}}", revision).replace("{{namespace}}", namespace)
        return text.replace("{{window}}", f"{self.slots * SLOT_SECONDS}s")

    def first_end(self, after: int) -> int:
        """The last slot of the first window that begins after this slot."""
        return (after // self.slots + 2) * self.slots - 1

    def next_end(self, after: int) -> int:
        """The last slot of the first window that ends after this slot."""
        return ((after + 1) // self.slots + 1) * self.slots - 1

    def ends(self, after: int, through: int) -> range:
        """The last slots of the windows that end after one slot, up to another."""
        return range(self.next_end(after), through + 1, self.slots)


def question_of(metric: Metric) -> Question | None:
    """What a metric asks of Prometheus; None for one of another source."""
    if metric.source != "Prometheus" or metric.query is None:
        return None
    seconds = duration(metric.window or DEFAULT_WINDOW).total_seconds()
    slots = max(1, math.ceil(seconds / SLOT_SECONDS))
    return Question(short_hash(f"{slots} {metric.query}"), metric.query, slots)


@dataclass(frozen=True, slots=True)
class Compared:
    """A window in which both arms answered requests, under one routing document."""

    candidate: float | None
    stable: float | None
    requests: int
    """Of the candidate."""
    stable_requests: int

    def to_json(self) -> list[Any]:
        return [self.candidate, self.stable, self.requests, self.stable_requests]


class Traffic:
    """How many requests the arms of a rollout had in each slot."""

    def __init__(self, windows: Mapping[BlockKey, Counts], stable: str, candidate: str) -> None:
        self._slots: dict[int, dict[tuple[int, str], int]] = {}
        for key, counts in windows.items():
            if key.revision in (stable, candidate) and key.compares:
                slot = self._slots.setdefault(key.slot, {})
                slot[key.generation, key.revision] = counts.requests
        self._stable, self._candidate = stable, candidate

    def compared(self, question: Question, end: int, values: Values) -> Compared | None:
        """The window that ends in slot `end`, if it compares the arms.

        It does not where the routing changed in it: the candidate would have more of its requests
        at another time than stable. Nor where one of the arms had none: nobody was asked.
        """
        blocks = [
            block
            for slot in range(end - question.slots + 1, end + 1)
            for block in self._slots.get(slot, {}).items()
        ]
        asked = {
            name: sum(n for (_, r), n in blocks if r == name)
            for name in (self._candidate, self._stable)
        }
        if len({generation for (generation, _), n in blocks if n}) != 1 or not all(asked.values()):
            return None
        candidate, stable = (
            values.get(ValueKey(end, question.id, name)) for name in (self._candidate, self._stable)
        )
        return Compared(candidate, stable, asked[self._candidate], asked[self._stable])
