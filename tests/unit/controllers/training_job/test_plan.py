from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.controllers.training_job.scenes import (
    ENDED,
    GATES,
    NOW,
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

from tidegate.api.names import EXIT_TRANSIENT, Reason
from tidegate.api.v1alpha1.training_job import TrainingJobStatus
from tidegate.controllers.training_job.plan import (
    Failure,
    Finished,
    Outcome,
    Progress,
    Success,
    plan,
)
from tidegate.controllers.training_job.state import (
    Ended,
    Observed,
    Pod,
    Refusal,
    Running,
    Stage,
    Waiting,
)


def outcome(seen: Observed) -> Outcome:
    return plan(seen, NOW).outcome


def progress(seen: Observed) -> Progress:
    found = outcome(seen)
    assert isinstance(found, Progress)
    return found


def failure(seen: Observed) -> Failure:
    found = outcome(seen)
    assert isinstance(found, Failure)
    return found


# Creating


def test_makes_the_job_where_there_is_none() -> None:
    assert plan(Observed(training_job()), NOW).create


def test_makes_no_second_job() -> None:
    assert not plan(running(), NOW).create


def test_makes_no_job_for_what_has_ended() -> None:
    step = plan(Observed(training_job(status=finished())), NOW)
    assert not step.create
    assert step.outcome == Finished()
    assert step.requeue_after is None


def test_asks_again_later_after_a_refusal_that_may_pass() -> None:
    refusal = Refusal(Reason.NAME_TAKEN, "Taken.", final=False)
    step = plan(Observed(training_job(), refusal=refusal), NOW)
    assert not step.create
    assert step.outcome == Progress(obstacle="Taken.")
    assert step.requeue_after == timedelta(seconds=30)


def test_a_spec_that_the_server_refuses_ends_the_job() -> None:
    refusal = Refusal(Reason.INVALID_SPEC, "Invalid.", final=True)
    found = failure(Observed(training_job(), refusal=refusal))
    assert (found.reason, found.message, found.at) == (Reason.INVALID_SPEC, "Invalid.", NOW)


# Following


@pytest.mark.parametrize(
    ("pods", "stage"),
    [
        pytest.param([], None, id="no pod yet"),
        pytest.param([Pod("p")], None, id="not placed yet"),
        pytest.param([waiting("PodInitializing")], None, id="about to start"),
        pytest.param([pod(Stage.FETCH, Running())], Stage.FETCH, id="fetches"),
        pytest.param([pod(Stage.VALIDATE, Running())], Stage.VALIDATE, id="validates"),
        pytest.param([pod(Stage.TRAIN, Waiting())], Stage.TRAIN, id="between two stages"),
        pytest.param([pod(Stage.TRAIN, Running())], Stage.TRAIN, id="trains"),
        pytest.param([pod(Stage.PUBLISH, Running())], Stage.PUBLISH, id="publishes"),
        pytest.param([pod()], Stage.PUBLISH, id="done, but the Job does not know yet"),
        pytest.param(
            [pod(Stage.TRAIN, badly(Stage.TRAIN, "GateFailed"))],
            Stage.TRAIN,
            id="failed for good, but the Job does not know yet",
        ),
        pytest.param(
            [pod(Stage.PUBLISH, badly(Stage.PUBLISH, "X", exit_code=EXIT_TRANSIENT))],
            None,
            id="waits for the next try",
        ),
        pytest.param(
            [pod(Stage.TRAIN, Ended(137, "Error"), name="p1"), pod(Stage.FETCH, name="p2")],
            Stage.FETCH,
            id="the newest try counts",
        ),
    ],
)
def test_finds_the_stage_that_runs(pods: list[Pod], stage: Stage | None) -> None:
    assert progress(running(*pods)).stage is stage


def test_nothing_hinders_a_job_that_goes_on() -> None:
    assert progress(running(pod(Stage.TRAIN))).obstacle == ""


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        pytest.param(running(), "`kubectl describe job churn-1` tells why", id="no pod"),
        pytest.param(
            running(waiting(unschedulable="0/1 nodes are available.")),
            "No node takes pod p1: 0/1 nodes are available. Add a node",
            id="no node",
        ),
        pytest.param(
            running(waiting("CreateContainerConfigError", 'secret "s3-read" not found')),
            'Stage fetch can\'t start (CreateContainerConfigError): secret "s3-read" not found. '
            "Create it in namespace growth",
            id="no Secret",
        ),
        pytest.param(
            running(waiting("ImagePullBackOff", "Back-off pulling image")),
            "chart value image.runtime",
            id="no image",
        ),
        pytest.param(
            running(waiting("CreateContainerError", "no space left")),
            "no space left. The job goes on as soon as",
            id="any other trouble of the node",
        ),
        pytest.param(
            running(pod(Stage.PUBLISH, Waiting("CreateContainerConfigError", "no secret"))),
            "Stage publish can't start",
            id="late trouble",
        ),
        pytest.param(
            running(
                pod(
                    Stage.PUBLISH, badly(Stage.PUBLISH, "X", "No answer.", exit_code=EXIT_TRANSIENT)
                ),
                failures=2,
            ),
            "Try 2 of 3 failed: No answer. The Job tries again.",
            id="a try that failed",
        ),
        pytest.param(
            running(pod(Stage.TRAIN, Ended(137, "Error"), evicted="node drained.")),
            "Pod p1 was ended from outside: node drained. The Job makes another.",
            id="an eviction",
        ),
    ],
)
def test_tells_what_hinders_the_job_and_the_fix(seen: Observed, told: str) -> None:
    assert told in progress(seen).obstacle


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(running(), id="no pod"),
        pytest.param(running(waiting(unschedulable="0/1 nodes.")), id="no node"),
    ],
)
def test_does_not_complain_in_the_first_seconds(seen: Observed) -> None:
    found = plan(seen, STARTED + timedelta(seconds=5)).outcome
    assert found == Progress(seen.pods[-1] if seen.pods else None)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        pytest.param(
            running(
                pod(Stage.PUBLISH, badly(Stage.PUBLISH, "X", exit_code=EXIT_TRANSIENT)), failures=3
            ),
            "no try is left",
            id="the last try",
        ),
        pytest.param(
            running(
                pod(Stage.PUBLISH, badly(Stage.PUBLISH, "X", exit_code=EXIT_TRANSIENT)), retries=0
            ),
            "there is one try, and the Job has not counted it yet",
            id="the only try",
        ),
        pytest.param(
            running(pod(Stage.FETCH, badly(Stage.FETCH, "X"))),
            "the program says so",
            id="permanent",
        ),
    ],
)
def test_promises_no_try_that_does_not_come(seen: Observed, why: str) -> None:
    assert progress(seen).obstacle == "", why


