"""What a policy does about drift: act once, retrain within bounds, never on broken data."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.model_status import ModelStatus, RevisionStatus
from tidegate.controllers.drift_policy.desired import training_job
from tidegate.controllers.drift_policy.plan import Plan, plan
from tidegate.controllers.drift_policy.state import Observed, Run, Watched
from tidegate.controllers.drift_policy.status import status
from tidegate.evidence.profile import make_profile
from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.rollout.drift import Current

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RNG = np.random.default_rng(3)
PROFILE = make_profile(
    {"age": RNG.normal(0, 1, 2000)},
    {"age": "number"},
    predictions=["yes"] * 600 + ["no"] * 1400,
    task="classification",
    metrics={"accuracy": 0.95},
)
TRAINING = {
    "template": {
        "spec": {
            "data": {"inputs": [{"name": "train", "uri": "s3://lake/t.csv"}], "target": "y"},
            "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}},
            "output": {"uri": "s3://lake/models/"},
        }
    }
}
SPEC: dict[str, Any] = {
    "mode": "Enforce",
    "window": {"size": "1m", "minSamples": 200},
    "signals": [
        {"name": "inputs", "type": "DataDrift", "breach": "0.25"},
        {"name": "quality", "type": "Performance", "min": "0.82", "minLabelled": 100},
    ],
    "sustain": {"breaches": 2, "of": 3},
    "actions": [
        {"when": {"signals": ["quality"], "level": "Breach"}, "do": "Retrain"},
        {"when": {"level": "Breach"}, "do": "Notify"},
    ],
    "retrain": {"cooldown": "1h", "maxPerWeek": 2},
}


def run(name: str, *, ago: timedelta, finished: bool = True, ours: bool = True) -> Run:
    return Run(name, NOW - ago, finished, ours)


class Story:
    """A policy and its Model, window after window."""

    def __init__(self, *, training: bool = True, **changes: Any) -> None:
        self.policy = DriftPolicy.model_validate(
            {
                "metadata": {"name": "tabular", "namespace": "growth", "uid": "p-1"},
                "spec": {**SPEC, **changes},
            }
        )
        spec: dict[str, Any] = {"artifact": {"fromTraining": {}}}
        if training:
            spec["training"] = TRAINING
        self.model = Model.model_validate(
            {"metadata": {"name": "churn", "namespace": "growth", "uid": "m-1"}, "spec": spec}
        )
        self.runs: tuple[Run, ...] = ()
        self.windows: dict[BlockKey, Counts] = {}
        self.labels: dict[BlockKey, Labels] = {}
        self.revision = "churn-old"
        self.slot = 600
        self.now = NOW
        self.rng = np.random.default_rng(5)

    def accepted(self) -> str:
        """What the policy says of its spec."""
        return next(c.message for c in self.policy.status.conditions if c.type == "Accepted")

    def window(self, *, shift: float = 0.0, wrong: float = 0.05, lost: bool = False) -> Plan:
        """One more minute of traffic, and a look after it."""
        for _ in range(6):
            ages = self.rng.normal(shift, 1, 100)
            column = np.full(100, np.nan) if lost else ages
            features = tuple(tuple(int(n) for n in c) for c in PROFILE.encode({"age": column}))
            key = BlockKey(self.slot, 1, self.revision)
            self.windows[key] = Counts(
                requests=100, rows=100, features=features, predictions={"yes": 30, "no": 70}
            )
            self.labels[key] = Labels(100, round(100 * wrong))
            self.slot += 1
        self.now += timedelta(minutes=1)
        return self.look()

    def change(self, **changes: Any) -> None:
        """Somebody edits the policy's spec."""
        spec = self.policy.spec.to_api() | changes
        self.policy = DriftPolicy.model_validate({**self.policy.to_api(), "spec": spec})

    def look(self) -> Plan:
        return self._look(Current(self.revision, PROFILE, self.windows, self.labels, self.slot - 1))

    def restart(self) -> Plan:
        """A look before any pod was heard, as after a restart of the operator."""
        return self._look(None)

    def _look(self, current: Current | None) -> Plan:
        watched = Watched(self.model, current, "No pod has reported yet.", self.runs)
        seen = Observed(self.policy, (watched,))
        step = plan(seen, self.now)
        new = status(seen, step, self.now)
        self.policy = self.policy.model_copy(update={"status": new})
        return step


def test_a_steady_world_is_left_alone() -> None:
    story = Story()
    for _ in range(5):
        step = story.window()
    assert (step.models[0].level, step.runs, step.told) == ("Ok", (), ())


def test_a_single_bad_window_is_not_yet_a_breach() -> None:
    story = Story()
    story.window()
    assert story.window(wrong=0.4).runs == ()


