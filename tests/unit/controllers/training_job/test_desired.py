import json
from typing import Any

import pytest
from tests.unit.controllers.training_job.scenes import training_job

from tidegate.api.v1alpha1.training_job import TrainingJobSpec
from tidegate.controllers.training_job.desired import desired

STAGES = ["fetch", "validate", "train", "publish"]


def job(**spec: Any) -> dict[str, Any]:
    return desired(training_job(**spec), "runtime:1", "IfNotPresent")


def containers(**spec: Any) -> dict[str, dict[str, Any]]:
    pod = job(**spec)["spec"]["template"]["spec"]
    return {c["name"]: c for c in (*pod["initContainers"], *pod["containers"])}


def test_the_job_goes_with_its_training_job() -> None:
    meta = job()["metadata"]
    assert (meta["namespace"], meta["name"]) == ("growth", "churn-1")
    assert meta["labels"] == {
        "app.kubernetes.io/managed-by": "tidegate",
        "tidegate.dev/training-job": "churn-1",
    }
    (owner,) = meta["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("TrainingJob", "uid-tj", True)
    assert job()["spec"]["template"]["metadata"]["labels"] == meta["labels"]


def test_runs_the_stages_one_after_the_other() -> None:
    pod = job()["spec"]["template"]["spec"]
    assert [c["name"] for c in pod["initContainers"]] == STAGES[:-1]
    assert [c["name"] for c in pod["containers"]] == STAGES[-1:]
    assert [c["args"][:2] for c in containers().values()] == [["job", stage] for stage in STAGES]
    assert {c["image"] for c in containers().values()} == {"runtime:1"}
    assert pod["restartPolicy"] == "Never"
    assert pod["automountServiceAccountToken"] is False


def test_a_permanent_failure_ends_the_job_and_what_is_no_fault_of_it_costs_no_try() -> None:
    spec = job(retries=4, deadline="1h30m")["spec"]
    assert spec["backoffLimit"] == 4
    assert spec["activeDeadlineSeconds"] == 5400
    first, outage, second = spec["podFailurePolicy"]["rules"]
    codes = {"containerName": "fetch", "operator": "In", "values": [75]}
    assert outage == {"action": "Ignore", "onExitCodes": codes}
    assert first == {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [64]}}
    assert second["action"] == "Ignore"
    assert second["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_a_deadline_below_a_second_is_a_second() -> None:
    assert job(deadline="10ms")["spec"]["activeDeadlineSeconds"] == 1


@pytest.mark.parametrize(
    ("read", "write", "want"),
    [
        (None, None, [None, None, None, None]),
        ("in", None, ["in", None, None, "in"]),
        ("in", "out", ["in", None, None, "out"]),
        (None, "out", [None, None, None, "out"]),
    ],
)
def test_only_the_stages_that_need_them_get_credentials(
    read: str | None, write: str | None, want: list[str | None]
) -> None:
    base = training_job().spec.to_api()
    base["data"].pop("credentialsRef")
    data = {**base["data"], **({"credentialsRef": {"name": read}} if read else {})}
    output = {**base["output"], **({"credentialsRef": {"name": write}} if write else {})}
    found = [c["envFrom"] for c in containers(data=data, output=output).values()]
    assert found == [[{"secretRef": {"name": name}}] if name else [] for name in want]


def test_all_stages_get_the_resources_of_the_spec() -> None:
    given = {"requests": {"cpu": "4", "memory": "16Gi"}, "limits": {"memory": "16Gi"}}
    assert [c["resources"] for c in containers(resources=given).values()] == [given] * 4
    assert all("limits" not in c["resources"] for c in containers().values())


def told(value: str) -> dict[str, Any]:
    """What a program reads after the kubelet has put variables in their place."""
    assert "$" not in value.replace("$$", "")
    found: dict[str, Any] = json.loads(value.replace("$$", "$"))
    return found


def test_tells_the_programs_the_whole_job() -> None:
    variables = {c["env"][0]["value"] for c in containers().values()}
    facts = told(variables.pop())
    assert not variables
    assert {k: facts[k] for k in ("name", "namespace", "uid", "triggeredBy")} == {
        "name": "churn-1",
        "namespace": "growth",
        "uid": "uid-tj",
        "triggeredBy": "",
    }
    assert TrainingJobSpec.model_validate(facts["spec"]) == training_job().spec


def test_tells_who_asked_for_the_run() -> None:
    asked = training_job(annotations={"tidegate.dev/triggered-by": "DriftPolicy churn"})
    pod = desired(asked, "runtime:1", "Never")["spec"]["template"]["spec"]
    assert told(pod["containers"][0]["env"][0]["value"])["triggeredBy"] == "DriftPolicy churn"


def test_the_kubelet_replaces_nothing_in_a_column_name() -> None:
    data = {**training_job().spec.data.to_api(), "target": "in $$ and $(HOME)"}
    value = containers(data=data)["train"]["env"][0]["value"]
    assert told(value)["spec"]["data"]["target"] == "in $$ and $(HOME)"
