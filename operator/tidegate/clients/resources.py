"""The kinds of objects that Tidegate reads and writes, and where the API server keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.api.names import API_VERSION, DRIFT_POLICY, MODEL, TRAINING_JOB


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object; `path` is its place in the API."""

    api_version: str
    kind: str
    plural: str

    def path(
        self, namespace: str | None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The URL's path; all namespaces if `namespace` is None, the collection without `name`."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        parts = [root + self.api_version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [p for p in (name, subresource) if p is not None]
        return "/".join(parts)


MODELS = Resource(API_VERSION, MODEL, "models")
TRAINING_JOBS = Resource(API_VERSION, TRAINING_JOB, "trainingjobs")
DRIFT_POLICIES = Resource(API_VERSION, DRIFT_POLICY, "driftpolicies")
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
CONTROLLER_REVISIONS = Resource("apps/v1", "ControllerRevision", "controllerrevisions")
SERVICES = Resource("v1", "Service", "services")
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
PODS = Resource("v1", "Pod", "pods")
EVENTS = Resource("v1", "Event", "events")
JOBS = Resource("batch/v1", "Job", "jobs")
POD_DISRUPTION_BUDGETS = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
ENDPOINT_SLICES = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
SECRETS = Resource("v1", "Secret", "secrets")  # written once by keygen; the operator has no access
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")

CUSTOM = (MODELS, TRAINING_JOBS, DRIFT_POLICIES)
CHILDREN = (
    DEPLOYMENTS,
    SERVICES,
    CONFIG_MAPS,
    JOBS,
    POD_DISRUPTION_BUDGETS,
    CONTROLLER_REVISIONS,
    ENDPOINT_SLICES,
)

_BY_KIND = {r.kind: r for r in (*CUSTOM, *CHILDREN, PODS, EVENTS, LEASES, SECRETS)}


def of_kind(kind: str) -> Resource:
    """The resource that objects of `kind` are kept in; KeyError if Tidegate knows none."""
    return _BY_KIND[kind]


def of_manifest(manifest: Mapping[str, Any]) -> Resource:
    """The resource that a manifest belongs to; KeyError if Tidegate knows none."""
    return of_kind(manifest["kind"])
