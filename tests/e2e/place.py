"""A namespace of the cluster, seen through the API server as its users see it."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tests.integration.apiserver import ApiServer, Manifest

from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.training_job import TrainingJob

POLL_SECONDS = 0.3
PATIENCE_SECONDS = 180.0  # far above what a busy machine takes: it is there to end a hopeless wait
GROUPS = {
    "models": "/apis/tidegate.dev/v1alpha1",
    "trainingjobs": "/apis/tidegate.dev/v1alpha1",
    "driftpolicies": "/apis/tidegate.dev/v1alpha1",
    "deployments": "/apis/apps/v1",
    "jobs": "/apis/batch/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "controllerrevisions": "/apis/apps/v1",
}
Found = TypeVar("Found")


def eventually(
    find: Callable[[], Found | None], what: str, seconds: float = PATIENCE_SECONDS
) -> Found:
    """What `find` finds in time; a failed test otherwise."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(POLL_SECONDS)
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """One namespace."""

    apiserver: ApiServer
    namespace: str

    def get(self, plural: str, name: str) -> Manifest | None:
        answer = self.apiserver.get(self.path(plural, name))
        assert answer.accepted or answer.code == 404, answer.refusals
        return answer.body if answer.accepted else None

    def there(self, plural: str, name: str) -> Manifest:
        """An object that must be there."""
        found = self.get(plural, name)
        assert found is not None, f"{plural} {self.namespace}/{name} is not there"
        return found

    def all(self, plural: str, labels: str = "") -> list[Manifest]:
        answer = self.apiserver.get(f"{self.path(plural)}?labelSelector={labels}")
        assert answer.accepted, answer.refusals
        items: list[Manifest] = answer.body["items"]
        return items

    def apply(self, manifest: Manifest) -> None:
        metadata = {**manifest["metadata"], "namespace": self.namespace}
        answer = self.apiserver.apply({**manifest, "metadata": metadata})
        assert answer.accepted, answer.refusals

    def patch(self, plural: str, name: str, change: Manifest) -> None:
        answer = self.apiserver.patch(self.path(plural, name), change)
        assert answer.accepted, answer.refusals

    def delete(self, plural: str, name: str, *, grace_seconds: int | None = None) -> None:
        query = "" if grace_seconds is None else f"?gracePeriodSeconds={grace_seconds}"
        answer = self.apiserver.remove(self.path(plural, name) + query)
        assert answer.accepted or answer.code == 404, answer.refusals

    def log(self, pod: str, container: str, *, lines: int, previous: bool = False) -> str:
        """The newest lines of a container's log, or why there are none."""
        query = f"container={container}&tailLines={lines}&previous={str(previous).lower()}"
        return str(self.apiserver.get(f"{self.path('pods', pod)}/log?{query}").body.get("message"))

    def model(self, name: str) -> Model:
        return Model.model_validate(self.there("models", name))

    def job(self, name: str) -> TrainingJob:
        return TrainingJob.model_validate(self.there("trainingjobs", name))

    def jobs(self) -> list[TrainingJob]:
        return [TrainingJob.model_validate(job) for job in self.all("trainingjobs")]

    def policy(self, name: str) -> DriftPolicy:
        return DriftPolicy.model_validate(self.there("driftpolicies", name))

    def pods_of(self, revision: str) -> list[Manifest]:
        return self.all("pods", f"tidegate.dev/revision={revision}")

    def address(self, service: str) -> str:
        """The Service's address; the machine that runs the tests is the node."""
        return str(self.there("services", service)["spec"]["clusterIP"])

    def reaches(self, service: str, port: int = 80) -> bool:
        """Whether somebody listens: a node hears of a Service a moment after everybody else."""
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex((self.address(service), port)) == 0

    def path(self, plural: str, name: str = "") -> str:
        root = f"{GROUPS.get(plural, '/api/v1')}/namespaces/{self.namespace}/{plural}"
        return f"{root}/{name}" if name else root
