import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import FakeSidecars
from tests.patience import DEADLINE_SECONDS

from tidegate.api.meta import ObjectKey
from tidegate.clients.sidecars import Target
from tidegate.controllers import collector
from tidegate.controllers.collector import KEPT_SLOTS, Collector
from tidegate.controllers.members import Member, Sums
from tidegate.evidence.profile import Predictions, Profile
from tidegate.evidence.windows import BlockKey, Counts, Labels, Report, merged, merged_labels

KEY = ObjectKey("Model", "growth", "churn")
STABLE = "churn-1"
PROFILE = Profile("classification", 0, (), Predictions("category"))


def target(uid: str = "p1", *, ready: bool = True, revision: str = STABLE) -> Target:
    return Target(uid, f"{uid}:8081", revision, ready)


def report(
    uid: str = "p1",
    *,
    closed: int = 10,
    requests: Mapping[int, int] | None = None,
    labels: Mapping[int, int] | None = None,
    labels_closed: int = 5,
    generation: int = 1,
    counted: int = 0,
) -> Report:
    def key(slot: int) -> BlockKey:
        return BlockKey(slot, 1, STABLE)

    return Report(
        member=uid,
        revision=STABLE,
        generation=generation,
        first_slot=0,
        closed_through=closed,
        labels_closed_through=labels_closed,
        windows={key(s): Counts(requests=n) for s, n in (requests or {}).items()},
        labels={key(s): Labels(labelled=n) for s, n in (labels or {}).items()},
        counted=counted,
    )


