"""What the commands read: objects from the API server, evidence from the operator."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from tidegate.api.meta import ApiModel
from tidegate.api.names import LEASE_NAME
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.clients import tunnel
from tidegate.clients.kube import Kube, Manifest
from tidegate.clients.kubeconfig import Pointed, pointed
from tidegate.clients.resources import DRIFT_POLICIES, LEASES, MODELS
from tidegate.errors import TerminalError, TransientError
from tidegate.evidence.recording import Recording
from tidegate.settings import EVIDENCE_PORT

T = TypeVar("T", bound=ApiModel)


@dataclass(frozen=True, slots=True)
class Where:
    """Which cluster, namespace and operator the user means."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    operator_namespace: str = "tidegate-system"


class Access:
    """A connection with the user's own rights."""

    def __init__(self, target: Pointed, where: Where) -> None:
        self._how = target.how
        self._kube = Kube(target.how)
        self.namespace = where.namespace or target.namespace
        self._operator_namespace = where.operator_namespace

    async def close(self) -> None:
        await self._kube.close()

    async def model(self, name: str) -> Model:
        found = await self._kube.get(MODELS, self.namespace, name)
        if found is None:
            message = f"there is no Model {name} in namespace {self.namespace}; see -n"
            raise TerminalError("NotFound", message)
        return typed(Model, found)

    async def models(self, *, everywhere: bool) -> list[Model]:
        found, _ = await self._kube.list(MODELS, None if everywhere else self.namespace)
        return [typed(Model, m) for m in found]

    async def drift_policy(self, name: str) -> DriftPolicy | None:
        found = await self._kube.get(DRIFT_POLICIES, self.namespace, name)
        return None if found is None else typed(DriftPolicy, found)

    async def evidence(self, model: str, *, after: int = 0, labels_after: int = 0) -> Recording:
        """What the operator knows of a Model: the windows of the last hour, labels for longer."""
        pod = await self._leader()
        path = f"/evidence/{self.namespace}/{model}?after={after}&labelsAfter={labels_after}"
        status, body = await tunnel.get(
            self._how, self._operator_namespace, pod, EVIDENCE_PORT, path
        )
        if status != 200:
            text = body.decode(errors="replace")[:200]
            raise TransientError(f"pod {pod} answers {status}: {text}")
        try:
            return Recording.from_json(json.loads(body))
        except (ValueError, KeyError, TypeError) as error:
            message = f"pod {pod} answers what this version can't read: {error!r}"
            raise TerminalError("InvalidAnswer", message) from error

    async def _leader(self) -> str:
        """The pod of the operator that leads."""
        lease = await self._kube.get(LEASES, self._operator_namespace, LEASE_NAME)
        if lease is None:
            message = (
                f"there is no operator in namespace {self._operator_namespace}: "
                "name its namespace with --operator-namespace"
            )
            raise TerminalError("NotFound", message)
        holder = (lease.get("spec") or {}).get("holderIdentity")
        if not holder:  # handed back by a replica that has ended
            message = f"no replica leads in namespace {self._operator_namespace} at the moment"
            raise TransientError(message)
        return str(holder)


@asynccontextmanager
async def connected(where: Where) -> AsyncIterator[Access]:
    """Connect as kubectl would."""
    target = await pointed(where.kubeconfig, where.context)
    try:
        access = Access(target, where)
    except OSError as error:  # of the library for TLS, about a certificate
        message = f"no cluster: the kubeconfig's certificates can't be used: {error}"
        raise TerminalError("NoCluster", message) from error
    try:
        yield access
    finally:
        await access.close()


def typed(kind: type[T], manifest: Manifest) -> T:
    """The typed object; TerminalError that names the field where it is not one."""
    try:
        return kind.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        match manifest.get("metadata"):
            case {"name": str(name)}:
                message = f"{kind.__name__} {name}: {field}: {first['msg']}"
            case _:
                message = f"{kind.__name__}: {field}: {first['msg']}"
        raise TerminalError("InvalidSpec", message) from error
