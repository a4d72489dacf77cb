"""A client of a real API server for tests: every answer is returned, refusals too."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import config
from tests.patience import DEADLINE_SECONDS

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    code: int
    body: Manifest

    @property
    def accepted(self) -> bool:
        return self.code < 300

    @property
    def refusals(self) -> list[str]:
        """The messages of a refusal, one for each thing that is wrong."""
        causes = self.body.get("details", {}).get("causes", [])
        return [cause["message"] for cause in causes] or [self.body.get("message", "")]


class ApiServer:
    """The API server that a kubeconfig names."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call] # not typed

    def get(self, path: str) -> Answer:
        return self._send("GET", path, None, {})

    def post(self, path: str, body: Manifest) -> Answer:
        return self._send("POST", path, body, {})

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Answer:
        return self._send("POST", _collection(manifest), manifest, _options(dry_run=dry_run))

    def replace(self, manifest: Manifest, *, dry_run: bool = False) -> Answer:
        path = f"{_collection(manifest)}/{manifest['metadata']['name']}"
        return self._send("PUT", path, manifest, _options(dry_run=dry_run))

    def apply(self, manifest: Manifest) -> Answer:
        path = f"{_collection(manifest)}/{manifest['metadata']['name']}"
        options = {"fieldManager": "tests", "force": "true"}
        return self._send("PATCH", path, manifest, options, "application/apply-patch+yaml")

    def patch(self, path: str, change: Manifest) -> Answer:
        return self._send("PATCH", path, change, {}, "application/merge-patch+json")

    def delete(self, manifest: Manifest) -> Answer:
        return self.remove(f"{_collection(manifest)}/{manifest['metadata']['name']}")

    def remove(self, path: str) -> Answer:
        return self._send("DELETE", path, None, {})

    def _send(
        self,
        method: str,
        path: str,
        body: Manifest | None,
        query: Mapping[str, str],
        content_type: str = "application/json",
    ) -> Answer:
        serialized = self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        response = self._api.call_api(*serialized, _request_timeout=DEADLINE_SECONDS)
        text = response.read().decode()
        # Plain text, or nothing at all, where no API is served at this path.
        body = json.loads(text) if text.startswith("{") else {"message": text}
        return Answer(response.status, body)


def _collection(manifest: Manifest) -> str:
    version, metadata = manifest["apiVersion"], manifest["metadata"]
    root = "/apis" if "/" in version else "/api"
    inside = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{root}/{version}{inside}/{_plural(manifest['kind'])}"


def _plural(kind: str) -> str:
    singular = kind.lower()
    return f"{singular[:-1]}ies" if singular.endswith("y") else f"{singular}s"


def _options(*, dry_run: bool) -> dict[str, str]:
    return {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Poll until it holds; fail the test when it does not in time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited {DEADLINE_SECONDS:g} s in vain for {what}"
        time.sleep(0.1)
