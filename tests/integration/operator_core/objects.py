"""Small objects for the tests on a real API server."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.patience import DEADLINE_SECONDS

from tidegate.api.names import API_VERSION, LABEL_MANAGED_BY, MANAGED_BY
from tidegate.clients.kube import Manifest

OURS = f"{LABEL_MANAGED_BY}={MANAGED_BY}"


def config_map(namespace: str, name: str, **data: str) -> Manifest:
    meta: dict[str, Any] = {
        "namespace": namespace,
        "name": name,
        "labels": {LABEL_MANAGED_BY: MANAGED_BY},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def deployment(namespace: str, name: str) -> Manifest:
    """One that the server writes in other words: quantities, defaults, protocols."""
    labels = {"app": name, LABEL_MANAGED_BY: MANAGED_BY}
    container = {
        "name": "main",
        "image": "example.invalid/image:1",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
        "env": [
            {
                "name": "POD",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}},
            }
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def model(namespace: str, name: str = "churn") -> Manifest:
    artifact = {"uri": "s3://models/churn/v1/", "digest": f"sha256:{'0' * 64}", "format": "Skops"}
    return {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"artifact": artifact},
    }


async def eventually(holds: Callable[[], bool], what: str) -> None:
    """Poll until it holds; fail the test when it does not in time."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not holds():  # noqa: ASYNC110 - it happens in the server
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        raise AssertionError(f"waited {DEADLINE_SECONDS:g} s in vain for {what}") from error
