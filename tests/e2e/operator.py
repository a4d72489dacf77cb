"""Tidegate itself, installed by its chart, and what it asks of the API server."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.e2e.place import Place, eventually
from tests.integration.apiserver import Manifest
from tests.integration.helm import CHART, Helm, assignments

RELEASE = "tidegate-e2e"
PODS = "app.kubernetes.io/component=operator"
INSTALL_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the API server has answered."""

    verb: str
    resource: str
    namespace: str
    code: int


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """When the API server received it, on its own clock, and from which pod."""

    at: float
    pod: str
    verb: str


@dataclass(frozen=True, slots=True)
class Operator:
    """A release with two replicas that works in the tests' namespaces only."""

    place: Place
    helm: Helm
    audit: Path
    """The API server's log of requests."""

    def install(self, values: Mapping[str, str]) -> None:
        chart = ("upgrade", "--install", RELEASE, str(CHART), "--namespace", self.place.namespace)
        local = ("--values", str(CHART / "values-local.yaml"), *assignments(values))
        done = self.helm.run(*chart, *local, "--wait", "--timeout", f"{INSTALL_SECONDS}s")
        assert done.code == 0, done.err

    def uninstall(self) -> None:
        namespace = ("--namespace", self.place.namespace)
        done = self.helm.run("uninstall", RELEASE, *namespace, "--ignore-not-found", "--wait")
        assert done.code == 0, done.err

    def pods(self) -> list[Manifest]:
        return self.place.all("pods", PODS)

    def leader(self) -> Manifest:
        """The pod that leads."""

        def find() -> Manifest | None:
            lease = self.place.get("leases", "tidegate-operator")
            holder = lease["spec"].get("holderIdentity") if lease else None
            return next((p for p in self.pods() if p["metadata"]["name"] == holder), None)

        return eventually(find, "a leader")

    def requests(self, since: int = 0) -> Iterator[Request]:
        """What it asked of the API server after the first `since` bytes of the log."""
        for entry in self._entries(since):
            about = entry.get("objectRef", {})
            where = about.get("namespace", "")
            yield Request(entry["verb"], about.get("resource", ""), where, _code(entry))

    def lease_requests(self, since: int) -> Iterator[LeaseRequest]:
        """What its pods asked about the Lease, and got."""
        for entry in self._entries(since):
            is_lease = entry.get("objectRef", {}).get("resource") == "leases"
            if is_lease and _code(entry) == 200:
                (pod,) = entry["user"]["extra"]["authentication.kubernetes.io/pod-name"]
                at = datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()
                yield LeaseRequest(at, pod, entry["verb"])

    def _entries(self, since: int) -> Iterator[Manifest]:
        """The lines of the log that are about the operator."""
        user = f"system:serviceaccount:{self.place.namespace}:{RELEASE}"
        with self.audit.open("rb") as log:
            log.seek(since)
            for line in log:
                if user.encode() not in line or not line.endswith(b"\n"):
                    continue
                entry = json.loads(line)
                if entry["user"]["username"] == user:
                    yield entry


def _code(entry: Manifest) -> int:
    return int(entry.get("responseStatus", {}).get("code", 0))