def test_lost_accuracy_that_lasts_is_answered_by_one_retraining() -> None:
    story = Story()
    story.window()
    plans = [story.window(wrong=0.4) for _ in range(4)]
    runs = [r for p in plans for r in p.runs]
    assert len(runs) == 1
    assert "0.600" in runs[0].reason
    told = [t.action.reason for p in plans for t in p.told]
    assert told == ["RetrainStarted"]


def test_a_shift_alone_notifies_and_never_retrains() -> None:
    story = Story()
    story.window()
    plans = [story.window(shift=1.5) for _ in range(5)]
    assert not any(p.runs for p in plans)
    assert [t.action.reason for p in plans for t in p.told] == ["DriftDetected"]


def test_in_mode_advise_nothing_is_started_but_what_would_be_is_told() -> None:
    story = Story(mode="Advise")
    plans = [story.window(wrong=0.4) for _ in range(4)]
    assert not any(p.runs for p in plans)
    assert [t.action.reason for p in plans for t in p.told] == ["Advised"]


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ((run("r1", ago=timedelta(minutes=5), finished=False, ours=False),), "RetrainRunning"),
        ((run("r1", ago=timedelta(minutes=30)),), "CoolingDown"),
        (
            (run("r1", ago=timedelta(days=3)), run("r2", ago=timedelta(days=2))),
            "BudgetSpent",
        ),
    ],
)
def test_retraining_keeps_its_bounds(runs: tuple[Run, ...], reason: str) -> None:
    story = Story()
    story.runs = runs
    plans = [story.window(wrong=0.4) for _ in range(4)]
    assert not any(p.runs for p in plans)
    assert [t.action.reason for p in plans for t in p.told] == [reason]


@pytest.mark.parametrize(("ours", "retrains"), [(True, False), (False, True)])
def test_it_awaits_the_rollout_of_what_it_has_trained(ours: bool, retrains: bool) -> None:
    """A run in the middle would begin the rollout anew; others' candidates are not waited for."""
    story = Story()
    story.runs = (run("r1", ago=timedelta(days=1), ours=ours),)
    candidate = RevisionStatus(revision="churn-new", training_job="r1")
    story.model = story.model.model_copy(update={"status": ModelStatus(candidate=candidate)})
    plans = [story.window(wrong=0.4) for _ in range(4)]
    assert any(p.runs for p in plans) is retrains
    if not retrains:
        told = [t.action for p in plans for t in p.told]
        assert [t.reason for t in told] == ["RetrainRunning"]
        assert told[0].message.endswith("churn-new of TrainingJob r1 is still being rolled out.")


def test_somebody_elses_finished_runs_do_not_count_against_the_budget() -> None:
    story = Story()
    story.runs = (run("by-hand", ago=timedelta(minutes=1), ours=False),)
    assert any(story.window(wrong=0.4).runs for _ in range(3))


def test_it_retrains_once_the_cooldown_is_over_and_the_breach_still_stands() -> None:
    story = Story()
    story.runs = (run("r1", ago=timedelta(minutes=59)),)
    assert any(story.window(wrong=0.4).runs for _ in range(8))


def test_never_on_broken_data_however_often_it_looks() -> None:
    story = Story()
    story.window()
    plans = []
    for _ in range(4):
        plans += [story.window(wrong=0.5, lost=True), story.look(), story.look()]
    assert not any(p.runs for p in plans)
    assert "BrokenData" in {t.action.reason for p in plans for t in p.told}


@pytest.mark.parametrize(
    ("windows", "cause", "told"),
    [
        ({}, "Healthy", None),
        ({"shift": 1.5}, "SharedDrift", "labels say that answers are as good as the policy wants"),
        ({"wrong": 0.4}, "ConceptDrift", None),
        ({"wrong": 0.4, "shift": 1.5}, "Decay", None),
        ({"lost": True}, "BrokenData", "incoming data is broken: age"),
    ],
)
def test_reads_all_signals_together(windows: dict[str, Any], cause: str, told: str | None) -> None:
    story = Story()
    story.window()
    plans = [story.window(**windows) for _ in range(4)]
    assert plans[-1].models[0].cause == cause
    if told is not None:
        assert any(told in t.action.message for p in plans for t in p.told)


def test_never_on_data_that_a_signal_of_quality_calls_broken() -> None:
    """Values beyond all that training saw are no lost values, and none to train on either."""
    quality = {"name": "data", "type": "DataQuality", "breach": "0.2"}
    story = Story(signals=[*SPEC["signals"], quality])
    story.window()
    plans = [story.window(wrong=0.5, shift=9.0) for _ in range(4)]
    assert not any(p.runs for p in plans)
    assert plans[-1].models[0].cause == "BrokenData"


def test_without_a_template_it_says_so() -> None:
    story = Story(training=False)
    for _ in range(4):
        step = story.window(wrong=0.4)
    assert not step.runs
    accepted = next(c for c in story.policy.status.conditions if c.type == "Accepted")
    assert (accepted.status, accepted.reason) == ("False", "NoTrainingTemplate")


