from typing import Any

import pytest
from tests.unit.controllers.training_job.scenes import (
    ENDED,
    STARTED,
    ended_container,
    job_condition,
    job_manifest,
    pod_manifest,
    well,
)

from tidegate.controllers.training_job.observe import child_of, pod_of
from tidegate.controllers.training_job.state import Child, Ended, GivenUp, Running, Stage, Waiting

GIVEN_UP = GivenUp("DeadlineExceeded", "Kubernetes says so.", ENDED)


@pytest.mark.parametrize(
    ("conditions", "want"),
    [
        pytest.param([], {}, id="runs"),
        pytest.param([job_condition("Complete")], {"succeeded_at": ENDED}, id="complete"),
        pytest.param([job_condition("Complete", state="False")], {}, id="not complete"),
        pytest.param(
            [job_condition("SuccessCriteriaMet")], {}, id="complete only once all pods have ended"
        ),
        pytest.param(
            [job_condition("Failed", "DeadlineExceeded")], {"given_up": GIVEN_UP}, id="failed"
        ),
        pytest.param(
            [job_condition("FailureTarget", "DeadlineExceeded")],
            {"given_up": GIVEN_UP},
            id="about to fail, while its pods are being ended",
        ),
    ],
)
def test_reads_how_a_job_stands(conditions: list[dict[str, str]], want: dict[str, object]) -> None:
    found = child_of(job_manifest(conditions=conditions, failed=2))
    assert found == Child("churn-1", STARTED, failures=2, **want)  # type: ignore[arg-type]  # fields by name


def test_reads_a_job_without_any_status() -> None:
    assert child_of(job_manifest()) == Child("churn-1", STARTED)


def test_reads_what_the_containers_of_a_pod_do() -> None:
    found = pod_of(
        pod_manifest(
            ended_container(Stage.FETCH),
            {"name": "validate", "state": {"running": {}}},
            {"name": "train", "state": {"waiting": {"reason": "PodInitializing"}}},
            {"name": "publish", "state": {}},
            {"name": "istio-proxy", "state": {"running": {}}},
        )
    )
    assert found.containers == {
        Stage.FETCH: well(Stage.FETCH),
        Stage.VALIDATE: Running(),
        Stage.TRAIN: Waiting("PodInitializing"),
        Stage.PUBLISH: Waiting(),
    }


def test_a_message_that_is_no_line_is_no_summary() -> None:
    found = pod_of(pod_manifest(ended_container(Stage.FETCH, 1, "killed")))
    assert found.containers == {Stage.FETCH: Ended(1, "Completed")}


def test_the_image_is_that_of_the_newest_container() -> None:
    started, next_one = ended_container(Stage.FETCH), {"name": "validate", "imageID": ""}
    assert pod_of(pod_manifest(started, next_one)).image == "sha256:fetch"
    assert pod_of(pod_manifest(next_one)).image == ""


def test_reads_why_no_node_takes_a_pod() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    told = pod_of(pod_manifest(conditions=[{**scheduled, "message": "0/1 nodes."}]))
    assert told.unschedulable == "0/1 nodes."
    gated = {**scheduled, "reason": "SchedulingGated"}
    assert pod_of(pod_manifest(conditions=[gated])).unschedulable == ""
    assert pod_of(pod_manifest(conditions=[{**scheduled, "status": "True"}])).unschedulable == ""


@pytest.mark.parametrize(
    ("status", "want"),
    [
        pytest.param({}, "", id="not evicted"),
        pytest.param(
            {"reason": "Evicted", "message": "low on memory."},
            "Evicted: low on memory.",
            id="by the kubelet",
        ),
        pytest.param({"reason": "NodeShutdown"}, "NodeShutdown", id="without words"),
        pytest.param(
            {
                "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "message": "node drained."}
                ]
            },
            "node drained.",
            id="by the eviction API",
        ),
    ],
)
def test_reads_who_ended_a_pod(status: dict[str, Any], want: str) -> None:
    assert pod_of(pod_manifest(**status)).evicted == want


def test_reads_a_pod_without_any_status() -> None:
    found = pod_of({"metadata": {"name": "p"}})
    assert (found.name, dict(found.containers), found.image) == ("p", {}, "")
