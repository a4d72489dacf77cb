"""The last million answers, as far as it takes to tell whether a label proves them right.

A request takes the entry `sequence mod 2^20`; its rows take consecutive places in a second ring of
predictions. An entry that was overwritten, or whose rows were, is unknown from then on.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from tidegate.evidence.encode import prediction_keys
from tidegate.evidence.windows import BlockKey, Labels, slot_of

SIZE = 1 << 20
VOCABULARY_LIMIT = 256  # labels that are told apart; a model that answers free text has no more
LABEL_LIMIT = 128  # characters; a longer text is no label
OTHER = "other"
IN_FLIGHT = 1 << 14  # answers may overtake each other; one that is this far behind never comes
SLOTS_KEPT = 360  # labels stay for an hour after they have closed
BLOCKS_LIMIT = 1 << 16  # a week of a canary; older answers are late before that

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
        if code < 0 and len(self._codes) < VOCABULARY_LIMIT and len(key) <= LABEL_LIMIT:
            code = self._codes[key] = len(self._codes)
        return code

    def find(self, key: str) -> int:
        """The number of a key that was predicted before; -2, which equals nothing, if never."""
        return self._codes.get(key, -2)


class Answers:
    """The rings and the label counts by block."""

    def __init__(self, known: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(known)
        self.labels: dict[BlockKey, Labels] = {}
        self._sequence = np.zeros(SIZE, dtype=np.int64)
        self._block = np.zeros(SIZE, dtype=np.int32)
        self._first_row = np.zeros(SIZE, dtype=np.int64)
        self._rows = np.zeros(SIZE, dtype=np.int32)
        self._scale = np.zeros(SIZE, dtype=np.int32)
        self._labelled = np.zeros(SIZE, dtype=np.bool_)
        self._codes = np.zeros(SIZE, dtype=np.int16)
        self._next_row = 0
        self._blocks: dict[int, BlockKey] = {}
        self._block_numbers: dict[BlockKey, int] = {}
        self._next_block = 0
        self._scales: dict[int, Edges] = {0: None}
        self._newest_scale = 0
        self._newest = 0

    def put(self, sequence: int, key: BlockKey, codes: Sequence[int], edges: Edges) -> None:
        """Remember the predictions of answer number `sequence`."""
        count = len(codes)
        if count > SIZE:
            return
        at = sequence % SIZE
        self._newest = max(self._newest, sequence)
        self._sequence[at] = sequence
        self._block[at] = self._number(key)
        self._first_row[at] = self._next_row
        self._rows[at] = count
        self._scale[at] = self._scale_of(edges)
        self._labelled[at] = False
        place = self._next_row % SIZE
        head = min(count, SIZE - place)
        self._codes[place : place + head] = codes[:head]
        self._codes[: count - head] = codes[head:]
        self._next_row += count

    def coming(self, sequence: int) -> bool:
        """Whether the copy of that answer may still be on its way here."""
        known = self._sequence[sequence % SIZE] == sequence
        return not known and sequence > self._newest - IN_FLIGHT

    def label(self, sequence: int, labels: Sequence[object], now: float, horizon: float) -> Outcome:
        """Count the true labels of an answer; `labels` has one entry for each of its rows."""
        at = sequence % SIZE
        if self._sequence[at] != sequence or self._overwritten(at):
            return Outcome.UNKNOWN
        key = self._blocks.get(int(self._block[at]))
        if key is None or key.slot <= closed_through(now, horizon):
            return Outcome.LATE
        if self._labelled[at]:
            return Outcome.DUPLICATE
        if len(labels) != self._rows[at]:
            return Outcome.INVALID
        wrong, labelled = self._compare(at, labels)
        self._labelled[at] = True
        self.labels[key] = self.labels.get(key, Labels()) + Labels(labelled, wrong)
        return Outcome.ACCEPTED

    def _overwritten(self, at: int) -> bool:
        return self._next_row - int(self._first_row[at]) > SIZE

    def _compare(self, at: int, labels: Sequence[object]) -> tuple[int, int]:
        first = int(self._first_row[at])
        places = np.arange(first, first + len(labels)) % SIZE
        predicted = self._codes[places].tolist()
        keys = prediction_keys(labels, self._scales.get(int(self._scale[at])))
        # A row whose label is null, or whose prediction is beyond the vocabulary, says nothing.
        pairs = [
            (code, self.vocabulary.find(key))
            for code, key, label in zip(predicted, keys, labels, strict=True)
            if code >= 0 and label is not None
        ]
        return sum(code != truth for code, truth in pairs), len(pairs)

    def _number(self, key: BlockKey) -> int:
        number = self._block_numbers.get(key)
        if number is None:
            number = self._block_numbers[key] = self._next_block
            self._blocks[number] = key
            self._next_block += 1
            if len(self._blocks) > BLOCKS_LIMIT:
                self._forget_block(next(iter(self._blocks)))
        return number

    def _forget_block(self, number: int) -> None:
        key = self._blocks.pop(number)
        self._block_numbers.pop(key, None)
        self.labels.pop(key, None)

    def _scale_of(self, edges: Edges) -> int:
        if self._scales.get(self._newest_scale) != edges:
            self._newest_scale += 1
            self._scales[self._newest_scale] = edges
            self._scales.pop(self._newest_scale - VOCABULARY_LIMIT, None)
        return self._newest_scale

    def forget(self, now: float, horizon: float) -> None:
        """Drop the blocks whose labels closed more than an hour ago."""
        oldest = closed_through(now, horizon) - SLOTS_KEPT
        for number in [n for n, key in self._blocks.items() if key.slot <= oldest]:
            self._forget_block(number)


def closed_through(now: float, horizon: float) -> int:
    """The newest slot whose labels can't change any more."""
    return slot_of(now - horizon) - 1
