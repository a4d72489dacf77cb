"""The signing key's job, as a real account with the chart's permissions."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.integration.accounts import Installed
from tests.integration.apiserver import ApiServer
from tests.integration.helm import helm

from tidegate.controllers.keygen import PRIVATE_KEY_FILE, ensure_key
from tidegate.errors import TerminalError

pytestmark = pytest.mark.apiserver


@pytest.fixture
def job_kubeconfig(
    kubeconfig: Path, apiserver: ApiServer, namespace: str, tmp_path: Path
) -> Iterator[Path]:
    """A kubeconfig with a token of the job's account."""
    installed = Installed(apiserver, helm(kubeconfig), namespace, {})
    account = f"{namespace}-signing-key"
    yield installed.kubeconfig(kubeconfig, account, tmp_path / "kubeconfig")
    installed.remove()


def key_of(apiserver: ApiServer, namespace: str) -> bytes:
    secret = apiserver.get(f"/api/v1/namespaces/{namespace}/secrets/signing")
    assert secret.accepted, secret.refusals
    return base64.b64decode(secret.body["data"][PRIVATE_KEY_FILE])


async def test_creates_a_key_once_and_keeps_it(
    job_kubeconfig: Path, apiserver: ApiServer, namespace: str
) -> None:
    assert await ensure_key(job_kubeconfig, namespace, "signing")
    first = key_of(apiserver, namespace)
    assert isinstance(load_pem_private_key(first, password=None), Ed25519PrivateKey)
    assert not await ensure_key(job_kubeconfig, namespace, "signing")
    assert key_of(apiserver, namespace) == first


async def test_two_jobs_at_once_agree_on_one_key(job_kubeconfig: Path, namespace: str) -> None:
    both = await asyncio.gather(
        *(ensure_key(job_kubeconfig, namespace, "signing") for _ in range(2))
    )
    assert sorted(both) == [False, True]


async def test_says_so_when_it_is_not_allowed(job_kubeconfig: Path) -> None:
    with pytest.raises(TerminalError) as refusal:
        await ensure_key(job_kubeconfig, "default", "signing")
    assert refusal.value.reason == "Forbidden"