@pytest.mark.parametrize(("age", "seconds"), [(1, 3), (60, 3), (200, 10), (600, 30), (90_000, 30)])
def test_looks_less_often_at_what_runs_for_long(age: int, seconds: int) -> None:
    step = plan(running(pod(Stage.TRAIN)), STARTED + timedelta(seconds=age))
    assert step.requeue_after == timedelta(seconds=seconds)


def test_an_eviction_costs_no_try() -> None:
    evicted = pod(Stage.TRAIN, Ended(137, "Error"), name="p1", evicted="node drained.")
    assert progress(running(evicted, retries=0)) == Progress(
        evicted, obstacle="Pod p1 was ended from outside: node drained. The Job makes another."
    )
    failed = pod(Stage.PUBLISH, badly(Stage.PUBLISH, "X", exit_code=EXIT_TRANSIENT), name="p2")
    assert "Try 1 of 2 failed" in progress(running(evicted, failed, retries=1)).obstacle


def test_an_outage_of_the_store_costs_no_try_and_is_told() -> None:
    refused = badly(
        Stage.FETCH,
        Reason.OBJECT_STORE_UNREACHABLE,
        "s3:7070 refuses the connection.",
        exit_code=EXIT_TRANSIENT,
    )
    tries = [pod(Stage.FETCH, refused, name=f"p{i}") for i in range(5)]
    told = "s3:7070 refuses the connection. The job tries again until its deadline (4h)."
    assert progress(running(*tries, retries=0)).obstacle == told
    # The next try is under way, but has not come further yet.
    again = running(*tries, pod(Stage.FETCH, name="p9"), retries=0)
    assert (progress(again).stage, progress(again).obstacle) == (Stage.FETCH, told)
    past = running(*tries, pod(Stage.TRAIN, name="p9"), retries=0)
    assert progress(past).obstacle == ""


