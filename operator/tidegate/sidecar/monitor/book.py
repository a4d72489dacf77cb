"""The windows: counts by block, closed when their slot is over, kept for an hour."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import UNDRAWN, BlockKey, Counts, slot_of
from tidegate.sidecar.monitor.payloads import Columns

CLOSING_SECONDS = 2.0  # answers that come later count in the oldest slot that is still open
SLOTS_KEPT = 360  # an hour
MEMORY_LIMIT_BYTES = 24 << 20  # of feature counts; a profile with very many features keeps less
BYTES_AT_ONCE = 1 << 20  # of payload that may wait with them
ROWS_AT_ONCE = 512  # rows wait for company: encoding them together is ten times cheaper
BLOCKS_IN_SLOT = 64  # more generations than this in ten seconds are not the operator's doing


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

    def __init__(self, bins: int) -> None:
        self.requests = self.rows = self.dropped = 0
        self.errors: Counter[str] = Counter()
        self.latency: Counter[int] = Counter()
        self.predictions: Counter[str] = Counter()
        self.unparsed: Counter[str] = Counter()
        self.pairs: Counter[str] = Counter()
        self.features: NDArray[np.int32] = np.zeros(bins, dtype=np.int32)  # rows of ten seconds
        self.pending: list[Columns] = []
        self.pending_rows = self.pending_bytes = 0


class Book:
    """All blocks of this monitor's life that are still kept."""

    def __init__(self, profile: Profile | None, first_slot: int) -> None:
        self._profile = profile
        sizes = [len(f.counts) for f in profile.features] if profile else []
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._bins = sum(sizes)
        self._limit = max(MEMORY_LIMIT_BYTES // (4 * self._bins + 1), BLOCKS_IN_SLOT)
        self._blocks: dict[BlockKey, Block] = {}
        self._in_slot: Counter[int] = Counter()
        self.first_slot = first_slot
        self.closed_through = first_slot - 1
        self.windows_closed = 0
        self._taken = self._taken_closed = self._taken_before = 0

    @property
    def counted(self) -> int:
        """Requests in closed slots since the pod started, also those of monitors that died."""
        return self._taken_before + self._taken_closed

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
            block = self._blocks[key] = Block(self._bins)
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
        if not columns:
            return
        block.pending.append(columns)
        block.pending_rows += len(predicted)
        block.pending_bytes += size
        if block.pending_rows >= ROWS_AT_ONCE or block.pending_bytes >= BYTES_AT_ONCE:
            self._encode(block)

    def _encode(self, block: Block) -> None:
        if self._profile is None or not block.pending:
            return
        names = (f.name for f in self._profile.features)
        columns = map(list, map(chain.from_iterable, zip(*block.pending, strict=True)))
        block.features += np.concatenate(
            self._profile.encode(dict(zip(names, columns, strict=True)))
        )
        block.pending = []
        block.pending_rows = block.pending_bytes = 0

    def mark(self, now: float, counted: int) -> None:
        """All that was finished before that time is here: close the slots that are over.

        `counted` requests were sent since the pod started, to this monitor or to earlier ones.
        """
        self._taken_before = counted - self._taken
        through = slot_of(now - CLOSING_SECONDS) - 1
        if through <= self.closed_through:
            return
        for key, block in self._blocks.items():
            if self.closed_through < key.slot <= through:
                self._encode(block)
                self.windows_closed += 1
                self._taken_closed += block.requests
        self.closed_through = through
        self._forget()

    def _forget(self) -> None:
        slots = sorted({key.slot for key in self._blocks})
        while slots and (
            slots[0] <= self.closed_through - SLOTS_KEPT
            or (len(self._blocks) > self._limit and slots[0] <= self.closed_through)
        ):
            oldest = slots.pop(0)
            self._blocks = {k: b for k, b in self._blocks.items() if k.slot != oldest}
            del self._in_slot[oldest]
            self.first_slot = max(self.first_slot, oldest + 1)

    def closed(self, after: int) -> dict[BlockKey, Counts]:
        """The windows of the closed slots behind `after`."""
        return {
            key: self._counts(block)
            for key, block in self._blocks.items()
            if after < key.slot <= self.closed_through
        }

    def _counts(self, block: Block) -> Counts:
        parts = np.split(block.features, self._ends[:-1]) if block.features.any() else []
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
                total += block.features
        return np.split(total, self._ends[:-1]) if self._bins else []

    def prediction_totals(self, revision: str) -> Mapping[str, int]:
        """Rows by prediction over all kept blocks of a revision."""
        total: Counter[str] = Counter()
        for key, block in self._blocks.items():
            if key.revision == revision:
                total.update(block.predictions)
        return total
