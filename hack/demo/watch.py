"""Looks at the cluster as a user can: statuses through the API, and the clients' counters."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hack.demo.snapshot import Reader, Seconds, Snapshot
from kubernetes import client, config
from urllib3.exceptions import HTTPError

NAMESPACE, MODEL, POLICY = "tidegate-demo", "tumours", "clinic"
GROUP, VERSION = "tidegate.dev", "v1alpha1"
WORLD = "world:8099"


class OutOfSightError(Exception):
    """The cluster did not answer; it may the next time."""


class Watch:
    """A view of the demo's namespace that keeps all it has seen."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        # A company's proxy does not know the way to a local cluster.
        how = client.Configuration(no_proxy=environment.get("NO_PROXY"))
        config.load_kube_config(  # type: ignore[no-untyped-call]  # not typed
            environment["KUBECONFIG"], client_configuration=how
        )
        api = client.ApiClient(how)
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._reader = Reader()
        self._seconds: dict[int, dict[str, int]] = {}
        self.history: list[Snapshot] = []

    def look(self) -> Snapshot:
        """Look now; OutOfSightError if there is nothing to be seen."""
        with _answering():
            models = {m["metadata"]["name"]: m.get("status") for m in self._list("models")}
            policies = {p["metadata"]["name"]: p.get("status") for p in self._list("driftpolicies")}
            jobs = self._list("trainingjobs")
            self._count()
        snapshot = self._reader.read(
            time.time(), models.get(MODEL), policies.get(POLICY), jobs, self._clients()
        )
        self.history.append(snapshot)
        return snapshot

    def recalibrate(self) -> None:
        """Change the world's instrument, for good."""
        with _answering():
            self._core.connect_post_namespaced_pod_proxy_with_path(WORLD, NAMESPACE, "recalibrate")

    def _list(self, plural: str) -> list[dict[str, Any]]:
        found: Any = self._objects.list_namespaced_custom_object(GROUP, VERSION, NAMESPACE, plural)
        items: list[dict[str, Any]] = found["items"]
        return items

    def _count(self) -> None:
        # Through the API server: the world has no address outside the cluster.
        answer: Any = self._core.connect_get_namespaced_pod_proxy_with_path(
            WORLD,
            NAMESPACE,
            "state",
            _preload_content=False,  # else the JSON comes back as the text of a Python dict
        )
        for second in json.loads(answer.data)["seconds"]:
            self._seconds[second["at"]] = second

    def _clients(self) -> Seconds:
        ordered = sorted(self._seconds)
        rows = [self._seconds[at] for at in ordered]
        return Seconds(
            at=tuple(ordered),
            answered=tuple(r["answered"] for r in rows),
            right=tuple(r["right"] for r in rows),
            failed=tuple(r["failed"] for r in rows),
        )


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (client.ApiException, HTTPError, ValueError) as error:
        raise OutOfSightError(f"the cluster does not answer: {error}") from error
