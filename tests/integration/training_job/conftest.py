"""A reconcile on a real API server, in a namespace that lets only restricted pods in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.training_job.trial import Trial

from tidegate.clients.kube import Kube, configuration


@pytest.fixture
async def trial(
    kubeconfig: Path, apiserver: ApiServer, crds: object, namespace: str
) -> AsyncIterator[Trial]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": namespace, "labels": labels}
    labelled = apiserver.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    assert labelled.accepted, labelled.refusals
    kube = Kube(await configuration(kubeconfig))
    yield Trial(kube, namespace)
    await kube.close()
