"""A client of the operator's own, and objects to try it on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidegate.clients.kube import Kube, configuration


@pytest.fixture
async def answers() -> list[tuple[str, str, int]]:
    """What the client was answered: verb, plural, code."""
    return []


@pytest.fixture
async def kube(kubeconfig: Path, answers: list[tuple[str, str, int]]) -> AsyncIterator[Kube]:
    client = Kube(await configuration(kubeconfig), lambda *answer: answers.append(answer))
    yield client
    await client.close()
