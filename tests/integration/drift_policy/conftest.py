"""A reconcile on a real API server, in a namespace that lets only restricted pods in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.drift_policy.watch import Watch

from tidegate.clients.kube import Kube, configuration


@pytest.fixture
async def watch(
    kubeconfig: Path, apiserver: ApiServer, crds: object, namespace: str
) -> AsyncIterator[Watch]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": namespace, "labels": labels}
    labelled = apiserver.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    assert labelled.accepted, labelled.refusals
    kube = Kube(await configuration(kubeconfig))
    yield Watch(kube, namespace)
    await kube.close()
