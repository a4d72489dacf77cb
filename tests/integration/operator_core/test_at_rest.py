"""That an operator with nothing to do asks the API server for nothing: counted by the server."""

import asyncio
import json
import socket
from pathlib import Path

import pytest
from tests.integration.operator_core.objects import eventually, model
from tests.integration.operator_core.replicas import replica

from tidegate.api.names import LABEL_MANAGED_BY, LABEL_MODEL, LABEL_REVISION, MANAGED_BY
from tidegate.clients.kube import Kube, Manifest
from tidegate.controllers.model.state import revision_name

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("crds")]

QUIET_SECONDS = 10  # between the first sweep, 20 s after the start, and the next, 300 s later


def requests(audit: Path, since: int, namespace: str) -> list[tuple[str, str]]:
    """Verb and resource of each request about the namespace, after `since` bytes of the log."""
    with audit.open("rb") as log:
        log.seek(since)
        entries = [json.loads(line) for line in log if line.endswith(b"\n")]
    return [
        (entry["verb"], entry["objectRef"]["resource"])
        for entry in entries
        if entry.get("objectRef", {}).get("namespace") == namespace
        and not entry["userAgent"].startswith("kube-")  # the cluster's own controllers
    ]


def own_address() -> str:
    """An address of this machine that is not a loopback one; nobody listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # no packet is sent: it only asks for the route
        return str(probe.getsockname()[0])


def ready_pod(namespace: str, name: str) -> Manifest:
    """A pod of the Model's only revision: no kubelet is here to start it, but it is served."""
    artifact = model(namespace, name)["spec"]["artifact"]
    revision = revision_name(name, artifact["digest"], artifact["format"])
    endpoint = {
        "addresses": [own_address()],
        "conditions": {"ready": True},
        "targetRef": {"kind": "Pod", "name": revision, "uid": f"uid-of-{revision}"},
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": revision,
            "namespace": namespace,
            "labels": {
                LABEL_MANAGED_BY: MANAGED_BY,
                LABEL_MODEL: name,
                LABEL_REVISION: revision,
            },
        },
        "addressType": "IPv4",
        "endpoints": [endpoint],
    }


async def test_at_rest_there_are_no_requests_but_the_lease(
    kube: Kube, kubeconfig: Path, key: Path, namespace: str
) -> None:
    audit = kubeconfig.with_name("log") / "audit.log"
    if not audit.exists():
        pytest.fail(f"{audit} is missing: this test needs the audit log of a local cluster")
    for number in range(20):
        await kube.apply(model(namespace, f"m{number}"))
        await kube.apply(ready_pod(namespace, f"m{number}"))
    async with replica(kubeconfig, key, namespace, "a") as operator:
        await eventually(operator.says("workers start"), "the start")
        await operator.has_swept()
        await operator.has_reconciled(20)
        await operator.is_quiet()
        before = audit.stat().st_size
        await asyncio.sleep(QUIET_SECONDS)  # nothing is waited for: this is what is measured
        asked = requests(audit, before, namespace)
        assert set(asked) <= {("update", "leases")}
        assert asked, "the Lease is renewed"


async def test_after_a_restart_nothing_is_written_that_is_so_already(
    kube: Kube, kubeconfig: Path, key: Path, namespace: str
) -> None:
    audit = kubeconfig.with_name("log") / "audit.log"
    wanted = model(namespace, "churn")
    wanted["spec"]["serving"] = {"resources": {"limits": {"memory": "1Gi"}}}
    await kube.apply(wanted)
    await kube.apply(ready_pod(namespace, "churn"))
    async with replica(kubeconfig, key, namespace, "a") as operator:
        await operator.has_reconciled(1)
        await operator.is_quiet()
    before = audit.stat().st_size
    async with replica(kubeconfig, key, namespace, "b") as operator:
        await eventually(operator.says("workers start"), "the start")
        await operator.has_reconciled(1)
        await operator.is_quiet()
    asked = requests(audit, before, namespace)
    assert {verb for verb, _ in asked} <= {"get", "list", "watch", "update"}
    assert {resource for verb, resource in asked if verb == "update"} == {"leases"}
