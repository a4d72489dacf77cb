"""What a Model's reconcile decides, told as stories."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from tests.unit.controllers.model.scenes import CANARY, NEW, NEWER, OLD, Story, model, pod

from tidegate.api.v1alpha1.model import Model
from tidegate.controllers.model.plan import plan
from tidegate.controllers.model.state import Revision
from tidegate.controllers.model.status import status
from tidegate.errors import TerminalError
from tidegate.evidence.profile import Number, Predictions, Profile
from tidegate.evidence.windows import UNDRAWN, BlockKey, Counts, slot_of
from tidegate.traffic.routing import Match


def canary(story: Story) -> None:
    """Bring a candidate to its first confirmed weight."""
    story.wanted = NEW
    story.look()
    story.ready.add(NEW.name)
    for _ in range(4):
        story.look()


def run(story: Story, *, error: float, slots: int) -> None:
    for _ in range(slots):
        story.traffic(errors={NEW.name: error})
        story.look(seconds=10)


def until(story: Story, action: str, *, error: float) -> Model:
    """Traffic until an action is decided; the Model as it was before that look."""
    for _ in range(100):
        before = story.model
        story.traffic(errors={NEW.name: error})
        story.look(seconds=10)
        if story.actions[-1] == action:
            return before
    raise AssertionError(f"no {action} in {story.actions}")


def test_the_first_revision_serves_as_soon_as_it_is_ready() -> None:
    story = Story()
    first = story.look()
    assert first.stable == OLD
    assert story.condition("Available") == ("False", "NotReady")
    story.ready = {OLD.name}
    story.look()
    assert story.actions == ["Promote"]
    assert story.condition("Ready") == ("True", "Serving")
    assert story.model.status.stable is not None
    assert story.model.status.stable.weight == 100


def test_a_first_revision_that_never_starts_gives_way_to_a_better_one() -> None:
    story = Story()
    story.look()
    story.wanted = NEW
    assert story.look().stable == NEW


def test_at_rest_a_look_changes_nothing() -> None:
    story = Story()
    story.until_promoted_first()
    before = story.model.status
    step = story.look()
    assert story.model.status == before
    assert step.routing == story.plans[-2].routing
    assert step.requeue_after is None


def test_a_candidate_gets_no_weight_before_its_pods_are_ready() -> None:
    story = Story()
    story.until_promoted_first()
    story.wanted = NEW
    for _ in range(3):
        step = story.look()
        assert step.candidate == NEW
        assert step.routing is not None
        assert step.routing.candidate is None


def test_a_crash_looping_candidate_is_rejected_without_ever_getting_weight() -> None:
    story = Story()
    story.until_promoted_first()
    story.wanted = NEW
    story.look()
    story.look(seconds=601)
    assert story.actions[-1] == "RollBack"
    assert story.condition("Promoted") == ("False", "RolledBack")
    assert all(p.routing is None or p.routing.candidate is None for p in story.plans)
    assert story.look().candidate is None


def test_the_weight_waits_for_every_stable_pod() -> None:
    story = Story()
    story.until_promoted_first()
    story.deaf = {f"{OLD.name}-0"}
    canary(story)
    rollout = story.model.status.rollout
    assert rollout is not None
    assert (rollout.step.index, rollout.weight) == (0, 10)
    story.deaf = set()
    story.look()
    assert story.model.status.rollout is not None
    assert story.model.status.rollout.step.index == 1


def test_a_good_candidate_is_promoted_and_the_old_one_stays_warm_then_drains() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    run(story, error=0.0, slots=40)
    assert story.model.status.stable is not None
    assert story.model.status.stable.revision == NEW.name
    assert story.actions[-1] == "Promote"
    assert story.condition("Promoted") == ("True", "Promoted")
    story.look(seconds=300)
    assert [r.name for r in story.look().live] == [NEW.name]


def test_every_weight_step_needs_samples_of_its_own() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    seen_at_50 = 0
    for _ in range(60):
        story.traffic(errors={})
        step = story.look(seconds=10)
        if step.routing and step.routing.candidate and step.routing.candidate.weight == 50:
            seen_at_50 += 250
        if story.actions[-1] == "Promote":
            break
    assert seen_at_50 >= 200


def test_a_bad_candidate_is_rolled_back_and_not_tried_again() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    run(story, error=0.3, slots=20)
    assert story.actions[-1] == "RollBack"
    assert story.model.status.decisions[-1].metrics[0].verdict == "Fail"
    assert story.model.status.stable is not None
    assert story.model.status.stable.revision == OLD.name
    assert [r.revision for r in story.model.status.rejected] == [NEW.name]
    step = story.look()
    assert step.candidate is None
    assert step.routing is not None
    assert step.routing.candidate is None


def test_the_pods_of_a_rolled_back_candidate_stay_until_nobody_routes_to_them() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    until(story, "RollBack", error=0.3)
    story.deaf = {f"{OLD.name}-0"}
    assert NEW in story.look(seconds=30).live
    story.deaf = set()
    assert NEW not in story.look().live


def test_a_deaf_pod_reads_its_config_map_and_keeps_nobody_waiting_for_ever() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    until(story, "RollBack", error=0.3)
    story.deaf = {f"{OLD.name}-0"}
    story.look()
    assert NEW not in story.look(seconds=120).live


def test_another_version_in_mid_rollout_begins_from_the_first_step() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    run(story, error=0.0, slots=2)
    story.wanted = NEWER
    step = story.look()
    assert "Supersede" in story.actions
    assert step.candidate == NEWER
    assert step.rollout is not None
    assert (step.rollout.step.index, step.rollout.weight, step.rollout.cursor) == (0, 0, "")


def test_going_back_to_the_stable_version_ends_the_rollout() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    story.wanted = OLD
    step = story.look()
    assert step.candidate is None
    assert story.condition("Promoted") == ("True", "Promoted")


def test_suspend_takes_the_weight_away_and_serving_goes_on() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    spec = story.model.spec.model_copy(update={"suspend": True})
    story.model = story.model.model_copy(update={"spec": spec})
    step = story.look()
    assert step.routing is not None
    assert step.routing.candidate is None
    assert story.condition("Promoted") == ("False", "Suspended")
    assert story.condition("Available")[0] == "True"


def test_a_candidate_that_loses_its_pods_loses_its_weight() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    story.ready.discard(NEW.name)
    step = story.look()
    assert step.routing is not None
    assert step.routing.candidate is None
    assert story.actions[-1] == "Hold"


def test_an_operator_that_died_after_promoting_still_keeps_the_old_revision_warm() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    before = until(story, "Promote", error=0.0)
    story.model = before  # the objects were written, the status was not
    step = story.look()
    assert step.stable == NEW
    assert story.actions[-1] == "Promote"
    assert step.previous is not None
    assert step.previous.revision == OLD.name


def test_steps_that_are_edited_in_mid_rollout_begin_from_the_first() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    run(story, error=0.0, slots=2)
    edit_steps(story, {"setWeight": 5})
    step = story.look()
    assert story.actions[-1] == "SetWeight"
    assert step.rollout is not None
    assert (step.rollout.step.index, step.rollout.weight) == (0, 5)


@pytest.mark.parametrize(
    ("duration", "index", "weight"),
    [
        pytest.param("0s", 2, 10, id="goes on at once"),
        pytest.param("2h", 1, 10, id="waits longer"),
    ],
)
def test_a_pause_may_be_ended_or_extended(duration: str, index: int, weight: int) -> None:
    story = Story()
    story.until_promoted_first()
    edit_steps(story, {"setWeight": 10}, {"pause": {"duration": "1h"}}, {"setWeight": 60})
    canary(story)
    while (step := story.look()).rollout is None or step.rollout.step.index == 0:
        pass
    edit_steps(story, {"setWeight": 10}, {"pause": {"duration": duration}}, {"setWeight": 60})
    step = story.look()
    assert step.rollout is not None
    assert (step.rollout.step.index, step.rollout.weight) == (index, weight)


def edit_steps(story: Story, *steps: dict[str, Any]) -> None:
    spec = story.model.spec
    strategy = model(delivery={"strategy": {"canary": {"steps": list(steps)}}})
    delivery = spec.delivery.model_copy(update={"strategy": strategy.spec.delivery.strategy})
    story.model = story.model.model_copy(
        update={"spec": spec.model_copy(update={"delivery": delivery})}
    )


def test_a_step_may_gather_its_samples_over_any_time() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    for _ in range(2000):
        story.traffic(errors={}, requests=40)
        story.windows = dict(list(story.windows.items())[-20:])  # the pods keep little
        story.look(seconds=10)
        if story.actions[-1] == "Promote":
            break
    assert story.actions[-1] == "Promote"


def test_a_dead_stable_revision_does_not_block_its_own_replacement() -> None:
    story = Story()
    story.until_promoted_first()
    story.ready = set()
    story.wanted = NEW
    story.look()
    story.ready = {NEW.name}
    story.look()
    story.look(seconds=601)
    step = story.look()
    assert step.stable == NEW
    assert story.model.status.decisions[-1].reason == "StableGone"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (NEWER, f"The spec now asks for {NEWER.name}."),
        (OLD, "The spec now asks for the stable revision."),
        (None, "no longer names a revision that can serve. as the scene wants it"),
    ],
)
def test_what_ends_a_rollout_before_its_end_is_told(wish: Revision | None, words: str) -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    run(story, error=0.0, slots=2)
    story.wanted = wish
    story.look()
    (ended,) = [d for d in story.model.status.decisions if d.action == "Supersede"]
    assert ended.message.endswith(words)


def test_a_candidate_that_did_not_start_is_tried_again_when_the_spec_is_edited() -> None:
    story = Story()
    story.until_promoted_first()
    story.wanted = NEW
    story.look()
    story.look(seconds=601)
    assert story.look().candidate is None
    metadata = story.model.metadata.model_copy(update={"generation": 4})
    story.model = story.model.model_copy(update={"metadata": metadata})
    assert story.look().candidate == NEW
    assert story.condition("Promoted") == ("False", "Progressing")


def test_a_candidate_of_which_nothing_was_proven_is_tried_again_when_the_spec_is_edited() -> None:
    steps = [{"setWeight": 10}, {"analysis": {"timeout": "1m"}}]
    spec = model().spec.delivery.to_api() | {
        "strategy": {"canary": {"steps": steps}},
        "analysis": {"onInconclusive": "Rollback"},
    }
    story = Story(model(delivery=spec))
    story.until_promoted_first()
    canary(story)
    for _ in range(20):
        story.look(seconds=10)
    (rejected,) = story.model.status.rejected
    assert rejected.reason == "AnalysisTimedOut"
    assert story.look().candidate is None
    metadata = story.model.metadata.model_copy(update={"generation": 4})
    story.model = story.model.model_copy(update={"metadata": metadata})
    assert story.look().candidate == NEW


def test_a_candidate_that_was_worse_is_not_tried_again_by_an_edit() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    until(story, "RollBack", error=0.3)
    metadata = story.model.metadata.model_copy(update={"generation": 4})
    story.model = story.model.model_copy(update={"metadata": metadata})
    assert story.look().candidate is None


def test_a_restarted_operator_keeps_the_bins_of_the_predictions() -> None:
    story = Story()
    story.until_promoted_first()
    assert story.seen.routing is not None
    known = replace(story.seen.routing, prediction_edges=(0.2, 0.8))
    story.seen = replace(story.seen, routing=known)
    assert story.look().routing == known


def test_the_generation_rises_when_and_only_when_the_document_changes() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    run(story, error=0.0, slots=5)
    documents = [p.routing for p in story.plans if p.routing is not None]
    for before, after in pairwise(documents):
        assert (before == after) == (before.generation == after.generation)
        assert before.generation <= after.generation


def test_a_pod_that_names_an_absurd_generation_drags_nobody_along() -> None:
    story = Story()
    story.until_promoted_first()
    assert story.seen.routing is not None
    seen = replace(story._observe(), confirmed={"liar": 2**60})
    assert plan(seen, story.now).routing == story.seen.routing


@pytest.mark.parametrize("strategy", [{"immediate": {}}, CANARY])
def test_a_plan_is_a_function_of_what_is_seen(strategy: dict[str, object]) -> None:
    delivery = {"strategy": strategy}
    story = Story(model(delivery=delivery))
    story.until_promoted_first()
    story.wanted = NEW
    story.look()
    assert plan(story.seen, story.now) == plan(story.seen, story.now)


def test_immediate_promotes_a_ready_candidate_without_evidence() -> None:
    story = Story(model(delivery={"strategy": {"immediate": {}}}))
    story.until_promoted_first()
    story.wanted = NEW
    story.look()
    story.ready.add(NEW.name)
    story.look()
    story.look()
    assert story.actions[-1] == "Promote"
    assert story.condition("Guarded") == ("False", "NoAnalysis")


def test_of_grpc_the_status_says_that_nothing_is_counted() -> None:
    immediate: dict[str, Any] = {"strategy": {"immediate": {}}}
    story = Story(model(serving={"protocol": "GRPC"}, delivery=immediate))
    story.until_promoted_first()
    assert story.condition("Ready")[0] == "True"
    assert story.condition("Guarded") == ("False", "NothingCounted")


def test_an_old_rollout_writes_its_evidence_down_less_often() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    writes = []
    for slots in (30, 180, 30):
        before = story.model.status
        count = 0
        for _ in range(slots):
            story.traffic(errors={}, requests=1)
            story.look(seconds=10)
            count += story.model.status != before
            before = story.model.status
        writes.append(count)
    assert writes[0] >= 15
    assert writes[2] <= 6


def test_a_new_weight_is_shown_once_the_pods_act_on_it() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    shown: list[int] = []
    for _ in range(40):
        story.deaf = {f"{OLD.name}-0"} if len(shown) % 2 else set()
        story.traffic(errors={})
        story.look(seconds=10)
        if story.model.status.candidate is None:
            break
        shown.append(story.model.status.candidate.weight)
    assert story.actions[-1] == "Promote"
    assert shown == sorted(shown)
    assert {*shown} == {10, 50}


def test_a_hold_for_want_of_evidence_is_told_once() -> None:
    steps = [{"setWeight": 10}, {"analysis": {"timeout": "1m"}}]
    spec = model().spec.delivery.to_api() | {"strategy": {"canary": {"steps": steps}}}
    story = Story(model(delivery=spec))
    story.until_promoted_first()
    canary(story)
    run(story, error=0.0, slots=1)
    for _ in range(20):
        story.look(seconds=10)
    (held,) = [d for d in story.model.status.decisions if d.action == "Hold"]
    assert (held.reason, held.from_weight, held.to_weight) == ("AnalysisTimedOut", 10, 10)
    assert "No verdict after 1m" in held.message


def test_what_is_refused_is_said_also_while_the_evidence_stands_still() -> None:
    story = Story()
    story.until_promoted_first()
    canary(story)
    run(story, error=0.0, slots=2)
    seen = replace(story.seen, model=story.model)
    step = plan(seen, story.now)
    assert status(seen, step, story.now) == story.model.status
    refused = status(seen, step, story.now, TerminalError("Invalid", "no such CPU"))
    accepted = refused.condition("Accepted")
    assert accepted is not None
    assert (accepted.status, accepted.message) == ("False", "no such CPU")


@pytest.mark.parametrize("stored", [False, True])
def test_an_operator_that_has_read_no_evidence_yet_gives_no_weight_back(*, stored: bool) -> None:
    """The last one took it away, and died before it could say so in the status."""
    story = Story()
    story.until_promoted_first()
    canary(story)
    run(story, error=0.0, slots=1)
    before = story.seen.routing
    assert before is not None
    assert before.candidate is not None
    ended = replace(before, candidate=None, generation=before.generation + 1)
    acting = {p.uid: ended.generation for p in (pod(OLD), pod(NEW))}
    seen = replace(
        story._observe(),
        routing=ended if stored else before,
        windows={},
        closed_through=None,
        labels_closed_through=None,
    )
    for confirmed in ({}, acting):
        told = plan(replace(seen, confirmed=confirmed), story.now).routing
        assert told == seen.routing
    heard = replace(seen, confirmed=acting, closed_through=story.seen.closed_through)
    told = plan(heard, story.now).routing
    assert told is not None
    assert told.generation > ended.generation
    assert told.candidate is not None


def test_pods_that_act_on_a_document_that_was_never_stored_are_told_anew() -> None:
    story = Story()
    story.until_promoted_first()
    routing = story.seen.routing
    assert routing is not None
    ahead = routing.generation + 7
    seen = replace(story.seen, pods=(pod(OLD),), confirmed={pod(OLD).uid: ahead})
    told = plan(seen, story.now).routing
    assert told is not None
    assert told.generation > ahead


def ruled(**rules: object) -> Model:
    """A Model whose canary has rules of who goes where."""
    spec = model().spec
    strategy = {"strategy": {"canary": {**CANARY["canary"], **rules}}}
    delivery = spec.delivery.to_api() | strategy
    delivery["analysis"] |= {"maxRequestsPerSession": 5}
    return model(delivery=delivery)


def test_matched_callers_get_the_candidate_as_soon_as_it_may_serve() -> None:
    story = Story(ruled(match=[{"header": "x-tester", "value": "yes"}]))
    story.until_promoted_first()
    story.wanted = NEW
    waiting = story.look()
    assert waiting.routing is not None
    assert waiting.routing.candidate is None, "its pods are not ready"
    story.ready.add(NEW.name)
    step = story.look()
    assert step.routing is not None
    assert step.routing.candidate is not None
    assert step.routing.candidate.weight == 0
    assert step.routing.candidate.match == (Match("x-tester", "yes"),)
    story.look()
    assert story.seen.routing is not None
    assert story.seen.routing.candidate is not None
    assert story.seen.routing.candidate.weight == 10
    run(story, error=0.9, slots=10)
    assert story.actions[-1] == "RollBack"
    assert story.seen.routing.candidate is None, "not even for those who match"


SHADOW_STEPS = [
    {"shadow": {"percent": 20, "minSamples": 300}},
    {"setWeight": 10},
    {"analysis": {}},
]
AGREEMENT = {
    "name": "agreement",
    "source": "PairedDisagreement",
    "maxRate": "0.1",
    "onBreach": "Rollback",
}


def shadowed(*, only_copies: bool = False) -> Story:
    """A story at the moment at which the candidate's copies begin."""
    spec = model().spec.delivery.to_api()
    spec["strategy"] = {"canary": {"steps": SHADOW_STEPS}}
    others = [] if only_copies else spec["analysis"]["metrics"]
    spec["analysis"]["metrics"] = [*others, AGREEMENT]
    story = Story(model(delivery=spec))
    story.until_promoted_first()
    story.wanted = NEW
    story.look()
    story.ready.add(NEW.name)
    story.look()
    story.look()
    return story


