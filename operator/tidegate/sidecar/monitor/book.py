"""The windows: counts by block, closed when their slot is over, kept for an hour."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import UNDRAWN, BlockKey, Counts, slot_of
from tidegate.sidecar.monitor.payloads import Columns
from tidegate.traffic.signing import CLOCK_SKEW_SECONDS

CLOSING_SECONDS = 2.0  # answers that come later count in the oldest slot that is still open
SLOTS_KEPT = 360  # an hour
MEMORY_LIMIT_BYTES = 16 << 20  # of all blocks; what finds no room any more is lost, and told
BLOCK_BYTES = 4096  # that a block takes without its counts of features
ROWS_AT_ONCE = 512  # rows wait for company: encoding them together is ten times cheaper
BYTES_AT_ONCE = 1 << 20  # of payload that may wait in all blocks; five times that as numbers
BLOCKS_IN_SLOT = 64  # more generations than this in ten seconds are not the operator's doing
# In one report: an hour of a wide model, at once, would take more memory than all the rest.
COUNTS_TOLD = 100_000
COUNTS_OF_BLOCK = 100  # besides those of features: latency bins, errors, some labels


class Block:
    """The counts of one block while they grow."""

    __slots__ = (
        "dropped",
        "errors",
        "features",
        "latency",
        "pairs",
        "pending",
        "pending_bytes",
        "pending_rows",
        "predictions",
        "requests",
        "rows",
        "unparsed",
    )

    def __init__(self) -> None:
        self.requests = self.rows = self.dropped = 0
        self.errors: Counter[str] = Counter()
        self.latency: Counter[int] = Counter()
        self.predictions: Counter[str] = Counter()
        self.unparsed: Counter[str] = Counter()
        self.pairs: Counter[str] = Counter()
        self.features: NDArray[np.integer] | None = None
        """Rows by bin, all features one behind the other; None if there was no row."""
        self.pending: list[Columns] = []
        self.pending_rows = self.pending_bytes = 0

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return BLOCK_BYTES + (0 if self.features is None else self.features.nbytes)

    def add(self, counts: NDArray[np.integer]) -> None:
        """Count rows by bin."""
        self.features = counts if self.features is None else self.features + counts

    def pack(self) -> None:
        """Take no more bytes for a bin than the largest needs: one or two, hardly ever four."""
        if self.features is not None:
            largest = int(self.features.max())
            self.features = self.features.astype(np.min_scalar_type(largest))


class Closed(NamedTuple):
    """Windows that will not change any more."""

    through: int
    """The newest slot that they are complete up to."""
    windows: dict[BlockKey, Counts]
    counted: int
    """Requests in all slots up to there since the pod started, also those of monitors that died."""


class Book:
    """All blocks of this monitor's life that are still kept."""

    def __init__(self, profile: Profile | None, first_slot: int) -> None:
        self._profile = profile
        self._names = tuple(f.name for f in profile.features) if profile else ()
        sizes = [len(f.counts) for f in profile.features] if profile else []
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._bins = sum(sizes)
        self._blocks: dict[BlockKey, Block] = {}
        self._in_slot: Counter[int] = Counter()
        self._pending_bytes = 0
        self.first_slot = first_slot
        self.closed_through = first_slot - 1
        self.windows_closed = 0
        self._taken = self._taken_before = 0

    def key(self, slot: int, generation: int, revision: str) -> BlockKey:
        """The block that a request of `slot` counts in now."""
        slot = max(slot, self.closed_through + 1)
        key = BlockKey(slot, generation, revision)
        if key not in self._blocks and self._in_slot[slot] >= BLOCKS_IN_SLOT:
            return BlockKey(slot, UNDRAWN, revision)
        return key

    def block(self, key: BlockKey) -> Block:
        """The counts of a block that is still open."""
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = Block()
            self._in_slot[key.slot] += 1
        return block

    def add_requests(self, block: Block, count: int) -> None:
        """Count requests of a block."""
        block.requests += count
        self._taken += count

    def add_rows(
        self, key: BlockKey, columns: Columns, predicted: Sequence[str], size: int
    ) -> None:
        """Count decoded rows, which came in a payload of `size` bytes."""
        block = self.block(key)
        block.rows += len(predicted)
        block.predictions.update(predicted)
        if not columns or not self._bins:
            return
        block.pending.append(columns)
        block.pending_rows += len(predicted)
        block.pending_bytes += size
        self._pending_bytes += size
        if block.pending_rows >= ROWS_AT_ONCE:
            self._encode(block)
        if self._pending_bytes >= BYTES_AT_ONCE:
            for other in self._blocks.values():
                self._encode(other)

    def _encode(self, block: Block) -> None:
        if self._profile is None or not block.pending:
            return
        columns = map(list, map(chain.from_iterable, zip(*block.pending, strict=True)))
        counts = self._profile.encode(dict(zip(self._names, columns, strict=True)))
        block.add(np.concatenate(counts).astype(np.int32))  # rows of ten seconds
        self._pending_bytes -= block.pending_bytes
        block.pending = []
        block.pending_rows = block.pending_bytes = 0

    def is_ahead(self, now: float) -> bool:
        """Whether it has counted in slots that are far from now: the clock was set back.

        The operator takes nothing of such slots, and none would come behind them for as long as
        the clock was ahead.
        """
        return max(self.closed_through, *self._in_slot, 0) > slot_of(now + CLOCK_SKEW_SECONDS)

    def mark(self, now: float, counted: int) -> None:
        """All that was finished before that time is here: close the slots that are over.

        `counted` requests were sent since the pod started, to this monitor or to earlier ones.
        """
        self._taken_before = counted - self._taken
        self._close(slot_of(now - CLOSING_SECONDS) - 1)

    def end(self) -> None:
        """Nothing more will come: close all slots, also the one that is not over."""
        self._close(max(self._in_slot, default=self.closed_through))

    def has_windows(self, after: int) -> bool:
        """Whether anything was counted behind that slot."""
        return any(slot > after for slot in self._in_slot)

    def _close(self, through: int) -> None:
        if through <= self.closed_through:
            return
        for key, block in self._blocks.items():
            if self.closed_through < key.slot <= through:
                self._encode(block)
                block.pack()
                self.windows_closed += 1
        self.closed_through = through
        self._forget()

    def _forget(self) -> None:
        """Keep an hour, or what of it there is room for."""
        slots: defaultdict[int, list[BlockKey]] = defaultdict(list)
        size = 0
        for key, block in self._blocks.items():
            slots[key.slot].append(key)
            size += block.size
        for slot in sorted(slots):
            hour_old = slot <= self.closed_through - SLOTS_KEPT
            if slot > self.closed_through or not (hour_old or size > MEMORY_LIMIT_BYTES):
                return
            size -= sum(self._blocks.pop(key).size for key in slots[slot])
            del self._in_slot[slot]
            self.first_slot = slot + 1

    def closed(self, after: int) -> Closed:
        """The windows of closed slots behind `after`: the oldest ones, if there are many."""
        through = self._told_through(after)
        later = (b.requests for k, b in self._blocks.items() if through < k.slot)
        return Closed(
            through,
            {k: self._counts(b) for k, b in self._blocks.items() if after < k.slot <= through},
            self._taken_before + self._taken - sum(later),
        )

    def _told_through(self, after: int) -> int:
        """The slot that a report of what is behind `after` goes up to, whole slots only."""
        slots = Counter[int]()
        for key, block in self._blocks.items():
            if after < key.slot <= self.closed_through:
                bins = 0 if block.features is None else self._bins
                slots[key.slot] += bins + COUNTS_OF_BLOCK
        told = 0
        for slot, counts in sorted(slots.items()):
            if told and told + counts > COUNTS_TOLD:
                return slot - 1
            told += counts
        return self.closed_through

    def _counts(self, block: Block) -> Counts:
        parts = [] if block.features is None else np.split(block.features, self._ends[:-1])
        return Counts(
            requests=block.requests,
            errors=dict(block.errors),
            latency={str(index): n for index, n in sorted(block.latency.items())},
            rows=block.rows,
            features=tuple(tuple(part.tolist()) for part in parts),
            predictions=dict(block.predictions),
            unparsed=dict(block.unparsed),
            dropped=block.dropped,
            pairs=dict(block.pairs),
        )

    def feature_totals(self, revision: str) -> list[NDArray[np.int64]]:
        """Rows by bin over all kept blocks of a revision, for each feature."""
        total = np.zeros(self._bins, dtype=np.int64)
        for key, block in self._blocks.items():
            if key.revision == revision:
                self._encode(block)
                total += 0 if block.features is None else block.features
        return np.split(total, self._ends[:-1]) if self._bins else []

    def prediction_totals(self, revision: str) -> Mapping[str, int]:
        """Rows by prediction over all kept blocks of a revision."""
        total: Counter[str] = Counter()
        for key, block in self._blocks.items():
            if key.revision == revision:
                total.update(block.predictions)
        return total
