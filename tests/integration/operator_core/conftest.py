"""A client of the operator's own, and objects to try it on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

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


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "signing.pem"
    private = Ed25519PrivateKey.generate()
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path
