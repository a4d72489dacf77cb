"""A reconcile on a real API server, in a namespace that lets only restricted pods in."""

import pytest
from tests.integration.training_job.trial import Trial

from tidegate.clients.kube import Kube


@pytest.fixture
async def trial(restricted: Kube, namespace: str) -> Trial:
    return Trial(restricted, namespace)
