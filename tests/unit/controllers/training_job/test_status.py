from datetime import timedelta
from typing import Any

import pytest
from tests.unit.controllers.training_job.scenes import (
    DIGEST,
    ENDED,
    FOLDER,
    GATES,
    INPUT,
    NOW,
    PROFILE,
    STARTED,
    badly,
    child,
    complete,
    condition,
    finished,
    given_up,
    pod,
    running,
    training_job,
    waiting,
    well,
)

from tidegate.api.meta import timestamp
from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import Lineage, TrainingJobStatus
from tidegate.controllers.training_job.plan import plan
from tidegate.controllers.training_job.state import (
    Ended,
    Observed,
    Refusal,
    Running,
    Stage,
)
from tidegate.controllers.training_job.status import status


def shown(seen: Observed) -> TrainingJobStatus:
    return status(seen, plan(seen, NOW), NOW)


def states(found: TrainingJobStatus) -> dict[str, str]:
    return {c.type: c.status for c in found.conditions}


def message(found: TrainingJobStatus, kind: str) -> str:
    told = found.condition(kind)
    assert told is not None
    return told.message


def reason(found: TrainingJobStatus, kind: str) -> str:
    told = found.condition(kind)
    assert told is not None
    return told.reason


ORDER = ("Ready", "Accepted", "DataValidated", "Trained", "GatesPassed", "Published")
U, T, F = "Unknown", "True", "False"


@pytest.mark.parametrize(
    ("seen", "state", "want"),
    [
        pytest.param(running(), "Pending", (F, T, U, U, U, U), id="no pod"),
        pytest.param(running(waiting()), "Pending", (U, T, U, U, U, U), id="starts"),
        pytest.param(running(pod(Stage.FETCH)), "Fetching", (U, T, U, U, U, U), id="fetches"),
        pytest.param(running(pod(Stage.VALIDATE)), "Validating", (U, T, U, U, U, U), id="checks"),
        pytest.param(running(pod(Stage.TRAIN)), "Training", (U, T, T, U, U, U), id="trains"),
        pytest.param(running(pod(Stage.PUBLISH)), "Publishing", (U, T, T, T, T, U), id="uploads"),
        pytest.param(complete(pod()), "Succeeded", (T, T, T, T, T, T), id="succeeded"),
        pytest.param(
            complete(pod(Stage.PUBLISH, Ended(0))), "Failed", (F, T, T, T, T, F), id="no result"
        ),
        pytest.param(
            given_up(pod(Stage.FETCH, badly(Stage.FETCH, "DigestMismatch"))),
            "Failed",
            (F, T, F, U, U, F),
            id="fetch failed",
        ),
        pytest.param(
            given_up(pod(Stage.VALIDATE, badly(Stage.VALIDATE, "DataInvalid"))),
            "Failed",
            (F, T, F, U, U, F),
            id="the data is bad",
        ),
        pytest.param(
            given_up(pod(Stage.TRAIN, badly(Stage.TRAIN, "TrainingFailed"))),
            "Failed",
            (F, T, T, F, U, F),
            id="training failed",
        ),
        pytest.param(
            given_up(pod(Stage.TRAIN, badly(Stage.TRAIN, "EstimatorUnknown"))),
            "Failed",
            (F, F, T, F, U, F),
            id="the spec is wrong",
        ),
        pytest.param(
            given_up(pod(Stage.TRAIN, badly(Stage.TRAIN, "GateFailed"))),
            "Failed",
            (F, T, T, T, F, F),
            id="a gate failed",
        ),
        pytest.param(
            given_up(pod(Stage.TRAIN, badly(Stage.TRAIN, "MetricsMissing"))),
            "Failed",
            (F, T, T, T, F, F),
            id="a gate's metric was not measured",
        ),
        pytest.param(
            given_up(pod(Stage.PUBLISH, badly(Stage.PUBLISH, "AccessDenied"))),
            "Failed",
            (F, T, T, T, T, F),
            id="upload failed",
        ),
        pytest.param(given_up(reason="DeadlineExceeded"), "Failed", (F, T, U, U, U, F), id="late"),
        pytest.param(
            Observed(training_job(), refusal=Refusal(Reason.INVALID_SPEC, "No.", final=True)),
            "Failed",
            (F, F, U, U, U, F),
            id="refused",
        ),
        pytest.param(
            Observed(training_job(), refusal=Refusal(Reason.NAME_TAKEN, "Taken.", final=False)),
            "Pending",
            (F, F, U, U, U, U),
            id="refused for now",
        ),
    ],
)
def test_shows_how_far_the_job_has_come(seen: Observed, state: str, want: tuple[str, ...]) -> None:
    found = shown(seen)
    assert found.state == state
    assert states(found) == dict(zip(ORDER, want, strict=True))
    assert all(c.message.endswith((".", ")")) and c.reason for c in found.conditions)
    assert {c.observed_generation for c in found.conditions} == {1}


