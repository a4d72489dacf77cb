"""The collector: pulls windows from the sidecars, pushes routing documents to them."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from tidegate.api.meta import ObjectKey
from tidegate.clients.sidecars import Sidecars, SkewedClockError, Target
from tidegate.controllers.members import Member, Sums
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
    skews: Mapping[str, float] = field(default_factory=dict)
    """By how many seconds clocks are ahead, by the uids of the pods that are left out for it."""


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
            if t.uid not in silent
            and self.members[t.uid].skew is None
            and (t.ready or self.members[t.uid].closed_through is not None)
        ]
        windows = _least(m.closed_through for m in heeded)
        return windows, _least(m.labels_closed_through for m in heeded)

    def set_back(self, report: Report) -> None:
        """The clock by which the pods were heard was ahead: forget what has not come yet."""
        for member in self.members.values():
            windows, labels = member.drop_after(report)
            self.windows.doubt(windows)
            self.labels.doubt(labels)

    def drop_old(self) -> None:
        """Keep an hour behind what was closed last; forget pods that are gone and left nothing."""
        # The newest, not the oldest: one pod that hangs must not make the others' past pile up.
        heard = [self.members[t.uid] for t in self.targets]
        closed = max((m.closed_through or 0 for m in heard), default=0)
        labels = max((m.labels_closed_through or 0 for m in heard), default=0)
        for member in self.members.values():
            windows, told = member.drop_before(closed - KEPT_SLOTS, labels - KEPT_SLOTS)
            self.windows.doubt(windows)
            self.labels.doubt(told)
        live = {t.uid for t in self.targets} | self.tasks.keys()
        gone = [u for u, m in self.members.items() if u not in live and m.empty]
        self.lost += sum(self.members.pop(uid).unheard for uid in gone)
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
            lost=followed.lost + sum(m.unheard for m in members.values()),
            skews={
                t.uid: skew
                for t in followed.targets
                if (skew := members[t.uid].skew) is not None and t.uid not in silent
            },
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
                told = await self._pull(key, followed, target)
                # A sidecar that was restarted may have fallen back to an older document.
                await self._push(key, followed, target, anew=not told)
                await self._read_profile(key, followed, target)
            except TidegateError as error:
                if target.ready and member.answers is not False:
                    self._on_silence(f"{key}: pod {target.uid} does not answer: {error}")
                member.answers = False
                return
        member.answers = True

    async def _push(
        self, key: ObjectKey, followed: _Followed, target: Target, *, anew: bool = False
    ) -> None:
        """Hand over the document to a pod that has an older one; `anew`: or may have."""
        member = followed.members[target.uid]
        known = (member.generation or 0) >= followed.generation and not anew
        if followed.envelope is None or known:
            return
        before = member.generation
        member.generation = await self._sidecars.push(target, followed.envelope)
        if member.generation != before:
            self._on_news(key)

    async def _pull(self, key: ObjectKey, followed: _Followed, target: Target) -> bool:
        """Book what is new there; whether the pod has told which document it acts on."""
        member = followed.members[target.uid]
        windows, labels = member.closed_through, member.labels_closed_through
        try:
            report = await self._sidecars.windows(
                target,
                after=followed.after if windows is None else windows,
                labels_after=followed.labels_after if labels is None else labels,
            )
        except SkewedClockError as error:
            if member.skew is None:
                self._on_silence(f"{key}: pod {target.uid} is left out: {error}")
                self._on_news(key)
            member.leave_out(error.seconds, error.report)
            member.heard_at = self._clock()
            return error.report is not None
        self._book(key, followed, member, report)
        return True

    def _book(self, key: ObjectKey, followed: _Followed, member: Member, report: Report) -> None:
        followed.windows.doubt(k for k, c in report.windows.items() if member.windows.get(k) != c)
        followed.labels.doubt(k for k, n in report.labels.items() if member.labels.get(k) != n)
        told, lost = member.told, member.lost
        known = member.generation, followed.closed(self._clock()), member.skew
        is_set_back = member.is_set_back(report)
        member.take(report)
        if is_set_back:
            followed.set_back(report)
        followed.told += member.told - told
        followed.lost += member.lost - lost
        member.heard_at = self._clock()
        # What one pod tells of a slot is no news before the last one has closed it.
        if (member.generation, followed.closed(self._clock()), member.skew) != known:
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
