"""A process that wants to lead: `python candidate.py <kubeconfig> <namespace> <identity>`.

Prints `leads` and `lost`; the real operator exits where this one prints.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from tidegate.clients.kube import Kube, configuration
from tidegate.controllers.leader import Leadership


async def main(kubeconfig: str, namespace: str, identity: str) -> None:
    kube = Kube(await configuration(Path(kubeconfig)))
    leadership = Leadership(kube, namespace, identity, lambda: datetime.now(UTC))
    await leadership.acquire()
    print("leads", flush=True)  # noqa: T201 - what the test reads
    await leadership.hold()
    print("lost", flush=True)  # noqa: T201 - what the test reads


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
