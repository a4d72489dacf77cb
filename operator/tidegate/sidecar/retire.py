"""Tells the proxy that its pod is about to end: the hook that the kubelet runs first of all.

The kubelet stops the model's container before the sidecar's, so SIGTERM comes when there is no
model to ask any more: too late to tell the clients.
"""

import os
import signal

PROXY = 1  # the first process of the container


def main() -> None:
    """Raise ProcessLookupError or PermissionError if there is no proxy to be told."""
    os.kill(PROXY, signal.SIGUSR1)


if __name__ == "__main__":
    main()
