"""The rules of the rollout: each state, each step, and what holds from every state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.model import AnalysisStep, Pause, Step
from tidegate.api.v1alpha1.model_status import MetricStatus
from tidegate.rollout.machine import Progress, Situation, State, advance, step_in_words
from tidegate.rollout.verdict import Summary, Verdict

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STEPS = (
    Step(set_weight=10),
    Step(pause=Pause(duration="1m")),
    Step(analysis=AnalysisStep(timeout="1h")),
    Step(set_weight=50),
    Step(analysis=AnalysisStep()),
)
BREACH = MetricStatus(
    name="errors", verdict="Fail", estimate="0.03", tolerance="+0.005", samples=812, evidence="4000"
)
PASS, WAIT = Summary(Verdict.PASS), Summary(waiting_for=("errors",))
ROLL_BACK = Summary(Verdict.FAIL, breached=BREACH, rollback=True)
HOLD = Summary(Verdict.FAIL, breached=BREACH, rollback=False)


def situation(**changes: object) -> Situation:
    return replace(
        Situation(
            now=NOW,
            steps=STEPS,
            ready=True,
            alive=True,
            stable_gone=False,
            confirmed_weight=0,
            summary=WAIT,
            on_inconclusive="Hold",
            progress_deadline=timedelta(minutes=10),
        ),
        **changes,  # type: ignore[arg-type]  # the fields' types differ
    )


BEGUN = Progress(State.STARTING, 0, NOW, 0)


def stepping(index: int, weight: int, *, for_minutes: int = 0) -> Progress:
    return Progress(State.STEPPING, index, NOW - timedelta(minutes=for_minutes), weight)


def test_starts_when_every_pod_is_ready() -> None:
    moved = advance(BEGUN, situation())
    assert moved.progress == stepping(0, 0)
    assert moved.decision is not None
    assert moved.decision.action == "Start"


def test_waits_at_weight_0_until_the_pods_are_ready() -> None:
    moved = advance(BEGUN, situation(ready=False, alive=True))
    assert (moved.progress.state, moved.progress.weight) == (State.STARTING, 0)
    assert moved.decision is None


def test_rejects_a_candidate_whose_pods_never_become_ready() -> None:
    late = replace(BEGUN, since=NOW - timedelta(minutes=10))
    moved = advance(late, situation(ready=False, alive=False))
    assert moved.progress.state is State.ROLLED_BACK
    assert moved.reason is Reason.CANDIDATE_NOT_READY
    assert moved.message.startswith("The candidate's pods were not ready within 10m.")


def test_sets_a_weight_and_waits_until_the_pods_act_on_it() -> None:
    set_ = advance(stepping(0, 0), situation())
    assert set_.progress == stepping(0, 10)
    assert set_.decision is not None
    assert (set_.decision.from_weight, set_.decision.to_weight) == (0, 10)
    waiting = advance(set_.progress, situation(confirmed_weight=None))
    assert (waiting.progress, waiting.decision) == (set_.progress, None)
    confirmed = advance(set_.progress, situation(confirmed_weight=10))
    assert confirmed.progress.index == 1


def test_pauses_for_the_duration() -> None:
    assert advance(stepping(1, 10), situation()).progress.index == 1
    assert advance(stepping(1, 10, for_minutes=1), situation()).progress.index == 2


def test_an_analysis_needs_a_pass() -> None:
    assert advance(stepping(2, 10), situation(summary=WAIT)).progress.index == 2
    assert advance(stepping(2, 10), situation(summary=PASS)).progress.index == 3


@pytest.mark.parametrize(
    ("policy", "index", "state"),
    [
        ("Hold", 2, State.STEPPING),
        ("Advance", 3, State.STEPPING),
        ("Rollback", 2, State.ROLLED_BACK),
    ],
)
def test_an_analysis_that_times_out_does_what_the_spec_says(
    policy: str, index: int, state: State
) -> None:
    moved = advance(stepping(2, 10, for_minutes=60), situation(on_inconclusive=policy))
    assert (moved.progress.index, moved.progress.state) == (index, state)
    assert moved.reason is Reason.ANALYSIS_TIMED_OUT


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"skewed": "age: 31% missing"}, Reason.ROUTING_SKEW),
        ({"broken": "age (31% missing)"}, Reason.BROKEN_DATA),
    ],
)
def test_what_spoils_the_comparison_holds_every_step_and_names_the_feature(
    seen: dict[str, str], reason: Reason
) -> None:
    for index, waited in ((1, 5), (2, 120), (3, 0)):
        before = stepping(index, 10, for_minutes=waited)
        for summary in (PASS, WAIT):
            moved = advance(before, situation(summary=summary, **seen))
            assert (moved.progress, moved.reason) == (before, reason)
            assert "age" in moved.message


def test_worse_answers_to_other_requests_hold_and_errors_roll_back_all_the_same() -> None:
    skewed = situation(summary=ROLL_BACK, skewed="age")
    assert advance(stepping(2, 10), skewed).reason is Reason.ROUTING_SKEW
    felt = replace(skewed, summary=replace(ROLL_BACK, regardless=True))
    assert advance(stepping(2, 10), felt).progress.state is State.ROLLED_BACK


def test_a_breach_to_hold_on_stops_every_step_and_keeps_the_weight() -> None:
    for index, waited in ((1, 5), (2, 120), (3, 0)):
        moved = advance(stepping(index, 10, for_minutes=waited), situation(summary=HOLD))
        assert moved.progress == stepping(index, 10, for_minutes=waited)
        assert "errors" in moved.message


def test_promotes_after_the_last_step() -> None:
    moved = advance(stepping(5, 50), situation())
    assert (moved.progress.state, moved.progress.weight) == (State.PROMOTED, 100)
    assert moved.decision is not None
    assert moved.decision.action == "Promote"


def test_promotes_only_when_every_pod_is_ready_and_nothing_holds() -> None:
    for waits in ({"ready": False}, {"summary": HOLD}):
        assert advance(stepping(5, 50), situation(**waits)).progress == stepping(5, 50)


def test_raises_the_weight_only_when_every_pod_is_ready() -> None:
    moved = advance(stepping(3, 10), situation(ready=False))
    assert (moved.progress, moved.reason) == (stepping(3, 10), Reason.AWAITING_PODS)


def test_is_promoted_when_there_is_no_stable_revision_left_to_protect() -> None:
    for progress in (BEGUN, stepping(0, 10), stepping(2, 10)):
        moved = advance(progress, situation(stable_gone=True))
        assert (moved.progress.state, moved.reason) == (State.PROMOTED, Reason.STABLE_GONE)
    bad = advance(stepping(2, 10), situation(stable_gone=True, summary=ROLL_BACK))
    assert bad.progress.state is State.ROLLED_BACK


def test_a_candidate_that_keeps_losing_its_pods_is_rejected() -> None:
    progress = stepping(2, 10)
    for _ in range(3):
        lost = advance(progress, situation(ready=False, alive=False)).progress
        if lost.state is State.ROLLED_BACK:
            return
        progress = advance(lost, situation()).progress
        progress = advance(progress, situation()).progress
        progress = advance(progress, situation(confirmed_weight=10)).progress
    raise AssertionError("it is still tried")


def test_losses_are_forgotten_once_an_analysis_is_passed() -> None:
    worn = replace(stepping(2, 10), losses=2)
    assert advance(worn, situation(summary=PASS)).progress.losses == 0


def test_without_steps_a_ready_candidate_is_promoted_at_once() -> None:
    moved = advance(stepping(0, 0), situation(steps=()))
    assert moved.progress.state is State.PROMOTED


def test_goes_back_to_weight_0_when_all_pods_are_lost_and_sets_the_weight_again() -> None:
    lost = advance(stepping(4, 50), situation(ready=False, alive=False))
    assert (lost.progress.state, lost.progress.weight, lost.progress.index) == (
        State.STARTING,
        0,
        3,
    )
    back = advance(lost.progress, situation())
    again = advance(back.progress, situation())
    assert (again.progress.index, again.progress.weight) == (3, 50)


def test_keeps_its_weight_while_some_pods_are_ready() -> None:
    moved = advance(stepping(4, 50), situation(ready=False, alive=True))
    assert moved.progress == stepping(4, 50)


def test_the_step_in_words_counts_from_one() -> None:
    assert step_in_words(STEPS, 0) == "1/5 weight 10"
    assert step_in_words(STEPS, 1) == "2/5 pause 1m"
    assert step_in_words(STEPS, 2) == "3/5 analysis"
    assert step_in_words(STEPS, 5) == "5/5 done"


progresses = st.builds(
    Progress,
    state=st.sampled_from(State),
    index=st.integers(0, len(STEPS)),
    since=st.integers(0, 200).map(lambda m: NOW - timedelta(minutes=m)),
    weight=st.sampled_from([0, 10, 50]),
)
situations = st.builds(
    situation,
    ready=st.booleans(),
    alive=st.booleans(),
    stable_gone=st.booleans(),
    confirmed_weight=st.sampled_from([None, 0, 10, 50]),
    summary=st.sampled_from([PASS, WAIT, HOLD, ROLL_BACK]),
    on_inconclusive=st.sampled_from(["Hold", "Rollback", "Advance"]),
)


@given(progress=progresses, seen=situations)
def test_weights_stay_between_0_and_100_and_follow_the_steps(
    progress: Progress, seen: Situation
) -> None:
    weight = advance(progress, seen).progress.weight
    assert weight in {0, 10, 50, 100, progress.weight}


@given(progress=progresses, seen=situations)
def test_a_breach_reaches_weight_0_from_every_running_state(
    progress: Progress, seen: Situation
) -> None:
    moved = advance(progress, replace(seen, summary=ROLL_BACK))
    if progress.state in (State.STARTING, State.STEPPING):
        assert (moved.progress.state, moved.progress.weight) == (State.ROLLED_BACK, 0)


@given(progress=progresses, seen=situations)
def test_looking_again_without_news_decides_nothing_at_the_ends(
    progress: Progress, seen: Situation
) -> None:
    moved = advance(progress, seen)
    if moved.progress.state in (State.PROMOTED, State.ROLLED_BACK):
        again = advance(moved.progress, seen)
        assert (again.progress, again.decision) == (moved.progress, None)


@given(progress=progresses, seen=situations)
def test_no_look_skips_a_step(progress: Progress, seen: Situation) -> None:
    assert advance(progress, seen).progress.index <= progress.index + 1


@given(progress=progresses, seen=situations)
def test_nothing_advances_without_proof_while_everything_is_inconclusive(
    progress: Progress, seen: Situation
) -> None:
    waiting = replace(
        seen,
        summary=WAIT,
        on_inconclusive="Hold",
        ready=True,
        alive=True,
        stable_gone=False,
    )
    moved = advance(progress, waiting)
    on_analysis = progress.index < len(STEPS) and STEPS[progress.index].analysis is not None
    if progress.state is State.STEPPING and on_analysis:
        assert moved.progress == progress
