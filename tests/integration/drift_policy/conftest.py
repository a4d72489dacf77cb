"""A reconcile on a real API server, in a namespace that lets only restricted pods in."""

import pytest
from tests.integration.drift_policy.watch import Watch

from tidegate.clients.kube import Kube


@pytest.fixture
async def watch(restricted: Kube, namespace: str) -> Watch:
    return Watch(restricted, namespace)