def copy(story: Story, *, differ: int, slots: int, pairs: int = 50) -> None:
    """Copies of which so many are answered differently, beside stable's requests."""
    for _ in range(slots):
        routing = story.seen.routing
        assert routing is not None
        story.traffic(errors={})
        counted = {"agreed": pairs - differ, "differed": differ}
        key = BlockKey(slot_of(story.now.timestamp()), routing.generation, NEW.name)
        story.windows[key] = story.windows.get(key, Counts()) + Counts(pairs=counted)
        story.look(seconds=10)


def test_a_shadow_step_sends_copies_and_no_client_to_the_candidate() -> None:
    story = shadowed()
    assert story.seen.routing is not None
    split = story.seen.routing.candidate
    assert split is not None
    assert (split.weight, split.shadow) == (0, 20)
    rollout = story.model.status.rollout
    assert rollout is not None
    assert rollout.step.text == "1/3 shadow 20"


def test_a_shadow_step_ends_when_the_revisions_agree_on_enough_copies() -> None:
    story = shadowed()
    copy(story, differ=1, slots=4)
    assert story.model.status.rollout is not None
    assert story.model.status.rollout.step.index == 0, "too few yet"
    copy(story, differ=1, slots=6)
    assert story.actions[-2:] == ["Advance", "SetWeight"]
    assert story.model.status.decisions[-2].reason == "AnalysisPassed"
    assert story.seen.routing is not None
    assert story.seen.routing.candidate is not None
    assert (story.seen.routing.candidate.weight, story.seen.routing.candidate.shadow) == (10, 0)
    run(story, error=0.0, slots=3)
    assert story.model.status.rollout.step.index == 2, "the analysis needs samples of its own"
    run(story, error=0.0, slots=30)
    assert story.actions[-1] == "Promote"