class World:
    """A collector over fake sidecars, with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sidecars = FakeSidecars()
        self.news: list[ObjectKey] = []
        self.silences: list[str] = []
        self.collector = Collector(
            self.sidecars, lambda: self.now, self.news.append, self.silences.append
        )

    def follow(
        self,
        *targets: Target,
        after: int = 0,
        every: float = 0.001,
        generation: int = 1,
        envelope: str | None = None,
    ) -> None:
        self.collector.follow(
            KEY, targets, after=after, every=every, generation=generation, envelope=envelope
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not holds():  # noqa: ASYNC110 - what is waited for is the collector's own state
                await asyncio.sleep(0.001)

    def requests(self) -> int:
        return sum(c.requests for c in self.collector.gathered(KEY).windows.values())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.collector.close()


async def test_knows_nothing_of_what_it_does_not_follow(world: World) -> None:
    gathered = world.collector.gathered(KEY)
    assert gathered.windows == {}
    assert gathered.closed_through is None


async def test_adds_up_the_pods(world: World) -> None:
    world.sidecars.reports = {
        "p1": report("p1", closed=9, requests={8: 10, 9: 1}),
        "p2": report("p2", closed=8, requests={8: 5}, labels={3: 2}, labels_closed=4),
    }
    world.follow(target("p1"), target("p2"))
    await world.until(lambda: world.requests() == 16)
    gathered = world.collector.gathered(KEY)
    assert gathered.windows[BlockKey(8, 1, STABLE)].requests == 15
    assert gathered.labels == {BlockKey(3, 1, STABLE): Labels(labelled=2)}
    assert gathered.closed_through == 8
    assert gathered.labels_closed_through == 4
    assert gathered.silent == ()
    assert KEY in world.news


async def test_a_slot_is_news_once_the_last_pod_has_closed_it(world: World) -> None:
    world.sidecars.reports = {"p1": report("p1", closed=8), "p2": report("p2", closed=8)}
    world.follow(target("p1"), target("p2"))
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 8)
    world.news.clear()
    world.sidecars.reports["p1"] = report("p1", closed=9, requests={9: 7})
    await world.until(lambda: world.requests() == 7)
    assert world.news == []
    world.sidecars.reports["p2"] = report("p2", closed=9)
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 9)
    await world.until(lambda: world.news == [KEY])


async def test_asks_from_the_cursor_first_and_then_from_what_it_has(world: World) -> None:
    world.sidecars.reports["p1"] = report(closed=9, labels_closed=4)
    world.follow(target(), after=3)
    await world.until(lambda: len(world.sidecars.asked) >= 2)
    assert world.sidecars.asked[:2] == [("p1", 3, 3), ("p1", 9, 4)]


async def test_asks_at_its_pace(world: World) -> None:
    world.sidecars.reports["p1"] = report()
    world.follow(target(), every=3600)
    await world.until(lambda: len(world.sidecars.asked) == 1)
    world.follow(target(), every=3600)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(world.sidecars.asked) == 1


async def test_a_pod_that_ends_is_asked_again_and_again_until_it_is_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "ENDING_SECONDS", 0.001)
    world.sidecars.reports = {"p1": report("p1", closed=9), "p2": report("p2", closed=9)}
    ending = replace(target("p2", ready=False), ending=True)
    world.follow(target("p1"), ending, every=3600)
    await world.until(lambda: len(world.sidecars.asked) >= 9)
    asked = [uid for uid, _, _ in world.sidecars.asked]
    assert (asked.count("p1"), asked.count("p2")) == (1, len(asked) - 1)
    world.sidecars.reports["p2"] = report("p2", closed=10, requests={10: 7})
    await world.until(lambda: world.requests() == 7)
    del world.sidecars.reports["p2"]
    world.now += 9001
    asks = len(world.sidecars.asked)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert len(world.sidecars.asked) <= asks + 1


async def test_a_pod_that_hangs_holds_up_no_question_to_one_that_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "ENDING_SECONDS", 0.001)
    world.sidecars.reports["p2"] = report("p2", closed=9)
    world.sidecars.hanging = {"p1"}
    world.follow(target("p1"), replace(target("p2"), ending=True), every=3600)
    await world.until(lambda: len(world.sidecars.asked) >= 2)
    await asyncio.sleep(0.01)  # until that first answer is taken
    world.sidecars.reports["p2"] = report("p2", closed=10, requests={10: 7})
    await world.until(lambda: world.requests() == 7)


async def test_a_pod_that_hangs_holds_up_no_document_for_another_one(world: World) -> None:
    world.sidecars.reports = {"p2": report("p2", generation=1)}
    world.sidecars.hanging = {"p1"}
    world.follow(target("p1"), target("p2"), every=3600)
    await world.until(lambda: {uid for uid, _, _ in world.sidecars.asked} == {"p1", "p2"})
    world.sidecars.generations["p2"] = 2
    world.follow(target("p1"), target("p2"), every=3600, generation=2, envelope="document 2")
    await world.until(lambda: world.sidecars.pushed == {"p2": "document 2"})


async def test_an_answer_that_is_on_its_way_when_the_pod_goes_still_counts(world: World) -> None:
    world.sidecars.hanging = {"p1"}
    world.follow(target("p1"), target("p2"), every=3600)
    await world.until(lambda: ("p1", 0, 0) in world.sidecars.asked)
    world.sidecars.reports = {"p1": report("p1", closed=9, requests={9: 5})}
    world.follow(target("p2"), every=3600)
    world.sidecars.release()
    await world.until(lambda: world.requests() == 5)


async def test_a_change_of_plan_is_acted_on_at_once(world: World) -> None:
    world.sidecars.reports["p1"] = report(generation=1)
    world.sidecars.generations["p1"] = 2
    world.follow(target(), every=3600, generation=1, envelope=None)
    await world.until(lambda: len(world.sidecars.asked) == 1)
    world.follow(target(), every=3600, generation=2, envelope="document 2")
    await world.until(lambda: world.sidecars.pushed == {"p1": "document 2"})


async def test_a_confirmation_is_news(world: World) -> None:
    world.sidecars.reports["p1"] = report(generation=2)
    world.sidecars.generations["p1"] = 2
    world.follow(target(), generation=2, envelope="document 2")
    await world.until(lambda: world.collector.gathered(KEY).confirmed == {"p1": 2})
    assert KEY in world.news


async def test_a_document_gets_through_to_a_pod_whose_monitor_hangs(world: World) -> None:
    world.sidecars.generations["p1"] = 2
    world.follow(target(), generation=2, envelope="document 2")
    await world.until(lambda: world.collector.gathered(KEY).confirmed == {"p1": 2})
    assert world.collector.gathered(KEY).closed_through is None


async def test_a_pod_that_fell_back_is_told_again(world: World) -> None:
    world.sidecars.reports["p1"] = report(generation=2)
    world.sidecars.generations["p1"] = 2
    world.follow(target(), generation=2, envelope="document 2")
    await world.until(lambda: len(world.sidecars.asked) >= 1)
    world.sidecars.pushed.clear()
    world.sidecars.reports["p1"] = report(generation=1)
    await world.until(lambda: world.sidecars.pushed == {"p1": "document 2"})


@pytest.mark.parametrize(
    ("later", "lost"),
    [
        pytest.param(report(closed=12, requests={11: 2, 12: 3}, counted=105), 0, id="all told"),
        pytest.param(report(closed=12, requests={10: 9, 12: 3}, counted=105), 2, id="a slot lost"),
        pytest.param(report(closed=9, requests={9: 4}, counted=104), 4, id="a clock set back"),
        pytest.param(report(closed=12, requests={12: 3}, counted=3), 0, id="begun anew"),
        pytest.param(report(closed=12, requests={12: 3}), 0, id="an older sidecar"),
    ],
)
def test_what_a_pod_counted_and_does_not_tell_is_lost(later: Report, lost: int) -> None:
    member = Member(0.0)
    member.take(report(closed=10, requests={10: 9}, counted=100))
    member.take(later)
    assert member.lost == lost


async def test_losses_are_summed_over_the_pods(world: World) -> None:
    for uid in ("p1", "p2"):
        world.sidecars.reports[uid] = report(uid, closed=9)
    world.follow(target("p1"), target("p2"))
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 9)
    for uid in ("p1", "p2"):
        world.sidecars.reports[uid] = report(uid, closed=10, requests={10: 1}, counted=4)
    await world.until(lambda: world.collector.gathered(KEY).lost == 6)


async def test_requests_told_are_counted_once_and_outlive_their_windows(world: World) -> None:
    world.sidecars.reports = {
        "p1": report("p1", closed=9, requests={8: 4, 9: 1}),
        "p2": report("p2", closed=9, requests={9: 10}),
    }
    world.follow(target("p1"), target("p2"))
    await world.until(lambda: len(world.sidecars.asked) >= 6)
    assert world.collector.gathered(KEY).told == 15
    world.sidecars.reports["p1"] = report("p1", closed=9 + KEPT_SLOTS + 1, requests={370: 2})
    world.follow(target("p1"))
    await world.until(lambda: world.requests() == 2)
    assert world.collector.gathered(KEY).told == 17


@pytest.mark.parametrize("ahead", [-600.0, 60.0, 600.0], ids=["behind", "ahead", "far ahead"])
async def test_a_pod_whose_clock_is_wrong_is_left_out_and_holds_nobody_up(
    world: World, ahead: float
) -> None:
    world.sidecars.reports = {
        "p1": report("p1", closed=70, requests={70: 1}),
        "p2": report("p2", closed=10, requests={10: 4}, counted=4),
    }
    world.sidecars.clocks["p2"] = ahead
    world.sidecars.generations = {"p1": 1, "p2": 1}
    world.follow(target("p1"), target("p2"), generation=1, envelope="document 1")
    await world.until(lambda: bool(world.collector.gathered(KEY).skews))
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 70)
    gathered = world.collector.gathered(KEY)
    assert gathered.skews == {"p2": ahead}
    assert gathered.silent == ()
    assert world.requests() == 1
    # It is no witness, but it does what it is told.
    await world.until(lambda: world.collector.gathered(KEY).confirmed.get("p2") == 1)
    assert len(world.silences) == 1
    assert KEY in world.news


async def test_what_a_pod_with_a_wrong_clock_counts_is_lost_until_it_is_told(world: World) -> None:
    world.sidecars.reports["p1"] = report(closed=60, requests={60: 9}, counted=100)
    world.follow(target())
    await world.until(lambda: world.requests() == 9)
    world.sidecars.clocks["p1"] = -600.0
    world.sidecars.reports["p1"] = report(closed=2, counted=107)
    await world.until(lambda: world.collector.gathered(KEY).lost == 7)
    # Its own mistake: it has counted in slots that were told long ago.
    world.sidecars.clocks.clear()
    world.sidecars.reports["p1"] = report(closed=63, requests={63: 2}, counted=109)
    await world.until(lambda: world.requests() == 11)
    assert world.collector.gathered(KEY).lost == 7
    assert world.collector.gathered(KEY).skews == {}


async def test_nothing_is_lost_by_a_mistake_of_the_operators_clock(world: World) -> None:
    world.sidecars.reports["p1"] = report(closed=60, requests={60: 9}, counted=100)
    world.follow(target())
    await world.until(lambda: world.requests() == 9)
    world.sidecars.clocks["p1"] = -600.0
    world.sidecars.reports["p1"] = report(closed=61, requests={61: 7}, counted=107)
    await world.until(lambda: world.collector.gathered(KEY).lost == 7)
    world.sidecars.clocks.clear()
    await world.until(lambda: world.requests() == 16)
    assert world.collector.gathered(KEY).lost == 0


async def test_what_a_pod_with_a_wrong_clock_never_told_stays_lost_when_it_is_gone(
    world: World,
) -> None:
    world.sidecars.reports = {"p1": report("p1"), "p2": report("p2", requests={3: 5}, counted=25)}
    world.sidecars.clocks["p2"] = -600.0
    world.follow(target("p1"), target("p2"))
    await world.until(lambda: world.collector.gathered(KEY).lost == 5)
    world.follow(target("p1"))
    await world.until(lambda: set(world.collector._followed[KEY].members) == {"p1"})
    assert world.collector.gathered(KEY).lost == 5


async def test_a_clock_that_drifts_by_a_second_is_no_news(world: World) -> None:
    world.sidecars.reports["p1"] = report()
    world.sidecars.clocks["p1"] = -600.0
    world.follow(target())
    await world.until(lambda: world.collector.gathered(KEY).skews == {"p1": -600.0})
    world.sidecars.clocks["p1"] = -601.0
    asked = len(world.sidecars.asked)
    await world.until(lambda: len(world.sidecars.asked) > asked + 2)
    assert world.collector.gathered(KEY).skews == {"p1": -600.0}
    world.sidecars.clocks["p1"] = -620.0
    await world.until(lambda: world.collector.gathered(KEY).skews == {"p1": -620.0})
    assert len(world.silences) == 1


async def test_pods_are_heard_again_when_their_clocks_and_the_operators_are_set_back(
    world: World,
) -> None:
    """By a day: what was said of tomorrow is forgotten, or nobody would be heard until then."""
    tomorrow = 8640
    for uid in ("p1", "p2", "gone"):
        world.sidecars.reports[uid] = report(
            uid, closed=tomorrow + 9, requests={tomorrow + 9: 3}, counted=3
        )
    world.follow(target("p1"), target("p2"), target("gone"))
    await world.until(lambda: world.requests() == 9)
    world.follow(target("p1"), target("p2"))
    # Only what is asked for is told: nothing behind tomorrow.
    for uid in ("p1", "p2"):
        world.sidecars.reports[uid] = report(uid, closed=20, counted=5)
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 20)
    for uid in ("p1", "p2"):
        world.sidecars.reports[uid] = report(uid, closed=21, requests={21: 6}, counted=11)
    await world.until(lambda: world.requests() == 12)
    gathered = world.collector.gathered(KEY)
    assert gathered.closed_through == 21
    assert {k.slot for k in gathered.windows} == {21}
    assert (gathered.told, gathered.lost) == (21, 4)


async def test_no_slot_is_closed_before_every_pod_was_heard(world: World) -> None:
    world.sidecars.reports["p1"] = report("p1", closed=9, requests={9: 1})
    world.follow(target("p1"), target("p2"))
    await world.until(lambda: world.requests() == 1)
    gathered = world.collector.gathered(KEY)
    assert (gathered.closed_through, gathered.labels_closed_through) == (None, None)
    world.sidecars.reports["p2"] = report("p2", closed=9, requests={9: 10})
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 9)
    assert world.requests() == 11
    assert world.collector.gathered(KEY).labels_closed_through == 5


async def test_a_pod_that_does_not_answer_is_silent_and_holds_nobody_up(world: World) -> None:
    world.sidecars.reports["p1"] = report("p1", closed=9, requests={9: 1})
    world.follow(target("p1"), target("p2"))
    await world.until(lambda: world.requests() == 1)
    assert world.collector.gathered(KEY).silent == ()
    world.now += 31
    await world.until(lambda: world.collector.gathered(KEY).silent == ("p2",))
    assert world.collector.gathered(KEY).closed_through == 9
    assert len(world.silences) == 1


async def test_evidence_that_is_old_closes_nothing(world: World) -> None:
    world.sidecars.reports["p1"] = report("p1", closed=9, requests={9: 1})
    world.follow(target("p1"))
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 9)
    del world.sidecars.reports["p1"]
    await world.until(lambda: bool(world.silences))
    world.now += 31
    gathered = world.collector.gathered(KEY)
    assert gathered.closed_through is None
    assert gathered.silent == ("p1",)
    assert world.requests() == 1


async def test_a_pod_that_stops_being_ready_holds_its_last_slots_open_for_a_while(
    world: World,
) -> None:
    world.sidecars.reports = {"p1": report("p1", closed=9), "p2": report("p2", closed=8)}
    world.follow(target("p1"), target("p2"))
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 8)
    world.follow(target("p1"), target("p2", ready=False))
    world.sidecars.reports["p1"] = report("p1", closed=10)
    await world.until(lambda: world.collector._followed[KEY].members["p1"].closed_through == 10)
    assert world.collector.gathered(KEY).closed_through == 8
    world.sidecars.reports["p2"] = report("p2", closed=10, requests={9: 7})
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 10)
    assert world.requests() == 7
    del world.sidecars.reports["p2"]
    world.sidecars.reports["p1"] = report("p1", closed=12)
    world.now += 31
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 12)


async def test_a_pod_that_was_never_ready_nor_heard_holds_nobody_up(world: World) -> None:
    world.sidecars.reports = {"p1": report("p1", closed=9)}
    world.follow(target("p1"), target("p2", ready=False))
    await world.until(lambda: world.collector.gathered(KEY).closed_through == 9)
    assert world.silences == []


@pytest.mark.parametrize("meanwhile", [(), (target("p1", ready=False),)], ids=["gone", "unready"])
async def test_a_pod_that_comes_back_has_time_to_be_heard(
    world: World, meanwhile: tuple[Target, ...]
) -> None:
    world.sidecars.reports["p1"] = report("p1", closed=9, requests={9: 1})
    world.follow(target("p1"))
    await world.until(lambda: world.requests() == 1)
    del world.sidecars.reports["p1"]
    world.follow(*meanwhile)
    world.now += 31
    world.follow(target("p1"))
    assert world.collector.gathered(KEY).silent == ()
    assert world.collector.gathered(KEY).closed_through == 9


async def test_a_pod_that_is_gone_leaves_its_evidence(world: World) -> None:
    world.sidecars.reports = {
        "p1": report("p1", closed=9, requests={9: 1}),
        "p2": report("p2", closed=9, requests={9: 10}),
    }
    world.follow(target("p1"), target("p2"))
    await world.until(lambda: world.requests() == 11)
    world.follow(target("p1"))
    asked = len(world.sidecars.asked)
    await world.until(lambda: len(world.sidecars.asked) > asked + 2)
    assert world.requests() == 11
    world.sidecars.reports["p1"] = report("p1", closed=9 + KEPT_SLOTS + 1, requests={370: 2})
    await world.until(lambda: world.requests() == 2)
    assert set(world.collector._followed[KEY].members) == {"p1"}


async def test_a_broken_profile_costs_no_evidence(world: World) -> None:
    world.sidecars.reports["p1"] = report(closed=9, requests={9: 1})
    world.sidecars.broken_profiles.add("p1")
    world.follow(target())
    await world.until(lambda: len(world.sidecars.asked) >= 3)
    gathered = world.collector.gathered(KEY)
    assert gathered.closed_through == 9
    assert gathered.profiles == {}
    assert len(world.silences) == 1


async def test_a_profile_is_read_again_when_the_pod_comes_back(world: World) -> None:
    world.sidecars.reports["p1"] = report(closed=9, requests={9: 1})
    world.sidecars.profiles["p1"] = PROFILE
    world.follow(target())
    await world.until(lambda: world.collector.gathered(KEY).profiles == {STABLE: PROFILE})
    world.follow()
    await world.until(lambda: world.collector.gathered(KEY).profiles == {})
    world.follow(target())
    await world.until(lambda: world.collector.gathered(KEY).profiles == {STABLE: PROFILE})


async def test_forgets(world: World) -> None:
    world.sidecars.reports["p1"] = report(requests={9: 1})
    world.follow(target())
    await world.until(lambda: world.requests() == 1)
    world.collector.forget(KEY)
    world.collector.forget(KEY)
    assert world.requests() == 0


def sequence_of(uid: str, counts: list[int], labelled: list[int]) -> list[Report]:
    """The reports of a pod's life: each slot is reported once it is closed, labels as they come."""
    return [
        report(
            uid,
            closed=slot,
            requests={s: n for s, n in enumerate(counts) if s <= slot},
            # A slot's labels grow until it is closed for labels, two slots later.
            labels={s: min(n, slot - s + 1) for s, n in enumerate(labelled) if s <= slot},
            labels_closed=max(0, slot - 2),
            generation=slot,
        )
        for slot in range(len(counts))
    ]


