"""Who wakes whom: which objects a reconcile must look at again when one object has changed."""

from collections.abc import Callable, Iterator

from tidegate.api.meta import ObjectKey, ObjectMeta
from tidegate.api.names import (
    API_VERSION,
    DRIFT_POLICY,
    LABEL_MODEL,
    LABEL_POLICY,
    MODEL,
)
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.training_job import TrainingJob
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import (
    CUSTOM,
    DRIFT_POLICIES,
    ENDPOINT_SLICES,
    MODELS,
    TRAINING_JOBS,
    Resource,
)
from tidegate.controllers.objects import readable, typed
from tidegate.controllers.store import Store
from tidegate.errors import TerminalError


def wakes(resource: Resource, obj: Manifest, store: Store) -> Iterator[ObjectKey]:
    """The keys to look at when `obj` appeared, changed or vanished."""
    meta = typed(ObjectMeta, obj["metadata"])
    if resource in CUSTOM:
        yield ObjectKey(resource.kind, meta.namespace, meta.name)
    yield from _owner(meta)
    if resource in _OTHERS:
        try:
            yield from _OTHERS[resource](obj, store)
        except TerminalError:  # its own reconcile says that it can't be read
            return


def _owner(meta: ObjectMeta) -> Iterator[ObjectKey]:
    owner = meta.owner()
    if owner is not None and owner.api_version == API_VERSION:
        yield ObjectKey(owner.kind, meta.namespace, owner.name)


def _of_slice(obj: Manifest, _: Store) -> Iterator[ObjectKey]:
    """A slice belongs to its Service, whose labels it carries."""
    meta = typed(ObjectMeta, obj["metadata"])
    if LABEL_MODEL in meta.labels:
        yield ObjectKey(MODEL, meta.namespace, meta.labels[LABEL_MODEL])


def _of_model(obj: Manifest, store: Store) -> Iterator[ObjectKey]:
    model = typed(Model, obj)
    for policy in readable(DriftPolicy, store.list(DRIFT_POLICIES, model.metadata.namespace)):
        if policy.matches(model) or _has_watched(policy, model):
            yield ObjectKey(DRIFT_POLICY, model.metadata.namespace, policy.metadata.name)


def _of_policy(obj: Manifest, store: Store) -> Iterator[ObjectKey]:
    """Also the policies whose Models this one takes or leaves: of several, one watches."""
    policy = typed(DriftPolicy, obj)
    namespace = policy.metadata.namespace
    others = readable(DriftPolicy, store.list(DRIFT_POLICIES, namespace))
    for model in readable(Model, store.list(MODELS, namespace)):
        if policy.matches(model) or _has_watched(policy, model):
            yield ObjectKey(MODEL, namespace, model.metadata.name)
            for other in others:
                if other.matches(model):
                    yield ObjectKey(DRIFT_POLICY, namespace, other.metadata.name)


def _has_watched(policy: DriftPolicy, model: Model) -> bool:
    return any(m.name == model.metadata.name for m in policy.status.models)


def _of_job(obj: Manifest, _: Store) -> Iterator[ObjectKey]:
    job = typed(TrainingJob, obj)
    if job.spec.model_ref is not None:
        yield ObjectKey(MODEL, job.metadata.namespace, job.spec.model_ref.name)
    if LABEL_POLICY in job.metadata.labels:
        yield ObjectKey(DRIFT_POLICY, job.metadata.namespace, job.metadata.labels[LABEL_POLICY])


_OTHERS: dict[Resource, Callable[[Manifest, Store], Iterator[ObjectKey]]] = {
    MODELS: _of_model,
    TRAINING_JOBS: _of_job,
    DRIFT_POLICIES: _of_policy,
    ENDPOINT_SLICES: _of_slice,
}
