import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.controllers.training_job.scenes import badly, lines, pod, training_job, well

from tidegate.controllers.training_job.state import (
    Pod,
    Running,
    Stage,
    job_name,
    output_folder,
    summary_of,
)


@pytest.mark.parametrize("stage", list(Stage))
def test_reads_the_line_of_each_stage(stage: Stage) -> None:
    found = summary_of(json.dumps(lines()[stage]))
    assert found is not None
    assert (found.stage, found.ok) == (stage, True)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Traceback (most recent call last):",
        '{"stage": "publish", "ok": true, "digest": "sha256:short"}',
        '{"stage": "publish", "ok": true, "metrics": {"accuracy": NaN}}',
        '{"stage": "publish", "ok": true, "uri": "file:///etc/passwd"}',
        '{"stage": "nonsense", "ok": true}',
        json.dumps(lines()[Stage.PUBLISH])[:-10],
    ],
)
def test_a_line_that_is_none_is_no_summary(line: str) -> None:
    assert summary_of(line) is None


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    assert summary_of(text) is None or text.lstrip().startswith("{")


def test_the_failing_stage_is_the_first_that_ended_badly() -> None:
    ended = badly(Stage.VALIDATE, "DataInvalid")
    assert pod(Stage.VALIDATE, ended).failure() == (Stage.VALIDATE, ended)
    assert pod().failure() is None


def test_only_a_stage_that_went_well_has_a_result() -> None:
    assert pod().result(Stage.TRAIN) == well(Stage.TRAIN).summary
    assert pod(Stage.TRAIN, Running()).result(Stage.TRAIN) is None
    assert pod(Stage.TRAIN, badly(Stage.TRAIN, "GateFailed")).result(Stage.TRAIN) is None
    assert Pod("p").result(Stage.FETCH) is None


def test_names_follow_from_the_job() -> None:
    assert job_name(training_job()) == "churn-1"
    assert output_folder(training_job()) == "s3://models/churn/churn-1/"
