"""The last million answers, as far as it takes to tell whether a label proves them right.

A request takes the entry `sequence mod 2^20`; its rows take consecutive places in a second ring of
predictions. An entry that was overwritten, or whose rows were, is unknown from then on. Both rings
are taken whole with the first answer, 18 MiB in all: a pod must not find out under load that it has
less memory than it needs.
"""

import struct
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from tidegate.evidence.encode import prediction_keys
from tidegate.evidence.ranked import Ranked, counted
from tidegate.evidence.ranking import Ranking
from tidegate.evidence.windows import BlockKey, Labels, slot_of

SIZE = 1 << 20
# How often the ring had gone round before, the number of the origin, and the rows: the place of the
# first one, how many (up to SIZE), and whether they have their labels.
_ENTRY = struct.Struct("<IIQ")
_EMPTY = b"\xff"
_COUNT_BITS = 21
# An answer is overwritten by the SIZE next ones, so it is never further behind than SIZE * SIZE
# rows: places of this many bits tell exactly how far.
_PLACE_BITS = 64 - _COUNT_BITS - 1
VOCABULARY_LIMIT = 256  # labels that are told apart; a model that answers free text has no more
# A row is its label's number and the bin of its score, each plus one: 0 is none. A bin is less than
# `evidence.ranking.BINS_LIMIT`, so both fit in sixteen bits.
_RANK = 512
LABEL_LIMIT = 128  # characters; a longer text is no label
OTHER = "other"
IN_FLIGHT = 1 << 14  # answers may overtake each other; one that is this far behind never comes
SLOTS_KEPT = 360  # labels stay for an hour after they have closed
ORIGINS_LIMIT = 1 << 16  # a week of a canary; older answers are late before that

Edges = tuple[float, ...] | None


