"""The API server: JSON in, JSON out, a timeout on every call, and only Tidegate's errors."""

import asyncio
import builtins
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from tidegate.api.names import FIELD_MANAGER
from tidegate.clients.refusals import reason, sentence
from tidegate.clients.resources import Resource, of_manifest
from tidegate.errors import TerminalError, TransientError, said

Manifest = dict[str, Any]
Observer = Callable[[str, str, int], None]
"""Told of each answer: verb, plural, status code (0 if none came)."""

CHUNK = 500  # objects in an answer: bounds the memory of a list at both ends
WRITES_IN_FLIGHT = 20  # fairness: a storm of ours must not starve the cluster's other clients
TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
# The server sends a bookmark each minute: a watch that is silent for longer has died unnoticed.
WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=75)
WATCH_SECONDS = 290  # the server ends the watch then; without it, at a time of its own choice

_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class GoneError(Exception):
    """The resource version of a watch is too old: list again."""


async def configuration(kubeconfig: Path | None) -> Configuration:
    """How to reach the cluster that `kubeconfig` names; the pod's own if None."""
    found = Configuration()
    if kubeconfig is not None:
        await config.load_kube_config(  # type: ignore[no-untyped-call]  # the library's lack
            config_file=str(kubeconfig), client_configuration=found
        )
    else:
        config.load_incluster_config(  # type: ignore[no-untyped-call]  # the library's lack
            client_configuration=found
        )
    found.connection_pool_maxsize = 0  # no limit: each watch holds a connection for itself
    return found


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach the API server, for a client that is not ours."""

    server: str
    ca_path: str | None
    insecure: bool
    certificate_path: str | None
    private_key_path: str | None
    token: str | None

    @classmethod
    def of(cls, how: Configuration) -> "Credentials":
        _, _, token = how.api_key.get("BearerToken", "").strip().partition(" ")
        return cls(
            server=how.host,
            ca_path=how.ssl_ca_cert,
            insecure=not how.verify_ssl,
            certificate_path=how.cert_file,
            private_key_path=how.key_file,
            token=token or None,
        )


class Kube:
    """A client of the API server.

    TransientError: the request may succeed later (conflict, overload, no connection).
    TerminalError: the server understood and refuses (`Invalid`, `Forbidden`, `BadRequest`).
    """

    def __init__(self, how: Configuration, observe: Observer = lambda *_: None) -> None:
        self._api = ApiClient(how)
        self._api.user_agent = "tidegate-operator"
        self._observe = observe
        self._writes = asyncio.Semaphore(WRITES_IN_FLIGHT)

    async def close(self) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]  # the library's lack

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        """The object; None if there is none."""
        return await self._call("get", "GET", resource, resource.path(namespace, name), absent=404)

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
    ) -> tuple[builtins.list[Manifest], str]:
        """All objects that match, and the resource version to watch from."""
        items: builtins.list[Manifest] = []
        token = ""
        while True:
            query = [("limit", str(CHUNK)), ("labelSelector", labels), ("continue", token)]
            page = await self._call(
                "list",
                "GET",
                resource,
                resource.path(namespace),
                query=query,
                accept=_METADATA if metadata_only else _JSON,
            )
            assert page is not None, "only a single object can be absent"  # noqa: S101 - for mypy
            # Items of a list come without their type.
            kind = {"apiVersion": resource.api_version, "kind": resource.kind}
            items += [{**item, **kind} for item in page["items"] or ()]
            token = page["metadata"].get("continue", "")
            if not token:
                return items, page["metadata"]["resourceVersion"]

    async def served(self, api_version: str) -> frozenset[str]:
        """The plurals of the kinds that the server has in this version of a group."""
        kinds = Resource(api_version, "APIResourceList", "kinds")
        found = await self._call("get", "GET", kinds, f"/apis/{api_version}", absent=404)
        return frozenset(kind["name"] for kind in (found or {"resources": ()})["resources"])

    async def watch(
        self, resource: Resource, namespace: str | None, *, labels: str, resource_version: str
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Events (type, object) until the server ends the stream; BOOKMARK among them.

        Raise GoneError when `resource_version` is too old.
        """
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(WATCH_SECONDS)),
            ("labelSelector", labels),
            ("resourceVersion", resource_version),
        ]
        path = resource.path(namespace)
        async with self._answer(
            "watch", "GET", resource, path, query=query, timeout=WATCH_TIMEOUT
        ) as answer:
            if answer.status == 410:
                raise GoneError(resource_version)
            await _check(answer, f"watch {path}", resource)
            async for line in _lines(answer.content):
                event = json.loads(line)
                if event["type"] != "ERROR":
                    yield event["type"], event["object"]
                elif event["object"].get("code") == 410:
                    raise GoneError(resource_version)
                else:
                    code, text = int(event["object"].get("code", 0)), json.dumps(event["object"])
                    raise TransientError(sentence(f"watch {path}", resource, code, text))

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply of the whole intent; the fields are ours, whoever had them."""
        return await self._apply(manifest, subresource=None)

    async def apply_status(
        self, resource: Resource, namespace: str, name: str, status: Mapping[str, Any]
    ) -> Manifest:
        """Server-side apply of the whole status."""
        manifest = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"namespace": namespace, "name": name},
            "status": dict(status),
        }
        return await self._apply(manifest, subresource="status")

    async def _apply(self, manifest: Manifest, *, subresource: str | None) -> Manifest:
        resource, meta = of_manifest(manifest), manifest["metadata"]
        async with self._writes:
            applied = await self._call(
                "apply",
                "PATCH",
                resource,
                resource.path(meta["namespace"], meta["name"], subresource),
                query=[("fieldManager", FIELD_MANAGER), ("force", "true")],
                body=manifest,
                content_type=_APPLY,
            )
        return applied or {}

    async def create(self, manifest: Manifest) -> Manifest | None:
        """The created object; None if one of that name exists already."""
        resource = of_manifest(manifest)
        path = resource.path(manifest["metadata"]["namespace"])
        query = [("fieldManager", FIELD_MANAGER)]
        async with (
            self._writes,
            self._answer("create", "POST", resource, path, query=query, body=manifest) as answer,
        ):
            # A quota that two writes have changed at once is a conflict, too: nothing was created.
            if answer.status == 409 and reason(await answer.text()) == "AlreadyExists":
                return None
            await _check(answer, f"create {path}", resource)
            created: Manifest = await answer.json()
            return created

    async def replace(self, manifest: Manifest) -> Manifest | None:
        """The new object; None if it is no longer at the manifest's resource version."""
        resource, meta = of_manifest(manifest), manifest["metadata"]
        async with self._writes:
            return await self._call(
                "update",
                "PUT",
                resource,
                resource.path(meta["namespace"], meta["name"]),
                query=[("fieldManager", FIELD_MANAGER)],
                body=manifest,
                absent=409,
            )

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None
    ) -> None:
        """Delete the object and, in the background, what it owns; gone already is fine.

        With `uid`, an object of that name that was made anew meanwhile is left alone.
        """
        options: Manifest = {"propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        async with self._writes:
            await self._call(
                "delete",
                "DELETE",
                resource,
                resource.path(namespace, name),
                body=options,
                absent=404,
            )

    async def _call(
        self,
        verb: str,
        method: str,
        resource: Resource,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Manifest | None = None,
        accept: str = _JSON,
        content_type: str = _JSON,
        absent: int | None = None,
    ) -> Manifest | None:
        """The answer's object; None for the status code `absent`."""
        async with self._answer(
            verb,
            method,
            resource,
            path,
            query=query,
            body=body,
            accept=accept,
            content_type=content_type,
        ) as answer:
            if answer.status == absent:
                return None
            await _check(answer, f"{verb} {path}", resource)
            found: Manifest = await answer.json()
            return found

    @asynccontextmanager
    async def _answer(
        self,
        verb: str,
        method: str,
        resource: Resource,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Manifest | None = None,
        accept: str = _JSON,
        content_type: str = _JSON,
        timeout: aiohttp.ClientTimeout = TIMEOUT,  # noqa: ASYNC109 - of the connection, not of us
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, whatever its status; TransientError if none comes or it breaks off."""
        code = 0
        try:
            request = await self._api.param_serialize(
                method,
                path,
                query_params=[(k, v) for k, v in query if v],
                header_params={"Accept": accept, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._api.call_api(*request, _request_timeout=timeout)
            async with response.response as answer:
                code = answer.status
                try:
                    yield answer
                finally:
                    _hang_up(answer)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise TransientError(f"{verb} {path}: {said(error)}") from error
        finally:
            self._observe(verb, resource.plural, code)


def _hang_up(answer: aiohttp.ClientResponse) -> None:
    """End the connection of an answer that is left in the middle, as every watch is.

    TLS would say goodbye and wait for the server's, beyond the end of our own event loop.
    """
    connection = answer.connection  # none any more where all of the answer has come
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream; a line may be longer than the stream's buffer."""
    pending = b""
    async for chunk in stream.iter_any():
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line


async def _check(answer: aiohttp.ClientResponse, what: str, resource: Resource) -> None:
    """Turn a refusal into one of our errors."""
    if answer.status < 400:
        return
    told = sentence(what, resource, answer.status, await answer.text())
    match answer.status:
        case 400:
            raise TerminalError("BadRequest", told)
        case 403:
            raise TerminalError("Forbidden", told)
        case 422:
            raise TerminalError("Invalid", told)
        case _:  # 404 on a write: the namespace or the kind may come; 409, 429, 5xx: later
            after = answer.headers.get("Retry-After", "")
            raise TransientError(told, retry_after=float(after) if after.isdecimal() else None)
