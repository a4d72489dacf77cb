from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.reconciling import eventually
from tests.integration.training_job.trial import (
    DIGEST,
    TOO_LARGE,
    Trial,
    whole_run,
)

from tidegate.api.meta import parse_timestamp
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import JOBS, PODS, TRAINING_JOBS

pytestmark = pytest.mark.apiserver


async def test_a_restricted_namespace_takes_the_pod(trial: Trial) -> None:
    await trial.create()
    await trial.look()
    pod = await trial.pod()
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["fetch", "validate", "train"]
    assert pod["spec"]["automountServiceAccountToken"] is False


async def test_follows_the_stages_to_the_end(trial: Trial) -> None:
    await trial.create()
    run = whole_run()
    again = await trial.look()
    assert again == timedelta(seconds=3)
    assert (await trial.seen()).status.state == "Pending"
    for stage, state in (
        ("fetch", "Fetching"),
        ("validate", "Validating"),
        ("train", "Training"),
        ("publish", "Publishing"),
    ):
        await trial.run(**{k: run[k] for k in _before(stage)}, **{stage: "running"})
        await trial.look()
        assert (await trial.seen()).status.state == state
    await trial.run(**run)
    await trial.ends("Complete")
    await trial.look()
    status = (await trial.seen()).status
    assert status.succeeded
    assert status.output is not None
    assert status.output.digest == DIGEST
    assert status.metric == "accuracy 0.953"
    assert {c.status for c in status.conditions} == {"True"}
    assert await trial.told() == [("Normal", "Started"), ("Normal", "Succeeded")]


def _before(stage: str) -> list[str]:
    stages = ["fetch", "validate", "train", "publish"]
    return stages[: stages.index(stage)]


async def test_writes_nothing_where_nothing_is_new(trial: Trial) -> None:
    await trial.create()
    await trial.look()
    await trial.run(fetch="running")
    await trial.look()
    before = await trial.kube.get(TRAINING_JOBS, trial.namespace, "churn-1")
    trial.restart()
    await trial.look()
    assert await trial.kube.get(TRAINING_JOBS, trial.namespace, "churn-1") == before


async def test_a_permanent_failure_ends_the_job_at_the_first_try(trial: Trial) -> None:
    await trial.create(retries=5)
    await trial.look()
    message = "spec.gates[0]: roc_auc is 0.7, at least 0.9 is required."
    run = whole_run()
    bad = {"stage": "train", "ok": False, "reason": "GateFailed", "message": message}
    await trial.run(fetch=run["fetch"], validate=run["validate"], train=bad)
    await trial.ends("Failed")
    await trial.look()
    status = (await trial.seen()).status
    ready = status.condition("Ready")
    assert ready is not None
    assert (status.state, ready.reason, ready.message) == ("Failed", "GateFailed", message)
    pods, _ = await trial.kube.list(PODS, trial.namespace)
    assert len(pods) == 1
    assert ("Warning", "GateFailed") in await trial.told()


async def test_a_passing_failure_is_tried_again(trial: Trial) -> None:
    await trial.create(retries=1)
    await trial.look()
    bad = whole_run() | {"publish": unreachable("publish")}
    await trial.run(**bad)
    await trial.look()
    ready = (await trial.seen()).status.condition("Ready")
    assert ready is not None
    assert ready.message == "Try 1 of 2 failed: No answer. The Job tries again."
    await eventually(lambda: _has_pods(trial, 2), "the second try")
    await trial.run(**bad)
    await trial.ends("Failed")
    await trial.look()
    ready = (await trial.seen()).status.condition("Ready")
    assert ready is not None
    assert (ready.reason, ready.message) == ("ObjectStoreUnreachable", "No answer. (2 tries)")


async def test_an_outage_of_the_inputs_store_costs_no_try(trial: Trial) -> None:
    await trial.create(retries=0)
    await trial.look()
    await trial.run(fetch=unreachable("fetch"))
    await trial.look()
    ready = (await trial.seen()).status.condition("Ready")
    assert ready is not None
    assert ready.message == "No answer. The job tries again until its deadline (4h)."
    await eventually(lambda: _has_pods(trial, 2), "the next try")
    await trial.run(**whole_run())
    await trial.ends("Complete")
    await trial.look()
    assert (await trial.seen()).status.state == "Succeeded"


def unreachable(stage: str) -> Manifest:
    """The line of a stage whose store does not answer."""
    why = {"reason": "ObjectStoreUnreachable", "message": "No answer."}
    return {"stage": stage, "ok": False, "exitCode": 75, **why}


async def _has_pods(trial: Trial, count: int) -> bool:
    pods, _ = await trial.kube.list(PODS, trial.namespace)
    return len(pods) == count


async def test_a_deadline_ends_the_job(trial: Trial) -> None:
    await trial.create(deadline="1h")
    await trial.look()
    await trial.run(fetch=whole_run()["fetch"], validate="running")
    await trial.look()
    job = await trial.job("churn-1")
    assert job is not None
    assert job["spec"]["activeDeadlineSeconds"] == 3600
    await trial.is_late()
    await trial.ends("FailureTarget")
    await trial.look()
    status = (await trial.seen()).status
    ready = status.condition("Ready")
    assert ready is not None
    assert (status.state, ready.reason) == ("Failed", "DeadlineExceeded")
    assert "in the state Validating" in ready.message
    assert status.lineage is not None, "what was fetched is remembered"