# The end


def test_succeeds_with_what_was_published() -> None:
    done = pod()
    found = outcome(complete(done))
    assert isinstance(found, Success)
    assert (found.pod, found.at) == (done, ENDED)
    assert found.uri == "s3://models/churn/churn-1/"
    assert found.result == well(Stage.PUBLISH).summary


def test_succeeds_by_the_try_that_ran_through() -> None:
    failed = pod(Stage.TRAIN, Ended(137, "OOMKilled"), name="p1")
    found = outcome(complete(failed, pod(name="p2")))
    assert isinstance(found, Success)
    assert found.pod.name == "p2"


@pytest.mark.parametrize(
    ("pods", "reason", "told"),
    [
        pytest.param([], Reason.RESULT_UNREADABLE, "deleted before its result", id="pod gone"),
        pytest.param(
            [pod(Stage.PUBLISH, Ended(0, "Completed"))],
            Reason.RESULT_UNREADABLE,
            "names no Skops model",
            id="no line",
        ),
        pytest.param(
            [pod(Stage.PUBLISH, well(Stage.PUBLISH, metrics=None))],
            Reason.METRICS_MISSING,
            "metrics.json",
            id="no metrics",
        ),
        pytest.param(
            [pod(Stage.PUBLISH, well(Stage.PUBLISH, digest=None))],
            Reason.RESULT_UNREADABLE,
            "digest",
            id="no digest",
        ),
        pytest.param(
            [pod(Stage.PUBLISH, well(Stage.PUBLISH, uri="s3://models/other/"))],
            Reason.RESULT_UNREADABLE,
            "s3://models/churn/churn-1/",
            id="another job's folder",
        ),
        pytest.param(
            [pod(Stage.PUBLISH, well(Stage.PUBLISH, format="Joblib"))],
            Reason.RESULT_UNREADABLE,
            "Skops",
            id="another format",
        ),
    ],
)
def test_a_complete_job_without_a_verified_result_has_failed(
    pods: list[Pod], reason: Reason, told: str
) -> None:
    found = failure(complete(*pods))
    assert found.reason is reason
    assert told in found.message
    assert found.at == ENDED


OOM = Ended(137, "OOMKilled")


