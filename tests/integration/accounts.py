"""The chart's accounts on a real API server, without its pods."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import yaml
from tests.integration.apiserver import ApiServer, Manifest, wait_until
from tests.integration.helm import Helm

RBAC_KINDS = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


class Installed:
    """The chart's accounts and roles, on a real API server."""

    def __init__(
        self, apiserver: ApiServer, helm: Helm, namespace: str, values: Mapping[str, str]
    ) -> None:
        self._apiserver, self._namespace = apiserver, namespace
        # Named after the test's namespace: cluster roles have none of their own.
        manifests = helm.template(namespace, {"fullnameOverride": namespace, **values})
        self.manifests = [m for m in manifests if m["kind"] in RBAC_KINDS]
        for manifest in self.manifests:
            answer = apiserver.apply(manifest)
            assert answer.accepted, answer.refusals
        # The server judges by a copy of its rules, which follows them a moment later.
        for granted in self._granted():
            wait_until(partial(self.may, *granted), f"the grant of {granted}")

    def _granted(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        """What `may` has to affirm for each rule of each bound role, by one example of it."""
        rules = {(m["kind"], m["metadata"]["name"]): m.get("rules", ()) for m in self.manifests}
        for binding in self.manifests:
            role = binding.get("roleRef")
            for rule in rules[role["kind"], role["name"]] if role else ():
                yield self._example(binding, rule)

    def _example(self, binding: Manifest, rule: Manifest) -> tuple[str, str, str, str, str, str]:
        return (
            binding["subjects"][0]["name"],
            rule["verbs"][0],
            rule["apiGroups"][0],
            rule["resources"][0],
            binding["metadata"].get("namespace", self._namespace),
            rule.get("resourceNames", [""])[0],
        )

    def may(
        self, account: str, verb: str, group: str, resource: str, namespace: str, only: str = ""
    ) -> bool:
        """Whether the account may do this; `only` is the name of the one object that is meant."""
        name, _, subresource = resource.partition("/")
        attributes = {
            "namespace": namespace,
            "verb": verb,
            "group": group,
            "resource": name,
            "subresource": subresource,
            "name": only,
        }
        user = f"system:serviceaccount:{self._namespace}:{account}"
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {"user": user, "resourceAttributes": attributes},
        }
        return bool(self._apiserver.create(review).body["status"]["allowed"])

    def remove(self) -> None:
        for manifest in self.manifests:
            self._apiserver.delete(manifest)

    def kubeconfig(self, administrators: Path, account: str, file: Path) -> Path:
        """Write the configuration of a client that is the account, as a token in its pod is."""
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = self._apiserver.post(path, request)
        assert answer.accepted, answer.refusals
        config = yaml.safe_load(administrators.read_text())
        for user in config["users"]:
            user["user"] = {"token": answer.body["status"]["token"]}
        file.write_text(yaml.safe_dump(config))
        return file
