"""`plan`: what the traffic can show, told in requests and time."""

import json
from typing import Any

import pytest
from tests.unit.cli.scenes import drifting, recording_of, rollout
from tests.unit.controllers.model.scenes import NEW, OLD, model

from tidegate.cli.plan import Question, planned, present_traffic
from tidegate.errors import TerminalError
from tidegate.evidence.recording import Recording
from tidegate.rollout.power import Traffic

DELIVERY = model().spec.delivery
BUSY = Traffic(requests=2000, error_rate=0.002)


def seconds(answer: dict[str, Any], weight: int) -> float:
    (found,) = (w for w in answer["weights"] if w["weight"] == weight)
    value = found["metrics"][0]["secondsToPass"]["median"]
    assert isinstance(value, float)
    return value


def test_each_step_has_a_time_and_each_weight_its_metrics() -> None:
    answer = planned(Question("churn", DELIVERY, BUSY, (2.0, 5.0)))
    assert "1/4 weight 10" in answer.text
    assert "all, if all is well" in answer.text
    assert "At 10 %" in answer.text
    assert "At 50 %" in answer.text
    assert "FINDS 5x" in answer.text
    assert seconds(answer.data, 50) < seconds(answer.data, 10)
    json.dumps(answer.data)


def test_the_same_question_has_the_same_answer() -> None:
    question = Question("churn", DELIVERY, BUSY, (3.0,))
    assert planned(question) == planned(question)


def test_what_can_not_be_seen_in_a_day_is_said() -> None:
    rare = Traffic(requests=0.01, error_rate=0.002)
    answer = planned(Question("churn", DELIVERY, rare, (2.0,)))
    assert "not in 24 h" in answer.text
    assert answer.data["weights"][0]["metrics"][0]["secondsToPass"]["median"] is None


@pytest.mark.parametrize("requests", [2000.0, 0.0])
def test_a_step_without_requests_never_ends(requests: float) -> None:
    """Analysed at no weight, or with no traffic at all."""
    labelled = {"name": "accuracy", "source": "LabelledAccuracy", "maxAbsoluteDrop": "0.02"}
    delivery = model(
        delivery={
            "strategy": {"canary": {"steps": [{"analysis": {}}, {"setWeight": 50}]}},
            "analysis": {"metrics": [{**labelled, "onBreach": "Rollback"}]},
        }
    ).spec.delivery
    answer = planned(Question("churn", delivery, Traffic(requests=requests), (2.0,)))
    steps = [line.split() for line in answer.text.splitlines() if line.startswith(("1/2", "all,"))]
    assert [" ".join(line[-4:]) for line in steps] == ["not in 24 h"] * 2


def test_metrics_without_data_are_named() -> None:
    labelled = {"name": "accuracy", "source": "LabelledAccuracy", "maxAbsoluteDrop": "0.02"}
    delivery = model(
        delivery={"analysis": {"metrics": [{**labelled, "onBreach": "Rollback"}]}}
    ).spec.delivery
    answer = planned(Question("churn", delivery, BUSY, (2.0,)))
    assert "Not foretold: accuracy: no labels come back." in answer.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({}, "but a Pass takes 40 min at least", id="a tenth of the range"),
        pytest.param(
            {"maxAbsoluteDrop": "0.0001"}, "passes nothing: not in 24 h", id="a range too wide"
        ),
    ],
)
def test_what_prometheus_knows_is_not_foretold_but_bounded(
    change: dict[str, str], words: str
) -> None:
    conversion = {
        "name": "conversion",
        "source": "Prometheus",
        "query": "c({{revision}})",
        "range": {"min": "0", "max": "1"},
        "maxAbsoluteDrop": "0.1",
        "onBreach": "Rollback",
    }
    delivery = model(delivery={"analysis": {"metrics": [conversion | change]}}).spec.delivery
    answer = planned(Question("churn", delivery, BUSY, (2.0,)))
    assert "Not foretold: conversion: how its values scatter is known to Prometheus" in answer.text
    assert words in answer.text


def test_the_present_traffic_is_that_of_all_revisions_answered_as_stable_does() -> None:
    story = rollout({OLD.name: 0.001, NEW.name: 0.2}, looks=6)
    traffic = present_traffic(recording_of(story), OLD.name)
    assert traffic.requests == pytest.approx(2000, rel=0.01)
    assert traffic.error_rate == pytest.approx(0.001, rel=0.1)


def test_labels_and_predictions_are_part_of_the_traffic() -> None:
    traffic = present_traffic(drifting(minutes=10, since=99), None)
    assert traffic.requests == 100
    assert traffic.labels == 1.0
    assert traffic.wrong_rate == pytest.approx(0.1, abs=0.02)
    assert traffic.predictions["no"] == pytest.approx(0.7, abs=0.03)


def test_without_traffic_the_flag_is_named() -> None:
    with pytest.raises(TerminalError, match="--requests-per-second"):
        present_traffic(Recording("growth", "churn"), None)


def test_a_shadow_step_takes_its_samples_of_copies() -> None:
    steps = [{"shadow": {"percent": 20, "minSamples": 500}}, {"setWeight": 10}]
    delivery = model(delivery={"strategy": {"canary": {"steps": steps}}}).spec.delivery
    answer = planned(Question("churn", delivery, BUSY, (2.0,)))  # 40 copies a second
    (line,) = (ln for ln in answer.text.splitlines() if ln.startswith("1/2 shadow"))
    assert line.split()[-2:] == ["13", "s"]


def test_a_shadow_step_is_foretold_by_its_copies() -> None:
    disagreement = {
        "name": "agreement",
        "source": "PairedDisagreement",
        "maxRate": "0.1",
        "onBreach": "Rollback",
    }
    steps = [{"shadow": {"percent": 50, "minSamples": 100}}, {"setWeight": 100}]
    strategy = {"strategy": {"canary": {"steps": steps}}}
    metrics = {"analysis": {"metrics": [disagreement]}}
    delivery = model(delivery=strategy | metrics).spec.delivery
    answer = planned(Question("churn", delivery, Traffic(requests=100), (2.0, 5.0)))
    assert "Copies of 50 %" in answer.text
    assert "PASSES 0.5x" in answer.text
    assert "Not foretold" not in answer.text
    (copies,) = answer.data["copies"]
    (metric,) = copies["metrics"]
    passed = metric["secondsToPass"]["median"]
    assert passed > 20, "minSamples alone would be there after 20 s"
    assert passed < 600
    twice, five = (found["median"] for found in metric["secondsToDetect"])
    assert five <= twice < 600
    assert answer.data["weights"] == []


def test_an_analysis_takes_no_time_where_only_copies_are_judged() -> None:
    disagreement = {
        "name": "agreement",
        "source": "PairedDisagreement",
        "maxRate": "0.1",
        "onBreach": "Rollback",
    }
    steps = [{"shadow": {"percent": 50, "minSamples": 100}}, {"setWeight": 5}, {"analysis": {}}]
    strategy = {"strategy": {"canary": {"steps": steps}}}
    metrics = {"analysis": {"metrics": [disagreement]}}
    delivery = model(delivery=strategy | metrics).spec.delivery
    answer = planned(Question("churn", delivery, Traffic(requests=100), (2.0,)))
    (line,) = (ln for ln in answer.text.splitlines() if ln.startswith("3/3 analysis"))
    assert line.split()[-1] == "-"
    assert "At 5 %" not in answer.text
