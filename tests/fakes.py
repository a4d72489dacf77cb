"""Fakes of what the operator talks to: an API server in memory, sidecars and a Prometheus that
answer at once."""

import asyncio
import builtins
from collections.abc import AsyncIterator, Mapping
from copy import deepcopy
from typing import Any

from typing_extensions import override

from tidegate.clients.kube import GoneError, Kube, Manifest
from tidegate.clients.prometheus import Prometheus
from tidegate.clients.resources import CUSTOM, Resource, of_manifest
from tidegate.clients.sidecars import Sidecars, SkewedClockError, Target
from tidegate.errors import TerminalError, TransientError
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import Report
from tidegate.traffic.signing import CLOCK_SKEW_SECONDS

Place = tuple[Resource, str, str]


class FakeKube(Kube):
    """Keeps objects as the API server does: uids, versions, generations, a log to watch.

    `writes` lists what was asked for, (verb, plural, name); `failures` are raised first, in order.
    """

    def __init__(self) -> None:
        self.objects: dict[Place, Manifest] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.failures: list[Exception] = []
        self._log: list[tuple[int, str, Resource, Manifest]] = []
        self._version = 0
        self._oldest = 0
        self._news = asyncio.Event()

    @override
    async def close(self) -> None:
        pass

    def compact(self) -> None:
        """Forget all events so far, and end the watches: as after a cut that lasted too long."""
        self._oldest = self._version + 1
        self._log.clear()
        self._tell()

    @override
    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        self._fail()
        return deepcopy(self.objects.get((resource, namespace, name)))

    @override
    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
    ) -> tuple[builtins.list[Manifest], str]:
        self._fail()
        found = [
            deepcopy(o) for (r, n, _), o in self.objects.items()
            if r == resource and namespace in (None, n) and _matches(o, labels)
        ]  # fmt: skip
        return found, str(self._version)

    @override
    async def served(self, api_version: str) -> frozenset[str]:
        self._fail()
        return frozenset(r.plural for r in CUSTOM if r.api_version == api_version)

    @override
    async def watch(
        self, resource: Resource, namespace: str | None, *, labels: str, resource_version: str
    ) -> AsyncIterator[tuple[str, Manifest]]:
        self._fail()
        seen = int(resource_version)
        while True:
            if seen < self._oldest - 1:
                raise GoneError(resource_version)
            for version, kind, of, obj in list_of(self._log):
                fits = of == resource and namespace in (None, obj["metadata"]["namespace"])
                if version > seen and fits and _matches(obj, labels):
                    seen = version
                    yield kind, deepcopy(obj)
            news = self._news
            await news.wait()

    @override
    async def apply(self, manifest: Manifest) -> Manifest:
        self._write("apply", manifest)
        return self._store(manifest)

    @override
    async def apply_status(
        self, resource: Resource, namespace: str, name: str, status: Mapping[str, Any]
    ) -> Manifest:
        manifest: Manifest = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"namespace": namespace, "name": name},
        }
        self._write("status", manifest)
        live = self.objects.get((resource, namespace, name))
        if live is None:
            raise TransientError(f"{name} is not there")
        return self._keep({**live, "status": deepcopy(dict(status))}, live)

    @override
    async def create(self, manifest: Manifest) -> Manifest | None:
        self._write("create", manifest)
        if _place(manifest) in self.objects:
            return None
        return self._store(manifest)

    @override
    async def replace(self, manifest: Manifest) -> Manifest | None:
        self._write("update", manifest)
        live = self.objects.get(_place(manifest))
        version = manifest["metadata"].get("resourceVersion")
        if live is None or version != live["metadata"]["resourceVersion"]:
            return None
        return self._keep(deepcopy(manifest), live)

    @override
    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None
    ) -> None:
        self._fail()
        self.writes.append(("delete", resource.plural, name))
        live = self.objects.get((resource, namespace, name))
        if live is not None and uid in (None, live["metadata"]["uid"]):
            self.vanish(resource, namespace, name)

    def vanish(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete the object, as somebody else would."""
        gone = self.objects.pop((resource, namespace, name))
        self._event("DELETED", resource, gone)

    def _store(self, manifest: Manifest) -> Manifest:
        live = self.objects.get(_place(manifest))
        return self._keep(_merged(live or {}, manifest), live)

    def _keep(self, wanted: Manifest, live: Manifest | None) -> Manifest:
        if live is not None and wanted == live:
            return deepcopy(live)
        meta: Manifest = {
            "uid": f"uid-{self._version + 1}",
            "generation": 0,
            "creationTimestamp": "2026-11-21T00:00:00Z",
        }
        meta |= wanted["metadata"]
        if live is None or wanted.get("spec") != live.get("spec"):
            meta["generation"] += 1
        new = deepcopy({**wanted, "metadata": meta})
        self.objects[_place(new)] = new
        self._event("ADDED" if live is None else "MODIFIED", of_manifest(new), new)
        return deepcopy(new)

    def _event(self, kind: str, resource: Resource, obj: Manifest) -> None:
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        self._log.append((self._version, kind, resource, deepcopy(obj)))
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _write(self, verb: str, manifest: Manifest) -> None:
        self._fail()
        self.writes.append((verb, of_manifest(manifest).plural, manifest["metadata"]["name"]))

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


class FakeSidecars(Sidecars):
    """Answers with `reports` and `profiles` by uid; keeps what was pushed in `pushed`."""

    def __init__(self) -> None:
        self.reports: dict[str, Report] = {}
        self.profiles: dict[str, Profile] = {}
        self.broken_profiles: set[str] = set()
        self.pushed: dict[str, str] = {}
        self.generations: dict[str, int] = {}
        """The generation that a pod says it acts on after a push."""
        self.asked: list[tuple[str, int, int]] = []
        self.hanging: set[str] = set()
        """Who takes connections, and says nothing."""
        self.clocks: dict[str, float] = {}
        """By how many seconds a pod's clock is ahead; from 90 on it takes no token."""
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let those that hang answer after all."""
        self._released.set()

    @override
    async def close(self) -> None:
        pass

    @override
    async def windows(self, target: Target, *, after: int, labels_after: int) -> Report:
        self.asked.append((target.uid, after, labels_after))
        if target.uid in self.hanging:
            await self._released.wait()
        if target.uid not in self.reports:
            raise TransientError(f"no connection to {target.address}")
        ahead = self.clocks.get(target.uid, 0.0)
        if abs(ahead) > CLOCK_SKEW_SECONDS:
            raise SkewedClockError(ahead, self.reports[target.uid] if ahead < 90 else None)
        return self.reports[target.uid]

    @override
    async def push(self, target: Target, envelope: str) -> int:
        if target.uid not in self.generations:
            raise TransientError(f"no connection to {target.address}")
        self.pushed[target.uid] = envelope
        return self.generations[target.uid]

    @override
    async def profile(self, target: Target) -> Profile | None:
        if target.uid in self.broken_profiles:
            raise TerminalError("InvalidProfile", "not a profile")
        return self.profiles.get(target.uid)


class FakePrometheus(Prometheus):
    """Answers each query with its `answers`, an error among them is raised; None to all others."""

    def __init__(self) -> None:
        self.answers: dict[str, float | Exception | None] = {}
        self.asked: list[tuple[str, float]] = []

    @override
    async def close(self) -> None:
        pass

    @override
    async def value(self, query: str, at: float) -> float | None:
        self.asked.append((query, at))
        answer = self.answers.get(query)
        if isinstance(answer, Exception):
            raise answer
        return answer


list_of = list  # inside FakeKube, `list` is the method


def _place(manifest: Manifest) -> Place:
    meta = manifest["metadata"]
    return of_manifest(manifest), meta["namespace"], meta["name"]


def _merged(live: Any, intent: Any) -> Any:
    if not isinstance(live, dict) or not isinstance(intent, dict):
        return deepcopy(intent)
    return {**live, **{k: _merged(live.get(k), v) for k, v in intent.items()}}


def _matches(obj: Manifest, labels: str) -> bool:
    has = obj["metadata"].get("labels", {})
    wanted = [term.partition("=") for term in labels.split(",") if term]
    return all(has.get(key) == value for key, _, value in wanted)