def test_an_analysis_waits_for_no_requests_where_only_copies_are_judged() -> None:
    story = shadowed(only_copies=True)
    copy(story, differ=1, slots=10)
    run(story, error=0.0, slots=3)
    assert story.actions[-4:] == ["Advance", "SetWeight", "Advance", "Promote"]


def test_a_candidate_that_disagrees_is_rolled_back_before_any_client_has_seen_it() -> None:
    story = shadowed()
    copy(story, differ=15, slots=12)
    assert story.actions[-1] == "RollBack"
    assert all(
        p.routing is None or p.routing.candidate is None or p.routing.candidate.weight == 0
        for p in story.plans
    )
    assert story.seen.routing is not None
    assert story.seen.routing.candidate is None
    why = story.model.status.decisions[-1].message
    assert why.startswith("agreement: 150 requests were answered by both revisions.")
    assert "They disagree on 30 % of them" in why


def test_copies_without_answers_prove_nothing() -> None:
    story = shadowed()
    copy(story, differ=0, slots=30, pairs=0)
    assert story.model.status.rollout is not None
    assert story.model.status.rollout.step.index == 0
    assert story.model.status.rollout.reason == "AwaitingSamples"


def test_the_sticky_header_travels_with_the_weight() -> None:
    story = Story(ruled(sticky={"header": "x-user-id"}))
    story.until_promoted_first()
    canary(story)
    assert story.seen.routing is not None
    assert story.seen.routing.candidate is not None
    assert story.seen.routing.candidate.sticky == "x-user-id"


