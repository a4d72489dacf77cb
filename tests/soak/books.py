"""What the operator learns: the pods' windows, pulled and booked with its own code."""

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path

import zstandard
from tests.patience import DEADLINE_SECONDS
from tests.soak.clients import Seen
from tests.soak.faults import World
from tests.unit.sidecar.harness import KEY

from tidegate.clients.sidecars import Sidecars, Target
from tidegate.controllers.members import Member
from tidegate.errors import TidegateError
from tidegate.evidence.windows import SLOT_SECONDS, Counts, slot_of

PULL_SECONDS = 1.0
SETTLING_SECONDS = 10.0  # until the pods have told the time of a clock that is right again
CLOSING_SECONDS = 60.0 + DEADLINE_SECONDS  # a slot, its grace, and a wrong clock


class Books:
    """One book for each pod."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._targets = [
            Target(p.uid, f"127.0.0.1:{p.sidecar.control}", "any", ready=True)
            for p in world.pods.values()
        ]
        self.members = {t.uid: Member(0.0) for t in self._targets}
        self.silences = 0

    async def run(self, begun: asyncio.Event, stop: asyncio.Event) -> None:
        """Pull until told to stop, and then until all slots up to that moment are closed.

        What is lost can be told from the first report on, so that one comes before all else.
        """
        sidecars = Sidecars(KEY, time.time)
        try:
            while not stop.is_set():
                await self._pull(sidecars)
                if all(member.closed_through for member in self.members.values()):
                    begun.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(PULL_SECONDS):
                        await stop.wait()
            await asyncio.sleep(SETTLING_SECONDS)
            await self._pull(sidecars)
            # A clock that was ahead has closed slots ahead: what came since counts behind them.
            last = {
                uid: max(slot_of(time.time()), (member.closed_through or 0) + 1)
                for uid, member in self.members.items()
            }
            async with asyncio.timeout(CLOSING_SECONDS):
                while any((self.members[uid].closed_through or 0) < last[uid] for uid in last):
                    await asyncio.sleep(PULL_SECONDS)
                    await self._pull(sidecars)
        finally:
            await sidecars.close()

    async def _pull(self, sidecars: Sidecars) -> None:
        for target in self._targets:
            member = self.members[target.uid]
            after = member.closed_through or 0
            try:
                member.take(await sidecars.windows(target, after=after, labels_after=after))
            except TidegateError:
                self.silences += 1

    def polite(self, uid: str, slot: int | None = None) -> Counts:
        """What the pod has reported of requests that were routed by lot, in one slot or in all."""
        windows = self.members[uid].windows
        found = (n for k, n in windows.items() if k.compares and slot in (None, k.slot))
        return sum(found, Counts())

    def rude(self, uid: str) -> Counts:
        """What it has reported of requests that nobody drew."""
        windows = self.members[uid].windows
        return sum((n for k, n in windows.items() if not k.compares), Counts())

    def differences(self, seen: Seen) -> list[str]:
        """Where windows and clients do not agree, slot by slot: only where both must."""
        return [
            f"{uid}, slot {slot}: {counted} counted, {known} known, {loose} of these straddling"
            for uid, slot in sorted(seen.polite)
            if self.plain(uid, slot)
            for counted in [self.polite(uid, slot).requests]
            for known in [seen.polite[uid, slot]]
            for loose in [seen.straddling[uid, slot] + seen.straddling[uid, slot - 1]]
            if abs(counted - known) > loose
        ]

    def plain(self, uid: str, slot: int) -> bool:
        """Whether that pod's clock was right and its monitor lived, then and around it."""
        begin, end = (slot - 1) * SLOT_SECONDS, (slot + 2) * SLOT_SECONDS
        return not any(
            t.uid == uid and t.began < end and begin < t.ended for t in self._world.troubles
        )


def logged(bucket: Path) -> int:
    """The lines of the prediction log, all of which can be read, and none is there twice."""
    lines = 0
    seen: set[tuple[str, int]] = set()
    for part in bucket.rglob("*.jsonl.zst"):
        with zstandard.open(part, "rt") as file:
            for text in file:
                line = json.loads(text)
                seen.add((line["id"], line["row"]))
                lines += 1
    assert len(seen) == lines
    return lines
