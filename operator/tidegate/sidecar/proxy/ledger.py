"""Counts of the requests that the monitor gets no record of: sums of them, once a second.

Of some no copy is wanted, so that there is nothing else to tell. The copies of others found no
room: what is dropped is never lost from sight.
"""

import json
from collections.abc import Iterator

from tidegate.evidence.latency import latency_bin
from tidegate.evidence.windows import SLOT_SECONDS, slot_of
from tidegate.sidecar.records import Kind, Record

SLOTS_KEPT = 360  # an hour: as long as the monitor keeps windows


class Tally:
    """The sums of one slot, generation, revision and outcome."""

    __slots__ = (
        "_begins",
        "_ends",
        "_generation",
        "_kind",
        "_revision",
        "_status",
        "dropped",
        "latency",
        "requests",
    )

    def __init__(self, kind: Kind, status: int, slot: int, generation: int, revision: str) -> None:
        self._kind = kind
        self._status = status
        self._begins = float(slot * SLOT_SECONDS)
        self._ends = self._begins + SLOT_SECONDS
        self._generation = generation
        self._revision = revision
        self.requests = 0
        self.dropped = 0
        self.latency: dict[int, int] = {}
        """By bin."""

    def takes(
        self, kind: Kind, status: int, arrival: float, generation: int, revision: str
    ) -> bool:
        """Whether such a request counts here."""
        return (
            self._begins <= arrival < self._ends
            and kind is self._kind
            and status == self._status
            and generation == self._generation
            and revision == self._revision
        )


class Ledger:
    """One small tally for each slot, generation, revision and outcome."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[int, int, str, int, int], Tally] = {}
        self._last: Tally | None = None  # the next request counts there too, most often

    def add(self, record: Record) -> None:
        """Count a record whose copies are given up."""
        tally = self.count(
            record.kind,
            record.status,
            record.arrival,
            record.generation,
            record.revision,
            record.latency,
        )
        tally.dropped += bool(record.request)

    def count(
        self,
        kind: Kind,
        status: int,
        arrival: float,
        generation: int,
        revision: str,
        latency: float,
    ) -> Tally:
        """Count a request of which there is no record."""
        tally = self._last
        if tally is None or not tally.takes(kind, status, arrival, generation, revision):
            tally = self._last = self._find(kind, status, slot_of(arrival), generation, revision)
        tally.requests += 1
        if kind is Kind.ANSWERED:
            index = latency_bin(latency)
            tally.latency[index] = tally.latency.get(index, 0) + 1
        return tally

    def _find(self, kind: Kind, status: int, slot: int, generation: int, revision: str) -> Tally:
        key = (slot, generation, revision, int(kind), status)
        tally = self._tallies.get(key)
        if tally is None:
            self._forget_before(slot - SLOTS_KEPT)
            tally = self._tallies[key] = Tally(kind, status, slot, generation, revision)
        return tally

    def drain(self) -> Iterator[Record]:
        """The tallies as records, each given out once."""
        tallies, self._tallies, self._last = self._tallies, {}, None
        for key, tally in tallies.items():
            sums = {
                "key": key,
                "requests": tally.requests,
                "dropped": tally.dropped,
                "latency": tally.latency,
            }
            yield Record(Kind.TALLY, request=json.dumps(sums).encode())

    def _forget_before(self, slot: int) -> None:
        for key in [k for k in self._tallies if k[0] < slot]:
            del self._tallies[key]