class Outcome(StrEnum):
    """What became of a label."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    FORGED = "forged"
    UNKNOWN = "unknown"
    LATE = "late"
    INVALID = "invalid"


class Vocabulary:
    """Small numbers for prediction keys; what comes after the limit is `OTHER`, number -1."""

    def __init__(self, known: Sequence[str]) -> None:
        self._codes = {key: code for code, key in enumerate(known[:VOCABULARY_LIMIT])}

    def code(self, key: str) -> int:
        code = self._codes.get(key, -1)
        if code < 0 and len(self._codes) < VOCABULARY_LIMIT and _is_label(key):
            code = self._codes[key] = len(self._codes)
        return code

    def find(self, key: str) -> int:
        """The number of a key that was predicted before; -2, which equals nothing, if never."""
        return self._codes.get(key, -2)


class Origin(NamedTuple):
    """What the answers of a block have in common."""

    key: BlockKey
    edges: Edges


class Answers:
    """The rings and the label counts by block."""

    def __init__(self, known: Sequence[str], ranking: Ranking | None = None) -> None:
        self.vocabulary = Vocabulary(known)
        self._ranking = ranking
        self.labels: dict[BlockKey, Labels] = {}
        self._entries = bytearray()
        self._rows = np.empty(0, dtype=np.uint16)
        self._next_row = 0
        self._origins: dict[int, Origin] = {}
        self._numbers: dict[Origin, int] = {}
        self._next_number = 0
        self._last: tuple[Origin, int] | None = None  # most answers are of the same block
        self._newest = 0

    def put(
        self,
        sequence: int,
        key: BlockKey,
        codes: Sequence[int],
        edges: Edges,
        ranks: Sequence[int] | None = None,
    ) -> None:
        """Remember the predictions of answer number `sequence`, and the bins of their scores."""
        count = len(codes)
        if count > SIZE:
            return
        if not self._entries:
            self._entries = bytearray(_EMPTY) * (SIZE * _ENTRY.size)
            self._rows = np.full(SIZE, 0, dtype=np.uint16)  # `zeros` would not take it yet
        self._newest = max(self._newest, sequence)
        self._write(sequence, self._number(Origin(key, edges)), self._next_row, count)
        rows = [code + 1 for code in codes]
        if ranks is not None:
            rows = [row + _RANK * (rank + 1) for row, rank in zip(rows, ranks, strict=True)]
        place = self._next_row % SIZE
        head = min(count, SIZE - place)
        self._rows[place : place + head] = rows[:head]
        if head < count:
            self._rows[: count - head] = rows[head:]
        self._next_row = (self._next_row + count) % (1 << _PLACE_BITS)

    def _write(
        self, sequence: int, number: int, first: int, count: int, *, labelled: bool = False
    ) -> None:
        lap, at = divmod(sequence, SIZE)
        rows = (first << _COUNT_BITS | count) << 1 | labelled
        _ENTRY.pack_into(self._entries, at * _ENTRY.size, lap, number, rows)

    def _read(self, sequence: int) -> tuple[int, int, int, bool] | None:
        """Number of the origin, first row, number of rows, whether they have their labels."""
        lap, at = divmod(sequence, SIZE)
        if not self._entries:
            return None
        found, number, rows = _ENTRY.unpack_from(self._entries, at * _ENTRY.size)
        first, count = divmod(rows >> 1, 1 << _COUNT_BITS)
        return (number, first, count, bool(rows & 1)) if found == lap else None

    def coming(self, sequence: int) -> bool:
        """Whether the copy of that answer may still be on its way here."""
        return self._read(sequence) is None and sequence > self._newest - IN_FLIGHT

    def label(self, sequence: int, labels: Sequence[object], now: float, horizon: float) -> Outcome:
        """Count the true labels of an answer; `labels` has one entry for each of its rows."""
        entry = self._read(sequence)
        if entry is None:
            return Outcome.UNKNOWN
        number, first, count, labelled = entry
        if (self._next_row - first) % (1 << _PLACE_BITS) > SIZE:
            return Outcome.UNKNOWN  # its rows are overwritten
        origin = self._origins.get(number)
        if origin is None or origin.key.slot <= closed_through(now, horizon):
            return Outcome.LATE
        if labelled:
            return Outcome.DUPLICATE
        if len(labels) != count:
            return Outcome.INVALID
        self._write(sequence, number, first, count, labelled=True)
        known = self.labels.get(origin.key, Labels())
        self.labels[origin.key] = known + self._compare(first, labels, origin.edges)
        return Outcome.ACCEPTED

    def _compare(self, first: int, labels: Sequence[object], edges: Edges) -> Labels:
        places = np.arange(first, first + len(labels)) % SIZE
        keys = prediction_keys(labels, edges)
        # A row whose label is null, or whose prediction is beyond the vocabulary, says nothing.
        told = [
            (row, self.vocabulary.find(key) + 1, label)
            for row, key, label in zip(self._rows[places].tolist(), keys, labels, strict=True)
            if row % _RANK and label is not None
        ]
        wrong = sum(row % _RANK != truth for row, truth, _ in told)
        return Labels(len(told), wrong, self._ranked((row // _RANK, lab) for row, _, lab in told))

    def _ranked(self, rows: Iterable[tuple[int, object]]) -> Ranked:
        if self._ranking is None:
            return ()
        sides = ((rank - 1, self._ranking.side(label)) for rank, label in rows if rank)
        return counted((index, side) for index, side in sides if side is not None)

    def _number(self, origin: Origin) -> int:
        if self._last is not None and self._last[0] == origin:
            return self._last[1]
        number = self._numbers.get(origin)
        if number is None:
            number = self._numbers[origin] = self._next_number
            self._origins[number] = origin
            self._next_number += 1
            if len(self._origins) > ORIGINS_LIMIT:
                self._forget(next(iter(self._origins)))
        self._last = origin, number
        return number

    def _forget(self, number: int) -> None:
        origin = self._origins.pop(number)
        self._last = None
        self._numbers.pop(origin)
        self.labels.pop(origin.key, None)

    def forget(self, now: float, horizon: float) -> None:
        """Drop the blocks whose labels closed more than an hour ago."""
        oldest = closed_through(now, horizon) - SLOTS_KEPT
        for number in [n for n, origin in self._origins.items() if origin.key.slot <= oldest]:
            self._forget(number)

    def forget_from(self, slot: int) -> None:
        """Drop the blocks of that slot and later ones: their time has not come."""
        for number in [n for n, origin in self._origins.items() if origin.key.slot >= slot]:
            self._forget(number)


def _is_label(key: str) -> bool:
    """Whether a text is short, and one that can be told: no half of a surrogate pair."""
    if len(key) > LABEL_LIMIT:
        return False
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def closed_through(now: float, horizon: float) -> int:
    """The newest slot whose labels can't change any more."""
    return slot_of(now - horizon) - 1