LIFE = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 9), min_size=n, max_size=n),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
    )
)


@given(lives=st.lists(LIFE, min_size=1, max_size=3), data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_order_and_repetition_of_reports_gives_the_same_evidence(
    lives: list[tuple[list[int], list[int]]], data: st.DataObject
) -> None:
    said = {f"p{n}": sequence_of(f"p{n}", *life) for n, life in enumerate(lives)}
    everything = [r for reports in said.values() for r in reports]
    shuffled = data.draw(st.permutations(everything))
    repeated = [*shuffled, *data.draw(st.lists(st.sampled_from(everything), max_size=10))]

    def taken(reports: list[Report]) -> tuple[object, ...]:
        members = {uid: Member(0.0) for uid in said}
        for one in reports:
            members[one.member].take(one)
        return (
            merged(m.windows for m in members.values()),
            merged_labels(m.labels for m in members.values()),
            [(m.closed_through, m.labels_closed_through) for m in members.values()],
        )

    assert taken(repeated) == taken(everything)
    assert merged(r[-1].windows for r in said.values()) == taken(everything)[0]


@given(lives=st.lists(LIFE, min_size=1, max_size=3), data=st.data())
@settings(max_examples=50, deadline=None)
def test_sums_that_are_kept_up_equal_sums_from_the_beginning(
    lives: list[tuple[list[int], list[int]]], data: st.DataObject
) -> None:
    said = [r for n, life in enumerate(lives) for r in sequence_of(f"p{n}", *life)]
    members = {r.member: Member(0.0) for r in said}
    sums = Sums(merged)
    for one in data.draw(st.permutations(said)):
        sums.doubt(one.windows)
        members[one.member].take(one)
        if data.draw(st.booleans()):
            slot = data.draw(st.integers(0, 3))
            for member in members.values():
                forgotten, _ = member.drop_before(slot, slot)
                sums.doubt(forgotten)
        if data.draw(st.booleans()):
            sums.of(m.windows for m in members.values())
    assert sums.of(m.windows for m in members.values()) == merged(
        m.windows for m in members.values()
    )


def test_an_open_slot_is_not_evidence_yet() -> None:
    member = Member(0.0)
    member.take(replace(report(closed=9, requests={9: 1, 10: 4})))
    assert set(member.windows) == {BlockKey(9, 1, STABLE)}
