"""That an operator with nothing to do asks the API server for nothing: counted by the server."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.integration.operator_core.objects import eventually, model
from tests.integration.operator_core.replicas import replica

from tidegate.clients.kube import Kube

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("crds")]

QUIET_SECONDS = 10  # before the first sweep, which is 20 s after the start


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


async def test_at_rest_there_are_no_requests_but_the_lease(
    kube: Kube, kubeconfig: Path, key: Path, namespace: str
) -> None:
    audit = kubeconfig.with_name("log") / "audit.log"
    if not audit.exists():
        pytest.fail(f"{audit} is missing: this test needs the audit log of a local cluster")
    for number in range(20):
        await kube.apply(model(namespace, f"m{number}"))
    async with replica(kubeconfig, key, namespace, "a") as operator:
        await eventually(operator.says("workers start"), "the start", 30)
        await operator.has_reconciled(20)
        await operator.is_quiet()
        before = audit.stat().st_size
        await asyncio.sleep(QUIET_SECONDS)  # nothing is waited for: this is what is measured
        asked = requests(audit, before, namespace)
        assert set(asked) <= {("update", "leases")}
        assert asked, "the Lease is renewed"
