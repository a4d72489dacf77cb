"""Counts of the requests whose records found no room: what is dropped is never lost from sight."""

import json
from collections.abc import Iterator
from typing import Any

from tidegate.evidence.latency import latency_bin
from tidegate.evidence.windows import slot_of
from tidegate.sidecar.records import Kind, Record

SLOTS_KEPT = 360  # an hour: as long as the monitor keeps windows


class Ledger:
    """One small tally for each slot, generation, revision and outcome."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[int, int, str, int, int], dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._tallies)

    def add(self, record: Record) -> None:
        """Count a record whose copies are given up."""
        slot = slot_of(record.arrival)
        key = (slot, record.generation, record.revision, record.kind, record.status)
        tally = self._tallies.get(key)
        if tally is None:
            self._forget_before(slot - SLOTS_KEPT)
            tally = self._tallies[key] = {"requests": 0, "dropped": 0, "latency": {}}
        tally["requests"] += 1
        tally["dropped"] += bool(record.request)
        if record.kind is Kind.ANSWERED:
            index = str(latency_bin(record.latency))
            tally["latency"][index] = tally["latency"].get(index, 0) + 1

    def drain(self) -> Iterator[Record]:
        """The tallies as records, each given out once."""
        tallies, self._tallies = self._tallies, {}
        for key, tally in tallies.items():
            yield Record(Kind.TALLY, request=json.dumps({"key": key, **tally}).encode())

    def _forget_before(self, slot: int) -> None:
        for key in [k for k in self._tallies if k[0] < slot]:
            del self._tallies[key]
