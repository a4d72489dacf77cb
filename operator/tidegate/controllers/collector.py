"""The collector: pulls windows from the sidecars, pushes routing documents to them.

What a pod reports is kept per pod and block and *replaced* when it is reported again, so neither
the order of the reports nor their repetition matters, and nothing is counted twice.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Generic, TypeVar

from tidegate.api.meta import ObjectKey
from tidegate.clients.sidecars import Sidecars, Target
from tidegate.errors import TerminalError, TidegateError
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import (
    SLOT_SECONDS,
    BlockKey,
    Counts,
    Labels,
    Report,
    merged,
    merged_labels,
)

T = TypeVar("T")

KEPT_SLOTS = 3600 // SLOT_SECONDS
REQUESTS_IN_FLIGHT = 64
FRESH_SECONDS = 30.0
ENDING_SECONDS = 1.0  # between two questions to a pod that ends: it waits two for the last one
FRESH_POLLS = 2.5  # a target that is asked once a minute may miss one round before it is silent


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is known of a Model's pods."""

    windows: Mapping[BlockKey, Counts] = field(default_factory=dict)
    labels: Mapping[BlockKey, Labels] = field(default_factory=dict)
    confirmed: Mapping[str, int] = field(default_factory=dict)
    """The routing generation that each followed pod acts on, by uid."""
    closed_through: int | None = None
    """The newest slot that every pod has closed; None before all ready ones were heard once.

    A pod that stops being ready holds the slot open as long as it was heard lately: what it
    counted before is the evidence that matters most. Silent pods hold up nobody.
    """
    labels_closed_through: int | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    """Reference profiles by revision."""
    silent: tuple[str, ...] = ()
    """The uids of the followed pods that do not answer."""
    told: int = 0
    """Requests in all windows that pods have told of, also in those that are forgotten by now."""
    lost: int = 0
    """Requests that pods have counted and could not tell of, since they were heard first."""


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
        self.has_no_profile = False
        """Whether it was asked for its profile and had none that can be read."""
        self.told = 0
        """Requests in all windows that it has told of."""
        self.lost = 0
        """Requests that the pod has counted but could not tell of, since it was heard first."""
        self._counted: int | None = None

    def take(self, report: Report) -> None:
        """Book a report."""
        self._miss(report)
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


class _Followed:
    """A Model whose pods are followed."""

    def __init__(self) -> None:
        self.targets: tuple[Target, ...] = ()
        self.after = 0
        self.labels_after = 0
        self.every = 0.0
        self.generation = 0
        self.envelope: str | None = None
        self.members: dict[str, Member] = {}
        self.windows = Sums(merged)
        self.labels = Sums(merged_labels)
        self.profiles: dict[str, Profile] = {}
        self.told = self.lost = 0  # more than the members' sums: some are forgotten
        self.changed = asyncio.Event()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        """One for each pod, by uid: a pod that hangs holds up nobody else's document."""

    @property
    def fresh_seconds(self) -> float:
        return max(FRESH_SECONDS, FRESH_POLLS * self.every)

    def silent(self, now: float) -> tuple[str, ...]:
        """Whom nobody has heard lately."""
        stale = now - self.fresh_seconds
        return tuple(t.uid for t in self.targets if self.members[t.uid].heard_at < stale)

    def target(self, uid: str) -> Target | None:
        """The pod as it is wanted now; None once it is gone."""
        return next((t for t in self.targets if t.uid == uid), None)

    def pause(self, target: Target, now: float) -> float:
        """How long until a pod is asked again; one that is about to be gone is asked soon."""
        ending = target.ending and target.uid not in self.silent(now)
        return min(self.every, ENDING_SECONDS) if ending else self.every

    def tell(self) -> None:
        """End everybody's pause."""
        self.changed.set()
        self.changed = asyncio.Event()

    def closed(self, now: float) -> tuple[int | None, int | None]:
        """The newest slots of windows and of labels that no pod will change any more."""
        silent = self.silent(now)
        heeded = [
            self.members[t.uid]
            for t in self.targets
            if t.uid not in silent and (t.ready or self.members[t.uid].closed_through is not None)
        ]
        windows = _least(m.closed_through for m in heeded)
        return windows, _least(m.labels_closed_through for m in heeded)

    def drop_old(self) -> None:
        """Keep an hour behind what was closed last; forget pods that are gone and left nothing."""
        # The newest, not the oldest: one pod that hangs must not make the others' past pile up.
        closed = max((m.closed_through or 0 for m in self.members.values()), default=0)
        labels = max((m.labels_closed_through or 0 for m in self.members.values()), default=0)
        for member in self.members.values():
            windows, told = member.drop_before(closed - KEPT_SLOTS, labels - KEPT_SLOTS)
            self.windows.doubt(windows)
            self.labels.doubt(told)
        live = {t.uid for t in self.targets} | self.tasks.keys()
        self.members = {u: m for u, m in self.members.items() if u in live or not m.empty}
        revisions = {t.revision for t in self.targets}
        self.profiles = {r: p for r, p in self.profiles.items() if r in revisions}


