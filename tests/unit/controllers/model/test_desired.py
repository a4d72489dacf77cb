"""The objects of a Model, as manifests."""

import json
from typing import Any

import pytest
from tests.unit.controllers.model.scenes import NEW, OLD, Story, model

from tidegate.api.v1alpha1.model import Model
from tidegate.controllers.model.desired import Sealed, desired
from tidegate.controllers.model.observe import (
    _complaint,
    _refusal,
    _revisions,
    _selected_revision,
)
from tidegate.controllers.model.plan import Plan
from tidegate.runtime.outcome import failure
from tidegate.sidecar.settings import LogSettings, Settings

SEALED = Sealed('{"document": "…"}', "-----BEGIN PUBLIC KEY-----")


def objects(given: Model, plan: Plan) -> dict[tuple[str, str], dict[str, Any]]:
    made = desired(given, plan, SEALED, "IfNotPresent")
    return {(m["kind"], m["metadata"]["name"]): m for m in made}


def serving(**spec: Any) -> tuple[Model, Plan]:
    story = Story(model(**spec))
    story.until_promoted_first()
    return story.model, story.plans[-1]


def test_a_served_model_has_one_of_each() -> None:
    assert set(objects(*serving())) == {
        ("ControllerRevision", OLD.name),
        ("ConfigMap", "churn-routing"),
        ("Service", OLD.name),
        ("Deployment", OLD.name),
        ("Service", "churn"),
        ("PodDisruptionBudget", "churn"),
    }


def test_in_a_rollout_both_revisions_have_pods_and_the_public_service_selects_stable() -> None:
    story = Story()
    story.until_promoted_first()
    story.wanted = NEW
    made = objects(story.model, story.look())
    assert ("Deployment", OLD.name) in made
    assert ("Deployment", NEW.name) in made
    assert _selected_revision(made["Service", "churn"]) == OLD.name


def test_pods_meet_the_restricted_standard() -> None:
    pod = objects(*serving())["Deployment", OLD.name]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_sidecar_starts_before_the_model_and_outlives_it() -> None:
    pod = objects(*serving())["Deployment", OLD.name]["spec"]["template"]["spec"]
    assert [c["name"] for c in pod["initContainers"]] == ["fetch", "sidecar"]
    assert pod["initContainers"][1]["restartPolicy"] == "Always"
    assert pod["initContainers"][1]["startupProbe"]["httpGet"]["path"] == "/livez"


def test_credentials_reach_the_fetch_and_nobody_else() -> None:
    artifact = {"fromTraining": {}, "credentialsRef": {"name": "s3-read"}}
    pod = objects(*serving(artifact=artifact))["Deployment", OLD.name]["spec"]["template"]["spec"]
    fetch, sidecar = pod["initContainers"]
    assert fetch["envFrom"] == [{"secretRef": {"name": "s3-read"}}]
    assert "envFrom" not in sidecar
    assert "envFrom" not in pod["containers"][0]


def test_grpc_is_passed_on_and_probed_beside_it() -> None:
    immediate: dict[str, Any] = {"strategy": {"immediate": {}}}
    made = objects(*serving(serving={"protocol": "GRPC"}, delivery=immediate))
    pod = made["Deployment", OLD.name]["spec"]["template"]["spec"]
    env = {v["name"]: v.get("value") for v in pod["initContainers"][1]["env"]}
    settings = Settings.from_environment({**env, "TIDEGATE_POD_UID": "u"})
    assert settings.relays
    assert settings.upstream == ("127.0.0.1", 8001)
    assert "--grpc-port=8001" in pod["containers"][0]["args"]
    assert pod["containers"][0]["readinessProbe"]["httpGet"]["port"] == "model"
    for name in ("churn", OLD.name):
        (port,) = made["Service", name]["spec"]["ports"]
        assert (port["port"], port["appProtocol"]) == (80, "kubernetes.io/h2c")


def sidecar_env(**settings: Any) -> dict[str, Any]:
    made = objects(*serving(serving={"sidecar": settings}))
    sidecar = made["Deployment", OLD.name]["spec"]["template"]["spec"]["initContainers"][1]
    return {v["name"]: v.get("value") or v["valueFrom"] for v in sidecar["env"]}


def test_capture_and_log_leave_pods_alone_until_they_are_asked_for() -> None:
    assert not {"TIDEGATE_LOG", "TIDEGATE_CAPTURE_PERCENT"} & set(sidecar_env())
    assert sidecar_env() == sidecar_env(capture={"mode": "All"})


@pytest.mark.parametrize(
    ("capture", "percent"),
    [({"mode": "Off"}, "0"), ({"mode": "Sample", "samplePercent": 5}, "5")],
)
def test_the_sidecar_is_told_what_to_copy(capture: dict[str, Any], percent: str) -> None:
    env = sidecar_env(capture=capture | {"maxBodyBytes": 2048})
    assert env["TIDEGATE_CAPTURE_PERCENT"] == percent
    assert env["TIDEGATE_MAX_BODY_BYTES"] == "2048"


