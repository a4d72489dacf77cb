"""What a reconcile sees of the cluster, and how it changes it: only where something differs."""

import json
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tidegate.api.meta import ApiModel, ObjectKey, ObjectMeta
from tidegate.api.names import ANNOTATION_INTENT, Reason, short_hash
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.training_job import TrainingJob
from tidegate.clients.kube import Kube, Manifest
from tidegate.clients.resources import (
    DRIFT_POLICIES,
    MODELS,
    PODS,
    TRAINING_JOBS,
    Resource,
    of_kind,
    of_manifest,
)
from tidegate.controllers.collector import Collector
from tidegate.controllers.decision_log import DecisionLog
from tidegate.controllers.difference import contains
from tidegate.controllers.events import event
from tidegate.controllers.looks import Looks
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.objects import readable, typed
from tidegate.controllers.sampler import Sampler
from tidegate.controllers.store import Store
from tidegate.errors import TerminalError, TidegateError, TransientError
from tidegate.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=ApiModel)
Named = ObjectKey | tuple[str, str]


class Cluster:
    """Reads come from the store and cost nothing; writes go to the API server, at most once."""

    def __init__(
        self,
        settings: Settings,
        kube: Kube,
        store: Store,
        collector: Collector,
        signing_key: Ed25519PrivateKey,
        metrics: Metrics,
        clock: Callable[[], datetime],
        wrote: Callable[[Resource, Manifest], object] | None = None,
        sampler: Sampler | None = None,
        decision_log: DecisionLog | None = None,
        lost: Callable[[Resource, Manifest], object] | None = None,
        looks: Looks | None = None,
    ) -> None:
        """`wrote` takes what our own writes made into the store, and wakes whom it concerns.

        The watch brings the same state later and is no news any more. `sampler`: None where there
        is no Prometheus to ask. `decision_log`: None where no store is named for it. `lost` takes
        what is gone, and no watch has told, out of the store. `looks`: None if nobody sets `clock`.
        """
        self.settings = settings
        self.store = store
        self.collector = collector
        self.sampler = sampler or Sampler(None, lambda: clock().timestamp(), lambda _: None)
        self.decision_log = decision_log
        self.looks = looks or Looks(lambda: clock().timestamp())
        self.signing_key = signing_key
        self.metrics = metrics
        self._kube = kube
        self.clock = clock
        self._wrote = wrote or store.put
        self._lost = lost or store.remove
        # Objects that differ from their intent right after our own apply, because the server
        # writes a value in another way: applying again, in the same state, would change nothing.
        self._settled: dict[tuple[str, str], tuple[str, str]] = {}

    # Reading

    def model(self, key: Named) -> Model | None:
        """The Model; TerminalError(Unreadable) if it can't be read."""
        return self._one(Model, MODELS, key)

    def training_job(self, key: Named) -> TrainingJob | None:
        return self._one(TrainingJob, TRAINING_JOBS, key)

    def drift_policy(self, key: Named) -> DriftPolicy | None:
        return self._one(DriftPolicy, DRIFT_POLICIES, key)

    def models(self, namespace: str) -> tuple[Model, ...]:
        """Those Models of the namespace that can be read, ordered by name."""
        return readable(Model, self.store.list(MODELS, namespace))

    def training_jobs(self, namespace: str) -> tuple[TrainingJob, ...]:
        return readable(TrainingJob, self.store.list(TRAINING_JOBS, namespace))

    def drift_policies(self, namespace: str) -> tuple[DriftPolicy, ...]:
        return readable(DriftPolicy, self.store.list(DRIFT_POLICIES, namespace))

    def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        return self.store.get(resource, namespace, name)

    def owned(self, owner_uid: str, resource: Resource) -> tuple[Manifest, ...]:
        """The objects whose controller is `owner_uid`, ordered by name."""
        return self.store.owned_by(resource, owner_uid)

    async def pods(self, namespace: str, labels: str) -> list[Manifest]:
        """Pods, asked for on the spot: they are looked at only to explain a failure."""
        found, _ = await self._kube.list(PODS, namespace, labels=labels)
        return found

    def _one(self, kind: type[T], resource: Resource, key: Named) -> T | None:
        found = self.store.get(resource, key[-2], key[-1])
        return None if found is None else typed(kind, found)

    # Writing

    async def apply(self, manifests: Iterable[Manifest]) -> int:
        """Make the objects so, in order; the number of writes, none where nothing differs.

        TerminalError(NameTaken) where an object of that name belongs to somebody else.
        """
        writes = 0
        for manifest in manifests:
            writes += await self._apply(manifest)
        return writes

    async def _apply(self, manifest: Manifest) -> bool:
        resource, meta = of_manifest(manifest), manifest["metadata"]
        intent = _hash(manifest)
        live = self.store.get(resource, meta["namespace"], meta["name"])
        if live is not None and self._is_so(live, manifest, intent):
            return False
        # The store holds only what carries our label: what it lacks may still be somebody's.
        present = live or await self._kube.get(resource, meta["namespace"], meta["name"])
        if present is not None:
            _check_owner(present, manifest)
        annotations = {**meta.get("annotations", {}), ANNOTATION_INTENT: intent}
        marked = {**manifest, "metadata": {**meta, "annotations": annotations}}
        applied = await self._kube.apply(marked)
        if not contains(applied, manifest):
            self._settled[_identity(applied)] = _state(applied, intent)
        self._wrote(resource, applied)
        return True

    def _is_so(self, live: Manifest, manifest: Manifest, intent: str) -> bool:
        """The mark finds fields that were given up, the comparison those that others changed."""
        if self._settled.get(_identity(live)) == _state(live, intent):
            return True
        mark = live["metadata"].get("annotations", {}).get(ANNOTATION_INTENT)
        return mark == intent and contains(live, manifest)

    async def apply_status(self, key: ObjectKey, status: ApiModel) -> None:
        """Write the status, unless it is what the store holds; forget an object that is gone.

        Its end fell between two watches: until the sweep, each child that we made for it would be
        deleted at once, and be made again.
        """
        resource = of_kind(key.kind)
        wanted = status.to_api()
        intent = _hash(wanted)
        live = self.store.get(resource, key.namespace, key.name)
        if live is not None and (
            live.get("status", {}) == wanted
            or self._settled.get(_identity(live)) == _state(live, intent)
        ):
            return
        try:
            applied = await self._kube.apply_status(resource, key.namespace, key.name, wanted)
        except TransientError:
            if live is None or await self._kube.get(resource, key.namespace, key.name) is not None:
                raise
            self._lost(resource, live)
            return
        if applied.get("status", {}) != wanted:
            self._settled[_identity(applied)] = _state(applied, intent)
        self._wrote(resource, applied)

    async def create(self, manifest: Manifest) -> Manifest | None:
        """The new object; None if one of that name exists already."""
        created = await self._kube.create(manifest)
        if created is not None:
            self._wrote(of_manifest(manifest), created)
        return created

    async def delete(self, resource: Resource, manifests: Iterable[Manifest]) -> None:
        """Delete exactly these objects: one that was made anew under the name stays."""
        for manifest in manifests:
            meta = manifest["metadata"]
            if "deletionTimestamp" not in meta:
                await self._kube.delete(
                    resource, meta["namespace"], meta["name"], uid=meta.get("uid")
                )
                self._settled.pop(_identity(manifest), None)

    async def event(
        self,
        about: Model | TrainingJob | DriftPolicy,
        *,
        type: Literal["Normal", "Warning"],  # noqa: A002 - the field's name in the API
        reason: str,
        message: str,
    ) -> None:
        """Tell people; the same words again make no second Event, and a failure is no failure."""
        meta = about.metadata
        key = ObjectKey(about.__class__.__name__, meta.namespace, meta.name)
        await self._tell(key, meta.uid, type, reason, message)

    async def complain(self, key: ObjectKey, error: TerminalError) -> None:
        """Tell of an object that can't be reconciled: it may be one that can't even be read."""
        found = self.store.get(of_kind(key.kind), key.namespace, key.name)
        if found is not None:
            uid = str(found["metadata"].get("uid", ""))
            await self._tell(key, uid, "Warning", error.reason, str(error))

    async def _tell(
        self,
        about: ObjectKey,
        uid: str,
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
    ) -> None:
        said = event(
            about,
            uid,
            type_=type_,
            reason=reason,
            message=message,
            now=self.clock(),
            reporter=self.settings.pod_name,
        )
        try:
            await self._kube.create(said)
        except TidegateError as error:
            logger.warning("no Event %s about %s: %s", reason, about, error)


def _check_owner(present: Manifest, wanted: Manifest) -> None:
    """Refuse to take over an object that is not controlled by the owner that we make it for.

    Compared by name: what an owner that was deleted left behind is its successor's to take.
    """
    if _owner(present) != _owner(wanted):
        name = f"{wanted['kind']} {wanted['metadata']['name']}"
        raise TerminalError(
            Reason.NAME_TAKEN,
            f"{name} exists already and belongs to somebody else: delete or rename it, or choose "
            "another name for this object.",
        )


def _owner(manifest: Manifest) -> tuple[str, str, str] | None:
    owner = typed(ObjectMeta, manifest["metadata"]).owner()
    return None if owner is None else (owner.api_version, owner.kind, owner.name)


def _hash(manifest: Manifest) -> str:
    return short_hash(json.dumps(manifest, sort_keys=True), 16)


def _state(obj: Manifest, intent: str) -> tuple[str, str]:
    return obj["metadata"]["resourceVersion"], intent


def _identity(obj: Manifest) -> tuple[str, str]:
    return obj["kind"], obj["metadata"]["uid"]
