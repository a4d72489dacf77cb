"""`replay` and `backtest` of a Model: a real rollout's decisions, from what was recorded of it."""

import json
from dataclasses import replace

import pytest
from tests.unit.cli.scenes import recording_of, rollout
from tests.unit.controllers.model.scenes import NEW, OLD
from tests.unit.rollout import test_values as shop
from tests.unit.rollout.test_replay import decided

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.api.v1alpha1.model import (
    Model,
)
from tidegate.cli.answer import DIFFERS, DONE
from tidegate.cli.replay import replayed
from tidegate.cli.rollouts import tried
from tidegate.errors import TerminalError
from tidegate.evidence.recording import Recording
from tidegate.evidence.windows import Counts

WORSE = {OLD.name: 0.001, NEW.name: 0.2}
EQUAL = {OLD.name: 0.001, NEW.name: 0.001}
STRICT = Analysis(
    min_samples=200,
    metrics=(
        Metric(
            name="errors", source="ErrorRate", max_absolute_increase="0.001", on_breach="Rollback"
        ),
    ),
)


@pytest.mark.parametrize("errors", [WORSE, EQUAL])
def test_every_decision_of_a_rollout_is_taken_again(errors: dict[str, float]) -> None:
    answer = replayed(recording_of(rollout(errors, looks=30)), None)
    assert answer.code == DONE
    assert answer.data
    assert all(d["same"] for d in answer.data)
    assert "the same verdicts from the same evidence" in answer.text


def test_windows_that_were_changed_are_found() -> None:
    whole = recording_of(rollout(WORSE, looks=8))
    changed = {k: c + Counts(requests=1) for k, c in whole.windows.items()}
    answer = replayed(replace(whole, windows=changed), None)
    assert answer.code == DIFFERS
    assert "not all of those that were weighed" in answer.text


def test_a_decision_can_be_named() -> None:
    whole = recording_of(rollout(EQUAL, looks=30))
    (first, *_) = replayed(whole, None).data
    assert [d["id"] for d in replayed(whole, first["id"]).data] == [first["id"]]
    with pytest.raises(TerminalError, match="no decision d-9999"):
        replayed(whole, "d-9999")


def test_another_analysis_is_tried_on_the_same_windows() -> None:
    whole = recording_of(rollout({OLD.name: 0.001, NEW.name: 0.008}, looks=40))
    answer = tried("strict", STRICT, whole)
    (trial,) = answer.data
    assert trial["recorded"] == "Promote"
    assert [m["verdict"] for m in trial["metrics"]] == ["Fail"]
    assert trial["metrics"][0]["secondsToVerdict"] > 0
    assert "a metric fails" in answer.text


def test_a_recording_without_a_rollout_has_nothing_to_try() -> None:
    with pytest.raises(TerminalError, match="no rollout with evidence"):
        tried("strict", STRICT, recording_of(rollout(EQUAL, looks=0)))


def test_values_of_prometheus_are_replayed_and_tried_with_another_tolerance() -> None:
    evidence = shop.world(candidate=0.12, slots=160)
    record = decided(shop.once(evidence))
    spec = {"artifact": {"fromTraining": {}}, "delivery": {"analysis": shop.ANALYSIS.to_api()}}
    snapshot = Model.model_validate(
        {
            "metadata": {"name": "churn", "namespace": "growth"},
            "spec": spec,
            "status": {"decisions": [record.to_api()]},
        }
    )
    part = Recording(
        "growth",
        "churn",
        closed_through=evidence.closed_through,
        labels_closed_through=evidence.labels_closed_through,
        windows=evidence.windows,
        values=evidence.values,
        values_closed_through=evidence.values_closed_through,
        snapshots=(snapshot,),
    )
    recording = Recording.from_json(json.loads(json.dumps(part.to_json())))
    assert replayed(recording, None).code == DONE
    for tolerance, verdict in (("0.1", "Fail"), ("0.7", "Pass")):
        answer = tried("other", shop.metric(maxRelativeDrop=tolerance), recording)
        (trial,) = answer.data
        assert trial["metrics"][0]["verdict"] == verdict
        assert "the means of" in answer.text