def test_the_log_gets_the_keys_that_it_needs_and_no_more_of_the_secret() -> None:
    log = {"uri": "s3://logs/churn/", "redact": ["ssn"], "credentialsRef": {"name": "s3-write"}}
    env = sidecar_env(log=log)
    read = LogSettings.from_environment({"TIDEGATE_LOG": env["TIDEGATE_LOG"]})
    assert read == LogSettings("s3://logs/churn/", 10, frozenset({"ssn"}))
    keys = [v["secretKeyRef"] for v in env.values() if "secretKeyRef" in v]
    assert {key["name"] for key in keys} == {"s3-write"}
    assert all(key["optional"] for key in keys), "a missing Secret keeps no model from serving"
    assert env["AWS_SECRET_ACCESS_KEY"]["secretKeyRef"]["key"] == "AWS_SECRET_ACCESS_KEY"


def test_the_server_is_told_the_format_that_was_asked_for() -> None:
    pod = objects(*serving())["Deployment", OLD.name]["spec"]["template"]["spec"]
    assert {"name": "TIDEGATE_FORMAT", "value": OLD.format} in pod["containers"][0]["env"]


def test_unsafe_formats_are_served_only_with_consent() -> None:
    def arguments(**spec: Any) -> list[str]:
        pod = objects(*serving(**spec))["Deployment", OLD.name]["spec"]["template"]["spec"]
        return list(pod["containers"][0]["args"])

    assert "--allow-unsafe" not in arguments()
    assert "--allow-unsafe" in arguments(artifact={"fromTraining": {}, "allowUnsafe": True})


def test_replicas_and_resources_are_the_users() -> None:
    wishes = {
        "scaling": {"minReplicas": 3},
        "resources": {"limits": {"memory": "1Gi"}},
        "sidecar": {"resources": {"requests": {"cpu": "200m"}}},
    }
    story = Story(model(serving=wishes))
    story.look()
    deployment = objects(story.model, story.plans[-1])["Deployment", OLD.name]
    assert deployment["spec"]["replicas"] == 3
    pod = deployment["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"] == {"limits": {"memory": "1Gi"}}
    assert pod["initContainers"][1]["resources"] == {"requests": {"cpu": "200m"}}


def test_nothing_is_asked_for_that_the_server_would_drop() -> None:
    """It would be missed, and applied again, after each restart."""
    pod = objects(*serving())["Deployment", OLD.name]["spec"]["template"]["spec"]
    mounts = [m for c in (*pod["initContainers"], *pod["containers"]) for m in c["volumeMounts"]]
    assert {m["mountPath"]: m.get("readOnly") for m in mounts if m["name"] == "routing"} == {
        "/etc/tidegate/routing": True
    }
    assert [m.get("readOnly") for m in mounts if m["name"] == "model"] == [None, True, True]


def test_a_rollout_does_not_touch_the_stable_pods() -> None:
    story = Story()
    story.until_promoted_first()
    before = objects(story.model, story.plans[-1])["Deployment", OLD.name]
    story.wanted = NEW
    story.look()
    story.ready.add(NEW.name)
    for _ in range(40):
        if story.seen.routing is not None:
            story.traffic(errors={})
        step = story.look(seconds=10)
        made = objects(story.model, step)
        if ("Deployment", OLD.name) in made:
            assert made["Deployment", OLD.name] == before
    assert story.actions[-1] == "Promote"


def test_a_revision_can_be_read_back_from_each_of_its_two_objects() -> None:
    made = objects(*serving())
    revision, deployment = (made[k, OLD.name] for k in ("ControllerRevision", "Deployment"))
    assert _revisions(revision) == _revisions(deployment)
    assert _revisions(revision) == {OLD.name: OLD}
    assert _revisions({"metadata": {"name": "somebody-elses"}}) == {}


def test_a_pod_that_does_not_start_is_explained() -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    ended = {"terminated": {"exitCode": 64, "reason": "Error", "message": "DigestMismatch: …"}}
    status = {"name": "fetch", "state": waiting, "lastState": ended}
    pod = {"metadata": {"name": "churn-1"}, "status": {"initContainerStatuses": [status]}}
    told = _complaint(pod)
    assert told is not None
    assert "fetch" in told
    assert "CrashLoopBackOff" in told
    assert "DigestMismatch" in told
    line = failure("fetch", "DigestMismatch", "The folder is not what its digest says.")
    ended["terminated"]["message"] = json.dumps(line)
    assert _complaint(pod) == (
        "Container fetch of pod churn-1: CrashLoopBackOff. The folder is not what its digest says."
    )
    unplaced = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available."}
    pod = {"metadata": {"name": "churn-1"}, "status": {"conditions": [unplaced]}}
    assert _complaint(pod) == "No node takes pod churn-1: 0/3 nodes are available."
    starting = {"name": "fetch", "state": {"waiting": {"reason": "PodInitializing"}}}
    pod = {"metadata": {"name": "churn-1"}, "status": {"initContainerStatuses": [starting]}}
    assert _complaint(pod) is None


def test_pods_that_can_not_be_made_are_explained() -> None:
    said = 'pods "churn-1" is forbidden: exceeded quota: few'
    failing = {"type": "ReplicaFailure", "status": "True", "message": said}
    assert _refusal({"status": {"conditions": [failing]}}) == f"No pod can be made: {said}"
    assert _refusal({"status": {"conditions": [failing | {"status": "False"}]}}) is None
    assert _refusal({"metadata": {"name": "new"}}) is None