PROFILE = Profile(
    "classification",
    2000,
    (Number("age", edges=(0.0, 1.0), low=-9.0, high=9.0, counts=(700, 600, 700, 0, 0, 0)),),
    Predictions("category", levels=("no", "yes")),
)


@pytest.mark.parametrize(
    ("candidates", "stables", "reason"),
    [
        pytest.param((20, 20, 20, 40, 0, 0), (35, 30, 35, 0, 0, 0), "RoutingSkew", id="one arm"),
        pytest.param((20, 20, 20, 40, 0, 0), (20, 20, 20, 40, 0, 0), "BrokenData", id="both arms"),
    ],
)
def test_lost_values_hold_the_rollout_are_told_once_and_roll_nothing_back(
    candidates: tuple[int, ...], stables: tuple[int, ...], reason: str
) -> None:
    story = Story()
    story.until_promoted_first()
    story.wanted, story.ready = NEW, {OLD.name, NEW.name}
    story.seen = replace(story.seen, profiles={OLD.name: PROFILE, NEW.name: PROFILE})
    for _ in range(60):
        story.look(10)
        story.traffic(errors={}, requests=1000)
        for key, counted in story.windows.items():
            percent = candidates if key.revision == NEW.name else stables
            features = (tuple(n * counted.requests // 100 for n in percent),)
            story.windows[key] = replace(counted, rows=counted.requests, features=features)
    rollout = story.model.status.rollout
    assert rollout is not None
    assert (rollout.reason, rollout.cause, rollout.weight) == (reason, reason, 10)
    held = [d for d in story.model.status.decisions if d.action == "Hold"]
    assert held[-1].reason == reason
    assert "age" in held[-1].message
    assert len(held) == len({d.reason for d in held}), "each reason is told once"


def test_what_testers_send_holds_nobody() -> None:
    """Whom a rule sends to the candidate may send empty rows all day."""
    story = Story()
    story.until_promoted_first()
    story.wanted, story.ready = NEW, {OLD.name, NEW.name}
    story.seen = replace(story.seen, profiles={OLD.name: PROFILE, NEW.name: PROFILE})
    for _ in range(20):
        story.look(10)
        story.traffic(errors={}, requests=1000)
        for key, counted in story.windows.items():
            features = (tuple(n * counted.requests // 100 for n in (35, 30, 35, 0, 0, 0)),)
            story.windows[key] = replace(counted, rows=counted.requests, features=features)
        empty = Counts(900, {"rejected": 900}, rows=900, features=((0, 0, 0, 900, 0, 0),))
        story.windows[BlockKey(slot_of(story.now.timestamp()), UNDRAWN, NEW.name)] = empty
    assert not {"Hold", "RollBack"} & set(story.actions)


def test_a_policy_that_is_not_there_is_told_of() -> None:
    story = Story(model(monitoring={"driftPolicyRef": {"name": "nopolicy"}}))
    story.until_promoted_first()
    assert story.condition("WithinPolicy") == ("Unknown", "NoPolicy")
    told = story.model.status.condition("WithinPolicy")
    assert told is not None
    assert "names nopolicy, and there is no such DriftPolicy in namespace" in told.message