class Collector:
    """Follows the pods of many Models, each at its own pace."""

    def __init__(
        self,
        sidecars: Sidecars,
        clock: Callable[[], float],
        on_news: Callable[[ObjectKey], None],
        on_silence: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_news`: all have closed a slot, or one has confirmed a routing document; `on_silence`:
        why a pod is silent.
        """
        self._sidecars = sidecars
        self._clock = clock
        self._on_news = on_news
        self._on_silence = on_silence
        self._followed: dict[ObjectKey, _Followed] = {}
        self._requests = asyncio.Semaphore(REQUESTS_IN_FLIGHT)

    def follow(
        self,
        key: ObjectKey,
        targets: tuple[Target, ...],
        *,
        after: int,
        every: float,
        generation: int,
        envelope: str | None,
        labels_after: int | None = None,
    ) -> None:
        """Say whom to ask (every so many seconds, for slots after `after`) and what to tell them.

        Labels come later than the windows that they belong to: `labels_after` is the slot from
        which on labels are still wanted, `after` if None. Saying the same again changes nothing.
        """
        followed = self._followed.setdefault(key, _Followed())
        wanted = targets, every, generation, envelope
        had = followed.targets, followed.every, followed.generation, followed.envelope
        followed.targets, followed.every, followed.generation, followed.envelope = wanted
        followed.after = after
        followed.labels_after = after if labels_after is None else labels_after
        was_ready = {t.uid: t.ready for t in had[0]}
        for target in targets:
            member = followed.members.setdefault(target.uid, Member(self._clock()))
            if was_ready.get(target.uid) is None or target.ready > was_ready[target.uid]:
                member.heard_at = self._clock()  # it is back: its time to be heard begins anew
        if wanted != had:
            followed.tell()
        for uid in {t.uid for t in targets} - followed.tasks.keys():
            task = asyncio.create_task(self._run(key, followed, uid), name=f"collect {key} {uid}")
            followed.tasks[uid] = task

    def forget(self, key: ObjectKey) -> None:
        """Stop asking, and drop what was gathered."""
        followed = self._followed.pop(key, None)
        for task in followed.tasks.values() if followed is not None else ():
            task.cancel()

    def gathered(self, key: ObjectKey) -> Gathered:
        """What is known now; empty for a key that is not followed."""
        followed = self._followed.get(key)
        if followed is None:
            return Gathered()
        members, silent = followed.members, followed.silent(self._clock())
        closed_through, labels_closed_through = followed.closed(self._clock())
        return Gathered(
            windows=followed.windows.of(m.windows for m in members.values()),
            labels=followed.labels.of(m.labels for m in members.values()),
            confirmed={
                t.uid: generation
                for t in followed.targets
                if (generation := members[t.uid].generation) is not None and t.uid not in silent
            },
            closed_through=closed_through,
            labels_closed_through=labels_closed_through,
            profiles=dict(followed.profiles),
            silent=silent,
            told=followed.told,
            lost=followed.lost,
        )

    async def close(self) -> None:
        """Stop asking everybody."""
        tasks = [task for f in self._followed.values() for task in f.tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._followed.clear()

    async def _run(self, key: ObjectKey, followed: _Followed, uid: str) -> None:
        """Ask a pod again and again, until it is gone."""
        try:
            while (target := followed.target(uid)) is not None:
                changed = followed.changed
                await self._visit(key, followed, target)
                followed.drop_old()
                with suppress(TimeoutError):
                    async with asyncio.timeout(followed.pause(target, self._clock())):
                        await changed.wait()
        finally:
            del followed.tasks[uid]
            followed.drop_old()

    async def _visit(self, key: ObjectKey, followed: _Followed, target: Target) -> None:
        """Push what is not known there, pull what is not known here."""
        member = followed.members[target.uid]
        async with self._requests:
            try:
                # First the push: a rollback must get through to a pod whose monitor hangs.
                await self._push(key, followed, target)
                await self._pull(key, followed, target)
                # A sidecar that was restarted may have fallen back to an older document.
                await self._push(key, followed, target)
                await self._read_profile(key, followed, target)
            except TidegateError as error:
                if target.ready and member.answers is not False:
                    self._on_silence(f"{key}: pod {target.uid} does not answer: {error}")
                member.answers = False
                return
        member.answers = True

    async def _push(self, key: ObjectKey, followed: _Followed, target: Target) -> None:
        member = followed.members[target.uid]
        if followed.envelope is None or (member.generation or 0) >= followed.generation:
            return
        before = member.generation
        member.generation = await self._sidecars.push(target, followed.envelope)
        if member.generation != before:
            self._on_news(key)

    async def _pull(self, key: ObjectKey, followed: _Followed, target: Target) -> None:
        member = followed.members[target.uid]
        windows, labels = member.closed_through, member.labels_closed_through
        report = await self._sidecars.windows(
            target,
            after=followed.after if windows is None else windows,
            labels_after=followed.labels_after if labels is None else labels,
        )
        followed.windows.doubt(k for k, c in report.windows.items() if member.windows.get(k) != c)
        followed.labels.doubt(k for k, n in report.labels.items() if member.labels.get(k) != n)
        told, lost = member.told, member.lost
        known = member.generation, followed.closed(self._clock())
        member.take(report)
        followed.told += member.told - told
        followed.lost += member.lost - lost
        member.heard_at = self._clock()
        # What one pod tells of a slot is no news before the last one has closed it.
        if (member.generation, followed.closed(self._clock())) != known:
            self._on_news(key)

    async def _read_profile(self, key: ObjectKey, followed: _Followed, target: Target) -> None:
        member = followed.members[target.uid]
        if target.revision in followed.profiles or member.has_no_profile:
            return
        try:
            profile = await self._sidecars.profile(target)
        except TerminalError as error:  # a broken profile is none; the windows still count
            self._on_silence(f"{key}: pod {target.uid} has no readable profile: {error}")
            profile = None
        if profile is None:
            member.has_no_profile = True
        else:
            followed.profiles[target.revision] = profile
            self._on_news(key)


def _least(slots: Iterable[int | None]) -> int | None:
    """The smallest; None while one is not known: what that pod has counted would be passed over."""
    known = list(slots)
    return min((s for s in known if s is not None), default=None) if None not in known else None
