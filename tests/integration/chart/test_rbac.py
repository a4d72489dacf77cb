"""What the chart's accounts may do, as the API server itself judges it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.integration.accounts import Installed
from tests.integration.apiserver import ApiServer
from tests.integration.helm import helm

from tidegate.api.names import LEASE_NAME

pytestmark = pytest.mark.apiserver

WATCHED = {
    "tidegate.dev": ("models", "trainingjobs", "driftpolicies"),
    "discovery.k8s.io": ("endpointslices",),
}
APPLIED = {
    "": ("services", "configmaps"),
    "apps": ("deployments", "controllerrevisions"),
    "policy": ("poddisruptionbudgets",),
}
CREATED = {"batch": ("jobs",)}
PRUNED = {
    "": ("services", "configmaps"),
    "apps": ("deployments", "controllerrevisions"),
    "batch": ("jobs",),
}
READ = ("get", "list", "watch")
WRITE = ("create", "patch", "delete")


def every(
    resources: Mapping[str, tuple[str, ...]], verbs: tuple[str, ...]
) -> list[tuple[str, str, str]]:
    return [(v, group, name) for group, names in resources.items() for name in names for v in verbs]


ALLOWED = [
    *every(WATCHED | APPLIED | CREATED, READ),
    *every(APPLIED, ("create", "patch")),
    *every(CREATED, ("create",)),
    *every(PRUNED, ("delete",)),
    *(("patch", "tidegate.dev", f"{name}/status") for name in WATCHED["tidegate.dev"]),
    ("create", "tidegate.dev", "trainingjobs"),
    *(("update", "tidegate.dev", f"{name}/finalizers") for name in WATCHED["tidegate.dev"]),
    ("list", "", "pods"),
    ("create", "", "events"),
]
REFUSED = [
    *((verb, "", "secrets") for verb in (*READ, *WRITE)),
    *((verb, "tidegate.dev", "models") for verb in ("create", "update", "patch", "delete")),
    ("update", "tidegate.dev", "models/status"),
    ("patch", "tidegate.dev", "trainingjobs"),
    ("delete", "tidegate.dev", "trainingjobs"),
    ("patch", "batch", "jobs"),
    ("delete", "policy", "poddisruptionbudgets"),
    ("patch", "", "events"),
    ("get", "", "pods"),
    ("create", "", "pods/exec"),
    ("delete", "", "pods"),
    ("create", "", "pods"),
    ("create", "", "serviceaccounts"),
    ("create", "", "serviceaccounts/token"),
    ("list", "", "namespaces"),
    ("create", "rbac.authorization.k8s.io", "rolebindings"),
    ("list", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("impersonate", "", "users"),
]
LEASE = ("coordination.k8s.io", "leases")


@pytest.fixture(params=[False, True], ids=["all namespaces", "one namespace"])
def namespaced(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def installed(
    *, namespaced: bool, kubeconfig: Path, apiserver: ApiServer, namespace: str
) -> Installed:
    values = {"watchNamespaces[0]": namespace} if namespaced else {}
    return Installed(apiserver, helm(kubeconfig), namespace, values)


@pytest.fixture(autouse=True)
def removed(installed: Installed) -> object:
    yield
    installed.remove()


def test_operator_may_do_what_it_does_and_no_more(
    *, installed: Installed, namespaced: bool, namespace: str
) -> None:
    for needed in ALLOWED:
        assert installed.may(namespace, *needed, namespace), needed
        assert installed.may(namespace, *needed, "default") is not namespaced, needed
    for dangerous in REFUSED:
        assert not installed.may(namespace, *dangerous, namespace), dangerous
        assert not installed.may(namespace, *dangerous, "default"), dangerous


def test_operator_has_one_lease_in_its_own_namespace_only(
    installed: Installed, namespace: str
) -> None:
    assert installed.may(namespace, "create", *LEASE, namespace)
    assert not installed.may(namespace, "create", *LEASE, "default")
    for verb in ("get", "update"):
        assert installed.may(namespace, verb, *LEASE, namespace, LEASE_NAME)
        assert not installed.may(namespace, verb, *LEASE, namespace, "another")
        assert not installed.may(namespace, verb, *LEASE, "default", LEASE_NAME)


def test_the_keys_job_may_create_secrets_and_nothing_else(
    installed: Installed, namespace: str
) -> None:
    account = f"{namespace}-signing-key"
    assert installed.may(account, "create", "", "secrets", namespace)
    assert not installed.may(account, "create", "", "secrets", "default")
    for verb in ("get", "list", "watch", "update", "patch", "delete"):
        assert not installed.may(account, verb, "", "secrets", namespace)
    for needed in ALLOWED:
        assert not installed.may(account, *needed, namespace)


def test_no_rule_has_a_wildcard(installed: Installed) -> None:
    rules = [rule for m in installed.manifests for rule in m.get("rules", ())]
    assert rules
    for rule in rules:
        assert "*" not in str(rule), rule
