"""The chart, installed by a real helm on a cluster that runs pods."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.apiserver import Answer, ApiServer, Manifest
from tests.integration.helm import CHART, Helm, assignments, helm

NAME = "tidegate-chart"
OPERATOR = "app.kubernetes.io/component=operator"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/models.tidegate.dev"


@dataclass(frozen=True, slots=True)
class Release:
    """A release of the chart in a namespace of its own, where alone it works."""

    helm: Helm
    apiserver: ApiServer
    namespace: str
    brings_crds: bool
    """Unless they are there already, of another release."""

    def install(self, values: Mapping[str, str]) -> None:
        """Install or upgrade, and wait until every replica is ready."""
        fixed = {
            "image.registry": os.environ.get("REGISTRY", "localhost"),
            "image.tag": "dev",
            "watchNamespaces[0]": self.namespace,
            "crds.enabled": str(self.brings_crds).lower(),
            "rbac.aggregateToDefaultRoles": str(self.brings_crds).lower(),
        }
        what = ("upgrade", "--install", NAME, str(CHART), "--namespace", self.namespace)
        how = ("--wait", "--timeout", "100s", *assignments(fixed | dict(values)))
        done = self.helm.run(*what, *how)
        assert done.code == 0, f"{done.err}\n{self._logs()}"

    def _logs(self) -> str:
        """The last words of the operator's pods, before they were restarted if they were."""
        pods = self.get("/api/v1/{namespace}/pods") or {"items": []}
        names = [pod["metadata"]["name"] for pod in pods["items"]]
        paths = [f"/api/v1/{{namespace}}/pods/{n}/log?tailLines=20" for n in names]
        asked = [p + more for p in paths for more in ("", "&previous=true")]
        return "\n".join(str(self._ask(path).body.get("message")) for path in asked)

    def uninstall(self) -> None:
        done = self.helm.run(
            "uninstall", NAME, "--namespace", self.namespace, "--wait", "--ignore-not-found"
        )
        assert done.code == 0, done.err

    def get(self, path: str) -> Manifest | None:
        """What the API server has below the namespace; None if nothing."""
        answer = self._ask(path)
        assert answer.accepted or answer.code == 404, answer.refusals
        return answer.body if answer.accepted else None

    def _ask(self, path: str) -> Answer:
        return self.apiserver.get(path.format(namespace=f"namespaces/{self.namespace}"))

    def ask_replicas(self, path: str) -> list[str]:
        """What each replica answers at its port of health and metrics."""
        pods = self.get(f"/api/v1/{{namespace}}/pods?labelSelector={OPERATOR}") or {"items": []}
        names = [pod["metadata"]["name"] for pod in pods["items"]]
        answers = [self._ask(f"/api/v1/{{namespace}}/pods/{n}:8085/proxy{path}") for n in names]
        for answer in answers:
            assert answer.accepted, answer.refusals
        return [answer.body["message"] for answer in answers]


@pytest.fixture
def release(kubeconfig: Path) -> Iterator[Release]:
    """A place for a release; what the test installs there is removed."""
    apiserver = ApiServer(kubeconfig)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"generateName": "chart-", "labels": labels}
    kind = {"apiVersion": "v1", "kind": "Namespace"}
    made = apiserver.create(kind | {"metadata": metadata})
    assert made.accepted, made.refusals
    brings_crds = not apiserver.get(CRD).accepted
    release = Release(helm(kubeconfig), apiserver, made.body["metadata"]["name"], brings_crds)
    yield release
    if brings_crds:
        release.install({"crds.keep": "false"})
    release.uninstall()
    assert apiserver.get(CRD).accepted is not brings_crds
    apiserver.delete(made.body | kind)