async def test_a_result_that_nobody_can_read_any_more_is_not_served(trial: Trial) -> None:
    await trial.create()
    await trial.look()
    await trial.run(**whole_run())
    await trial.ends("Complete")
    pod = (await trial.pod())["metadata"]["name"]
    await trial.kube.delete(PODS, trial.namespace, pod)

    async def gone() -> bool:
        return await trial.kube.get(PODS, trial.namespace, pod) is None

    await eventually(gone, "the pod's end")
    await trial.look()
    status = (await trial.seen()).status
    ready = status.condition("Ready")
    assert ready is not None
    assert (status.state, ready.reason, status.output) == ("Failed", "ResultUnreadable", None)


async def test_an_operator_that_died_after_the_create_makes_no_second_job(trial: Trial) -> None:
    await trial.create()
    await trial.look()
    first = await trial.job()
    trial.restart()
    await trial.look()
    second = await trial.job()
    assert first is not None
    assert second is not None
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["metadata"]["generation"] == 1


async def test_a_job_that_somebody_deleted_is_made_again(trial: Trial) -> None:
    await trial.create()
    await trial.look()
    first = await trial.job()
    await trial.kube.delete(JOBS, trial.namespace, "churn-1")

    async def gone() -> bool:
        return await trial.job() is None

    await eventually(gone, "the Job's end")
    await trial.look()
    second = await trial.job()
    assert first is not None
    assert second is not None
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


async def test_the_end_is_written_before_the_job_is_deleted_and_stays(trial: Trial) -> None:
    await trial.create(ttlAfterFinished="1m")
    await trial.look()
    await trial.run(**whole_run())
    await trial.ends("Complete")
    again = await trial.look()
    status = (await trial.seen()).status
    assert status.succeeded
    assert again is not None
    assert status.completion_time is not None
    await trial.look(at=datetime.now(UTC) + again / 2)
    assert await trial.job() is not None
    over = parse_timestamp(status.completion_time) + timedelta(minutes=1)
    assert await trial.look(at=over) is None

    async def gone() -> bool:
        return await trial.job() is None

    await eventually(gone, "the Job's end")
    assert await trial.look(at=over + timedelta(days=1)) is None
    assert await trial.job() is None, "a finished job is not run again"
    assert (await trial.seen()).status == status


async def test_a_job_of_somebody_elses_is_left_alone(trial: Trial) -> None:
    container = {
        "name": "main",
        "image": "example.invalid/other:1",
        "resources": TOO_LARGE,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    meta = {"namespace": trial.namespace, "name": "churn-1"}
    foreign = await trial.kube.create(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template}}
    )
    assert foreign is not None
    await trial.create()
    assert await trial.look() == timedelta(seconds=30)
    accepted = (await trial.seen()).status.condition("Accepted")
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", "NameTaken")
    await trial.kube.delete(JOBS, trial.namespace, "churn-1", uid=foreign["metadata"]["uid"])

    async def started() -> bool:
        await trial.look()
        job = await trial.job()
        return job is not None and job["metadata"]["uid"] != foreign["metadata"]["uid"]

    await eventually(started, "our own Job")
    accepted = (await trial.seen()).status.condition("Accepted")
    assert accepted is not None
    assert accepted.status == "True"


async def test_a_spec_that_makes_no_valid_pod_fails_with_the_servers_words(trial: Trial) -> None:
    await trial.create(resources={"requests": {"nvidia.com/gpu": "1"}})
    assert await trial.look() is None
    status = (await trial.seen()).status
    accepted = status.condition("Accepted")
    assert accepted is not None
    assert (status.state, accepted.status, accepted.reason) == ("Failed", "False", "InvalidSpec")
    assert "Limit must be set for non overcommitable resources" in accepted.message
    assert await trial.look() is None
    assert await trial.job() is None


async def test_the_job_goes_with_its_training_job(trial: Trial) -> None:
    await trial.create()
    await trial.look()
    await trial.kube.delete(TRAINING_JOBS, trial.namespace, "churn-1")

    async def gone() -> bool:
        return await trial.job() is None

    await eventually(gone, "the garbage collector")
    assert await trial.look() is None


async def test_the_time_to_live_can_be_changed_afterwards(trial: Trial) -> None:
    await trial.create()
    await trial.look()
    await trial.run(**whole_run())
    await trial.ends("Complete")
    await trial.look()
    found = await trial.kube.get(TRAINING_JOBS, trial.namespace, "churn-1")
    assert found is not None
    found["spec"]["ttlAfterFinished"] = "1h"
    assert await trial.kube.replace(found) is not None
    again = await trial.look()
    assert again is not None
    assert again <= timedelta(hours=1)
    seen = await trial.seen()
    assert seen.status.observed_generation == seen.metadata.generation == 2
    assert seen.status.succeeded