def test_a_success_says_all_there_is_to_say() -> None:
    job = {"annotations": {"tidegate.dev/triggered-by": "DriftPolicy churn: d-7"}}
    found = shown(complete(pod(), **job))
    assert found.output is not None
    assert found.output.to_api() == {
        "uri": FOLDER,
        "digest": DIGEST,
        "profile": PROFILE,
        "format": "Skops",
    }
    assert found.succeeded
    assert found.metrics == {"accuracy": "0.95321", "roc_auc": "0.9912"}
    assert found.lineage == Lineage(
        inputs={"train": INPUT},
        image="runtime@sha256:ff",
        seed=42,
        packages="sha256:cc",
        triggered_by="DriftPolicy churn: d-7",
    )
    assert found.start_time == timestamp(STARTED)
    assert found.completion_time == timestamp(ENDED)
    assert found.duration == "3m12s"
    assert DIGEST in message(found, "Ready")
    assert "accuracy 0.953, roc_auc 0.991" in message(found, "Ready")


@pytest.mark.parametrize(
    ("spec", "want"),
    [({}, "accuracy 0.953"), ({"gates": GATES}, "roc_auc 0.991")],
)
def test_prints_the_metric_that_a_gate_asks_for_or_the_first(
    spec: dict[str, Any], want: str
) -> None:
    assert shown(complete(pod(), **spec)).metric == want


@pytest.mark.parametrize(
    ("value", "want"),
    [(0.0, "mae 0.000"), (0.00012345, "mae 0.000123"), (12345.6, "mae 1.23e+04")],
)
def test_prints_small_and_large_metrics_with_three_digits(value: float, want: str) -> None:
    published = well(Stage.PUBLISH, metrics={"mae": value})
    assert shown(complete(pod(Stage.PUBLISH, published))).metric == want


@pytest.mark.parametrize(
    ("length", "want"),
    [
        (timedelta(seconds=-1), "0s"),
        (timedelta(seconds=42), "42s"),
        (timedelta(minutes=3, seconds=12), "3m12s"),
        (timedelta(hours=2, minutes=5, seconds=59), "2h5m"),
        (timedelta(minutes=10), "10m"),
        (timedelta(days=2, hours=3), "51h"),
    ],
)
def test_prints_the_two_largest_units_of_the_duration(length: timedelta, want: str) -> None:
    seen = Observed(training_job(), child(succeeded_at=STARTED + length), (pod(),))
    assert shown(seen).duration == want


def test_the_gates_condition_shows_the_gated_metrics() -> None:
    assert message(shown(complete(pod(), gates=GATES)), "GatesPassed") == (
        "Within the bounds of floor: roc_auc 0.991."
    )
    assert message(shown(complete(pod())), "GatesPassed") == "The job has no gates."


def test_warnings_show_where_the_data_is_judged_and_do_not_stop_success() -> None:
    warned = pod()
    containers = {**warned.containers, Stage.VALIDATE: well(Stage.VALIDATE, warnings=["Few."])}
    found = shown(complete(type(warned)("p1", containers)))
    assert found.state == "Succeeded"
    assert (states(found)["Ready"], states(found)["DataValidated"]) == (T, F)
    assert reason(found, "DataValidated") == Reason.DATA_INVALID
    assert message(found, "DataValidated").endswith("Few.")


def test_rules_that_hold_are_counted() -> None:
    rules = [{"check": "RowCount", "min": "10"}]
    data = {**training_job().spec.data.to_api(), "validation": {"rules": rules}}
    assert "569 rows" in message(shown(complete(pod(), data=data)), "DataValidated")


def test_shows_the_metrics_of_a_model_that_could_not_be_published() -> None:
    found = shown(given_up(pod(Stage.PUBLISH, badly(Stage.PUBLISH, "AccessDenied"))))
    assert found.metrics["accuracy"] == "0.95321"
    assert found.output is None
    assert not found.succeeded


def test_a_deadline_that_takes_the_pod_away_forgets_nothing() -> None:
    before = shown(running(pod(Stage.PUBLISH)))
    found = shown(given_up(reason="DeadlineExceeded", status=before))
    assert states(found) == dict(zip(ORDER, (F, T, T, T, T, F), strict=True))
    assert found.metrics == before.metrics
    assert found.lineage == before.lineage


def test_what_was_uploaded_after_the_deadline_is_not_published() -> None:
    before = shown(running(pod()))
    assert states(before)["Published"] == T
    found = shown(given_up(reason="DeadlineExceeded", status=before))
    assert states(found) == dict(zip(ORDER, (F, T, T, T, T, F), strict=True))


def test_a_new_try_begins_anew() -> None:
    before = shown(running(pod(Stage.PUBLISH)))
    found = shown(running(pod(Stage.FETCH, Running(), name="p2"), status=before))
    assert states(found)["Trained"] == U
    assert found.metrics == {}


def test_nothing_new_gives_the_same_status() -> None:
    seen = running(pod(Stage.TRAIN))
    first = shown(seen)
    again = Observed(training_job(status=first), seen.child, seen.pods)
    later = NOW + timedelta(minutes=5)
    assert status(again, plan(again, later), later) == first


def test_a_finished_job_keeps_its_status_for_the_newest_generation() -> None:
    old = finished().model_copy(
        update={"conditions": (condition("Ready", T, Reason.SUCCEEDED, "Published."),)}
    )
    found = shown(Observed(training_job(status=old, generation=3)))
    assert found.observed_generation == 3
    assert [c.observed_generation for c in found.conditions] == [3]
    assert found.completion_time == old.completion_time
    assert message(found, "Ready") == "Published."
