import pytest
from tests.integration.drift_policy.watch import Watch

from tidegate.clients.resources import DRIFT_POLICIES

pytestmark = pytest.mark.apiserver

FOUND = {"auc": 0.71, "samples": 1000, "clustering": 1.0, "top": [["age", 0.1]]}


async def test_a_look_runs_in_a_restricted_namespace_and_its_finding_is_a_level(
    watch: Watch,
) -> None:
    await watch.begin()
    await watch.look()
    pod = await watch.pod()
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["fetch"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    await watch.end(FOUND)
    watch.restart()
    await watch.look()
    drift = await watch.drift()
    assert (drift.level, drift.signals[0].value) == ("Breach", "0.710")
    assert drift.last_action is not None
    assert drift.last_action.reason == "DriftDetected"


async def test_a_look_that_fails_is_unknown_and_raises_no_alarm(watch: Watch) -> None:
    await watch.begin()
    await watch.look()
    await watch.end({"message": "s3://logs/: access denied"}, code=64)
    await watch.look()
    drift = await watch.drift()
    assert (drift.level, drift.last_action) == ("Unknown", None)
    assert drift.signals[0].message == "s3://logs/: access denied"


async def test_looks_once_and_writes_nothing_until_the_next(watch: Watch) -> None:
    await watch.begin()
    for _ in range(3):
        watch.restart()
        await watch.look()
    await watch.end(FOUND)
    await watch.look()
    (job,) = await watch.jobs()
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    before = await watch.kube.get(DRIFT_POLICIES, watch.namespace, "together")
    watch.restart()
    await watch.look()
    assert await watch.kube.get(DRIFT_POLICIES, watch.namespace, "together") == before
    assert await watch.jobs() == [job]