def test_a_model_that_would_not_serve_what_is_trained_is_named() -> None:
    story = Story()
    story.window()
    assert story.accepted() == "The spec can be carried out."
    artifact = {"uri": "s3://models/churn/v7/", "digest": f"sha256:{'7' * 64}"}
    story.model = Model.model_validate(
        {**story.model.to_api(), "spec": {**story.model.spec.to_api(), "artifact": artifact}}
    )
    story.window()
    assert "not served by itself" in story.accepted()
    assert story.accepted().endswith("instead of artifact.fromTraining: churn.")


def test_a_policy_that_watches_nobody_says_so_in_every_condition() -> None:
    seen = Observed(Story().policy, ())
    found = status(seen, plan(seen, NOW), NOW)
    told = {c.type: c.reason for c in found.conditions if c.type != "Accepted"}
    assert told == dict.fromkeys(("Ready", "DataFresh", "WithinPolicy"), "NoModels")


def test_looking_again_at_the_same_window_decides_nothing_new() -> None:
    story = Story()
    story.window()
    story.window(wrong=0.4)
    story.window(wrong=0.4)
    before = story.policy.status
    again = story.look()
    assert (again.runs, again.told) == ((), ())
    assert story.policy.status == before


def test_a_breach_does_not_outlast_a_change_of_the_windows_size() -> None:
    story = Story()
    for _ in range(4):
        story.window(wrong=0.4)
    story.change(window={"size": "2m", "minSamples": 200})
    for _ in range(8):
        step = story.window()
    assert step.models[0].level == "Ok"


def test_the_breaches_of_another_revision_do_not_count() -> None:
    story = Story()
    for _ in range(3):
        assert story.window(wrong=0.4).models[0].level != "Unknown"
    story.revision = "churn-new"
    assert story.look().models[0].level == "Unknown"
    assert [story.window().models[0].level for _ in range(3)] == ["Ok"] * 3


def test_a_new_revision_that_is_bad_as_well_is_told_anew() -> None:
    story = Story(training=False, sustain={"breaches": 1, "of": 1})
    assert story.window(wrong=0.4).told
    story.revision = "churn-new"
    assert story.window(wrong=0.4).told


def test_a_restart_of_the_operator_forgets_nothing_and_tells_nothing_twice() -> None:
    story = Story(training=False)
    story.window(wrong=0.4)
    story.window(wrong=0.4)
    before = story.policy.status.models[0]
    blind = story.restart().models[0]
    assert (blind.level, blind.recent, blind.active) == ("Unknown", before.recent, before.active)
    again = story.look()
    assert (again.models[0], again.told) == (before, ())


def test_a_breach_is_sustained_over_a_restart() -> None:
    story = Story()
    story.window()
    story.window(wrong=0.4)
    story.restart()
    assert story.window(wrong=0.4).models[0].level == "Breach"


def test_a_signal_that_was_taken_out_of_the_policy_no_longer_counts() -> None:
    story = Story(training=False, actions=[])
    for _ in range(3):
        story.window(wrong=0.4)
    story.change(signals=[{"name": "inputs", "type": "DataDrift", "breach": "0.25"}])
    drift = story.look().models[0]
    assert (drift.level, [s.name for s in drift.signals]) == ("Ok", ["inputs"])


def test_a_crash_after_the_creation_names_the_same_run_again() -> None:
    story = Story()
    story.window()
    story.window(wrong=0.4)
    before = story.policy
    first = story.window(wrong=0.4)
    story.policy = before  # the run was created, the status was not written
    assert story.look().runs == first.runs


def test_the_run_carries_the_models_template_and_why_it_was_started() -> None:
    story = Story()
    found = [r for _ in range(3) for r in story.window(wrong=0.4).runs]
    job = training_job(story.policy, found[0])
    assert job["spec"]["modelRef"] == {"name": "churn"}
    assert job["spec"]["output"]["uri"] == "s3://lake/models/"
    assert "tabular" in job["metadata"]["annotations"]["tidegate.dev/triggered-by"]


def test_a_silent_model_is_unknown_and_raises_no_alarm() -> None:
    story = Story()
    seen = Observed(story.policy, (Watched(story.model, None, "No pod has reported yet."),))
    step = plan(seen, NOW)
    assert (step.models[0].level, step.told) == ("Unknown", ())
    assert replace(step, models=()).runs == ()


def test_the_longest_cooldown_that_the_schema_takes_ends_before_the_calendar() -> None:
    story = Story(retrain={"cooldown": "999999d999999d99999d", "maxPerWeek": 2})
    assert any(story.window(wrong=0.4).runs for _ in range(3))
    assert story.policy.status.models[0].next_retrain_allowed_at is not None
    with pytest.raises(ValidationError):
        Story(retrain={"cooldown": "9999999d", "maxPerWeek": 2})