@pytest.mark.parametrize(
    ("seen", "reason", "stage", "told"),
    [
        pytest.param(
            given_up(
                pod(
                    Stage.TRAIN, badly(Stage.TRAIN, "GateFailed", "Too low.", field="spec.gates[0]")
                )
            ),
            Reason.GATE_FAILED,
            Stage.TRAIN,
            "spec.gates[0]: Too low.",
            id="in the stage's own words",
        ),
        pytest.param(
            given_up(
                pod(
                    Stage.FETCH,
                    badly(Stage.FETCH, "DigestMismatch", "spec.x differs.", field="spec.x"),
                )
            ),
            Reason.DIGEST_MISMATCH,
            Stage.FETCH,
            "spec.x differs.",
            id="the field is named once",
        ),
        pytest.param(
            given_up(pod(Stage.FETCH, badly(Stage.FETCH, "Newfangled", "New."))),
            Reason.JOB_FAILED,
            Stage.FETCH,
            "New.",
            id="a reason that is not known",
        ),
        pytest.param(
            given_up(
                pod(Stage.FETCH, badly(Stage.FETCH, "ObjectStoreUnreachable", "No answer.")),
                reason="BackoffLimitExceeded",
                failures=3,
            ),
            Reason.OBJECT_STORE_UNREACHABLE,
            Stage.FETCH,
            "No answer. (3 tries)",
            id="all tries",
        ),
        pytest.param(
            given_up(
                pod(Stage.TRAIN, Ended(1, "Error"), name="p1"),
                pod(Stage.TRAIN, Ended(1, "Error"), name="p2"),
                reason="BackoffLimitExceeded",
                failures=1,
            ),
            Reason.JOB_FAILED,
            Stage.TRAIN,
            "`kubectl logs p2 -c train` may tell why. (2 tries)",
            id="the last try, which the Job has not counted yet",
        ),
        pytest.param(
            given_up(pod(Stage.TRAIN, OOM), resources={"limits": {"memory": "2Gi"}}),
            Reason.OOM_KILLED,
            Stage.TRAIN,
            "more memory than its limit of 2Gi",
            id="out of memory",
        ),
        pytest.param(
            given_up(pod(Stage.TRAIN, OOM)),
            Reason.OOM_KILLED,
            Stage.TRAIN,
            "more memory than its node had left",
            id="out of the node's memory",
        ),
        pytest.param(
            given_up(pod(Stage.TRAIN, Ended(139, "Error"))),
            Reason.JOB_FAILED,
            Stage.TRAIN,
            "`kubectl logs p1 -c train`",
            id="a crash",
        ),
        pytest.param(
            given_up(pod(Stage.TRAIN, Ended(137, "Error"), evicted="low on disk.")),
            Reason.JOB_FAILED,
            Stage.TRAIN,
            "Pod p1 was ended from outside: low on disk.",
            id="an eviction in a stage",
        ),
        pytest.param(
            given_up(Pod("p1", evicted="low on disk.")),
            Reason.JOB_FAILED,
            None,
            "Pod p1 was ended from outside: low on disk.",
            id="an eviction before the first stage",
        ),
        pytest.param(
            given_up(reason="BackoffLimitExceeded", failures=3),
            Reason.JOB_FAILED,
            None,
            "Kubernetes says so. (3 tries), and no pod is left",
            id="no pod left",
        ),
        pytest.param(
            given_up(
                pod(Stage.TRAIN, badly(Stage.TRAIN, "TrainingFailed", "First."), name="p1"),
                pod(Stage.TRAIN, badly(Stage.TRAIN, "GateFailed", "Second."), name="p2"),
            ),
            Reason.GATE_FAILED,
            Stage.TRAIN,
            "Second.",
            id="the newest try tells",
        ),
    ],
)
def test_tells_why_a_job_has_failed(
    seen: Observed, reason: Reason, stage: Stage | None, told: str
) -> None:
    found = failure(seen)
    assert (found.reason, found.stage, found.at) == (reason, stage, ENDED)
    assert told in found.message


@pytest.mark.parametrize(
    ("state", "ready", "stage", "told"),
    [
        ("Training", ("Unknown", "Trains."), Stage.TRAIN, "in the state Training: create it again"),
        ("Pending", ("False", "No Secret."), None, "with more resources. No Secret."),
        ("", None, None, "in the state Pending"),
    ],
)
def test_a_deadline_tells_where_the_job_stood(
    state: str, ready: tuple[str, str] | None, stage: Stage | None, told: str
) -> None:
    known = (condition("Ready", ready[0], Reason.PENDING, ready[1]),) if ready else ()
    status = TrainingJobStatus(state=state, conditions=known)
    found = failure(given_up(reason="DeadlineExceeded", status=status, deadline="1h"))
    assert (found.reason, found.stage) == (Reason.DEADLINE_EXCEEDED, stage)
    assert "spec.deadline (1h)" in found.message
    assert told in found.message


# Afterwards


@pytest.mark.parametrize("seen", [complete(pod()), given_up(pod(Stage.TRAIN, OOM))])
def test_keeps_the_pods_until_their_time_is_up(seen: Observed) -> None:
    step = plan(replace(seen, job=training_job(ttlAfterFinished="1h")), NOW)
    assert not step.expired, "the end is not in the status yet"
    assert step.requeue_after == ENDED + timedelta(hours=1) - NOW


@pytest.mark.parametrize(
    ("later", "expired", "again"),
    [
        (timedelta(minutes=59), False, timedelta(minutes=1)),
        (timedelta(hours=1), True, None),
        (timedelta(days=9), True, None),
    ],
)
def test_deletes_the_job_when_its_time_is_up(
    later: timedelta, expired: bool, again: timedelta | None
) -> None:
    job = training_job(status=finished(), ttlAfterFinished="1h", gates=GATES)
    step = plan(Observed(job, child(succeeded_at=ENDED)), ENDED + later)
    assert (step.expired, step.requeue_after) == (expired, again)
