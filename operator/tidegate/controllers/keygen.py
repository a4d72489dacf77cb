"""`python -m tidegate.controllers.keygen`: the key that signs what the operator tells sidecars.

Runs once before the operator, under an account that may create Secrets and nothing else. A key
that is there already stays: running sidecars trust it.
"""

import argparse
import asyncio
import base64
import logging
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tidegate.api.names import LABEL_MANAGED_BY, MANAGED_BY
from tidegate.clients.kube import Kube, Manifest, configuration
from tidegate.clients.resources import SECRETS

PRIVATE_KEY_FILE = "private-key.pem"

logger = logging.getLogger(__name__)


def new_secret(namespace: str, name: str) -> Manifest:
    """A Secret with a fresh Ed25519 key; it is replaced by deleting it, never changed."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {LABEL_MANAGED_BY: MANAGED_BY},
        },
        "immutable": True,
        "data": {PRIVATE_KEY_FILE: base64.b64encode(pem).decode()},
    }


async def ensure_key(kubeconfig: Path | None, namespace: str, name: str) -> bool:
    """Create the Secret; False if there is one already."""
    kube = Kube(await configuration(kubeconfig))
    try:
        return await kube.create(new_secret(namespace, name)) is not None
    finally:
        await kube.close()


def main(arguments: list[str]) -> None:
    """Run with the pod's own account, or with a kubeconfig."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.controllers.keygen")
    parser.add_argument("--secret", required=True, help="the name of the Secret")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--kubeconfig", type=Path, help="default: the pod's own account")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    created = asyncio.run(ensure_key(chosen.kubeconfig, chosen.namespace, chosen.secret))
    outcome = "created" if created else "exists already: its key is kept"
    logger.info("Secret %s/%s %s", chosen.namespace, chosen.secret, outcome)


if __name__ == "__main__":
    main(sys.argv[1:])
