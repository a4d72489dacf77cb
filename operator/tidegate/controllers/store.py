"""The operator's copy of the cluster: trimmed objects, found by name, owner and label."""

import asyncio
from collections.abc import Iterable, Iterator

from tidegate.api.names import LABEL_MODEL, LABEL_POLICY, LABEL_REVISION, LABEL_TRAINING_JOB
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import Resource

INDEXED_LABELS = (LABEL_MODEL, LABEL_REVISION, LABEL_TRAINING_JOB, LABEL_POLICY)

_Place = tuple[str, str]  # namespace, name
_Term = tuple[Resource, str, str, str]  # what an index is asked: resource, namespace, label, value
_OWNER = "owner uid"  # stands where a label would: no label has a space


class Store:
    """Objects by resource, namespace and name. Nobody changes an object that is in here."""

    def __init__(self, expected: Iterable[tuple[Resource, str | None]] = ()) -> None:
        self._objects: dict[Resource, dict[str, dict[str, Manifest]]] = {}
        self._index: dict[_Term, set[_Place]] = {}
        self._missing = set(expected)
        self._complete = asyncio.Event()
        self._check_complete()

    # Reading

    def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        return self._objects.get(resource, {}).get(namespace, {}).get(name)

    def list(self, resource: Resource, namespace: str | None = None) -> tuple[Manifest, ...]:
        """All objects, ordered by namespace and name."""
        spaces = self._objects.get(resource, {})
        chosen = sorted(spaces) if namespace is None else [namespace]
        return tuple(obj for space in chosen for _, obj in sorted(spaces.get(space, {}).items()))

    def owned_by(self, resource: Resource, uid: str) -> tuple[Manifest, ...]:
        """The objects whose controller is the object with this uid, ordered by name."""
        return self._indexed((resource, "", _OWNER, uid))

    def labelled(
        self, resource: Resource, namespace: str, label: str, value: str
    ) -> tuple[Manifest, ...]:
        """The objects with this value of one of `INDEXED_LABELS`, ordered by name."""
        if label not in INDEXED_LABELS:
            raise ValueError(f"{label} has no index")
        return self._indexed((resource, namespace, label, value))

    @property
    def synced(self) -> bool:
        """Whether everything that is expected has been listed once."""
        return self._complete.is_set()

    async def wait_synced(self) -> None:
        await self._complete.wait()

    # Writing; each answers with the objects whose owners should look again

    def put(self, resource: Resource, obj: Manifest) -> tuple[Manifest, ...]:
        """Take a state of an object, unless it is no newer than what is here already."""
        namespace, name = _place(obj)
        old = self.get(resource, namespace, name)
        if old is not None and version_of(old) >= version_of(obj):
            return ()
        if old is not None:
            self._unindex(resource, old)
        new = _trimmed(resource, obj)
        self._objects.setdefault(resource, {}).setdefault(namespace, {})[name] = new
        for term in _terms(resource, new):
            self._index.setdefault(term, set()).add((namespace, name))
        return (new,)

    def remove(self, resource: Resource, obj: Manifest) -> tuple[Manifest, ...]:
        """Forget an object; one of the same name with another uid stays."""
        namespace, name = _place(obj)
        old = self.get(resource, namespace, name)
        if old is None or _uid(old) != _uid(obj):
            return ()
        self._unindex(resource, old)
        del self._objects[resource][namespace][name]
        return (old,)

    def replace(
        self, resource: Resource, namespace: str | None, objects: Iterable[Manifest], version: str
    ) -> tuple[Manifest, ...]:
        """Take a full list as of `version`; what it lacks is gone, unless it came later."""
        objects = tuple(objects)
        changed = [*self.retain(resource, namespace, {_uid(o) for o in objects}, version)]
        for obj in objects:
            changed += self.put(resource, obj)
        self._missing.discard((resource, namespace))
        self._check_complete()
        return tuple(changed)

    def retain(
        self, resource: Resource, namespace: str | None, uids: set[str], version: str
    ) -> tuple[Manifest, ...]:
        """Forget what was not there any more at `version`; the objects that were forgotten."""
        gone = [
            obj
            for obj in self.list(resource, namespace)
            if _uid(obj) not in uids and version_of(obj) <= int(version)
        ]
        return tuple(old for obj in gone for old in self.remove(resource, obj))

    def give_up(self, namespace: str) -> None:
        """Expect no list of this namespace any more."""
        self._missing = {place for place in self._missing if place[1] != namespace}
        self._check_complete()

    def _unindex(self, resource: Resource, obj: Manifest) -> None:
        for term in _terms(resource, obj):
            self._index[term].discard(_place(obj))
            if not self._index[term]:
                del self._index[term]

    def _indexed(self, term: _Term) -> tuple[Manifest, ...]:
        places = sorted(self._index.get(term, ()))
        return tuple(self._objects[term[0]][space][name] for space, name in places)

    def _check_complete(self) -> None:
        if not self._missing:
            self._complete.set()


def version_of(obj: Manifest) -> int:
    """The resource version, which orders the states of one resource."""
    return int(obj["metadata"].get("resourceVersion") or 0)


def controller_uid(obj: Manifest) -> str | None:
    """The uid of the object's controller."""
    owners = obj["metadata"].get("ownerReferences", ())
    return next((str(o["uid"]) for o in owners if o.get("controller")), None)


def _terms(resource: Resource, obj: Manifest) -> Iterator[_Term]:
    owner = controller_uid(obj)
    if owner is not None:
        yield resource, "", _OWNER, owner
    namespace, _ = _place(obj)
    labels = obj["metadata"].get("labels", {})
    for label in INDEXED_LABELS:
        if label in labels:
            yield resource, namespace, label, labels[label]


def _place(obj: Manifest) -> _Place:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _uid(obj: Manifest) -> str:
    return str(obj["metadata"].get("uid", ""))


def _trimmed(resource: Resource, obj: Manifest) -> Manifest:
    """The object without what nobody here reads: managedFields are half of its bytes."""
    meta = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    kind = {"apiVersion": resource.api_version, "kind": resource.kind}
    return {**obj, **kind, "metadata": meta}
