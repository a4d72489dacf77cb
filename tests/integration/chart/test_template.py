"""What the chart makes of its values; a real API server says whether it can be installed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer, Manifest
from tests.integration.helm import CHART, ROOT, Helm, assignments, helm

from tidegate.crdgen.__main__ import main

pytestmark = pytest.mark.apiserver

PREFERRED = "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]"
EVERYTHING = {
    "networkPolicy.enabled": "true",
    "prometheus.url": "https://prometheus.monitoring:9091/base",
    "prometheus.tokenSecret.name": "reader",
    "prometheus.caSecret.name": "authority",
    "prometheus.caSecret.key": "root.pem",
    "imagePullSecrets[0].name": "registry",
    "priorityClassName": "system-cluster-critical",
    "nodeSelector.zone": "a",
    "tolerations[0].operator": "Exists",
    "podLabels.team": "ml",
    "podAnnotations.note": "a",
    "serviceAccount.annotations.note": "a",
    f"{PREFERRED}.weight": "1",
    f"{PREFERRED}.preference.matchExpressions[0].key": "zone",
    f"{PREFERRED}.preference.matchExpressions[0].operator": "Exists",
}


@pytest.fixture
def chart(kubeconfig: Path) -> Helm:
    return helm(kubeconfig)


def only(manifests: Iterable[Manifest], kind: str, name: str | None = None) -> Manifest:
    found = [m for m in manifests if m["kind"] == kind and name in {None, m["metadata"]["name"]}]
    assert len(found) == 1, [m["metadata"]["name"] for m in found]
    return found[0]


def container(manifests: Iterable[Manifest], kind: str = "Deployment") -> dict[str, Any]:
    found: dict[str, Any] = only(manifests, kind)["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(manifests: Iterable[Manifest]) -> dict[str, str]:
    return {v["name"]: v["value"] for v in container(manifests)["env"] if "value" in v}


def test_lint_finds_nothing(chart: Helm) -> None:
    for more in ((), ("--values", str(CHART / "values-local.yaml"))):
        done = chart.run("lint", "--strict", str(CHART), *more)
        assert done.code == 0, done.out + done.err


def test_all_generated_files_are_up_to_date_that_of_helm_too(
    chart: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_BIN", str(chart.binary.parent))
    assert main(["--check", "--root", str(ROOT)]) == 0


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
@pytest.mark.parametrize("watch", ["", "own"], ids=["all namespaces", "one namespace"])
def test_server_takes_every_object(
    values: dict[str, str], watch: str, chart: Helm, apiserver: ApiServer, namespace: str
) -> None:
    more = {"watchNamespaces[0]": namespace} if watch else {}
    for manifest in chart.template(namespace, values | more):
        answer = apiserver.create(manifest, dry_run=True)
        exists = answer.code == 409  # CRDs, which other tests have put there
        assert answer.accepted or exists, (manifest["kind"], answer.refusals)


def test_prometheus_is_asked_with_what_the_secrets_hold(chart: Helm, namespace: str) -> None:
    made = chart.template(namespace, EVERYTHING)
    asked = {k: v for k, v in environment(made).items() if k.startswith("TIDEGATE_PROMETHEUS_")}
    assert asked == {
        "TIDEGATE_PROMETHEUS_URL": "https://prometheus.monitoring:9091/base",
        "TIDEGATE_PROMETHEUS_TOKEN_FILE": "/etc/tidegate/prometheus/token",
        "TIDEGATE_PROMETHEUS_CA_FILE": "/etc/tidegate/prometheus/ca.crt",
    }
    (mount,) = (m for m in container(made)["volumeMounts"] if m["name"] == "prometheus")
    assert mount["mountPath"] == "/etc/tidegate/prometheus"
    volumes = only(made, "Deployment")["spec"]["template"]["spec"]["volumes"]
    (volume,) = (v for v in volumes if v["name"] == "prometheus")
    assert volume["projected"]["sources"] == [
        {"secret": {"name": "reader", "items": [{"key": "token", "path": "token"}]}},
        {"secret": {"name": "authority", "items": [{"key": "root.pem", "path": "ca.crt"}]}},
    ]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="no server"),
        pytest.param({"prometheus.url": "http://p:9090"}, id="an open server"),
        pytest.param({"prometheus.tokenSecret.name": "reader"}, id="a token for nobody"),
    ],
)
def test_without_secrets_nothing_is_mounted(
    values: dict[str, str], chart: Helm, namespace: str
) -> None:
    made = chart.template(namespace, values)
    assert "prometheus" not in {m["name"] for m in container(made)["volumeMounts"]}
    assert environment(made).get("TIDEGATE_PROMETHEUS_URL") == values.get("prometheus.url")


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_pods_meet_the_restricted_standard(
    kind: str, chart: Helm, apiserver: ApiServer, restricted: str
) -> None:
    template = only(chart.template(restricted, {}), kind)["spec"]["template"]
    template["spec"].pop("serviceAccountName")
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] |= {"name": "p", "namespace": restricted}
    answer = apiserver.create(pod, dry_run=True)
    assert answer.accepted, answer.refusals


@pytest.fixture
def restricted(apiserver: ApiServer, namespace: str) -> str:
    """A namespace that takes restricted pods only."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": namespace, "labels": labels}
    answer = apiserver.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    assert answer.accepted, answer.refusals
    return namespace


def test_images_are_of_the_registry_and_version_that_were_asked_for(chart: Helm) -> None:
    values = {"image.registry": "example.com/ml/", "image.tag": "v9", "image.sidecar.tag": "v8"}
    made = chart.template("ns", values)
    assert container(made)["image"] == "example.com/ml/tidegate-operator:v9"
    assert container(made, "Job")["image"] == "example.com/ml/tidegate-operator:v9"
    assert environment(made)["TIDEGATE_SIDECAR_IMAGE"] == "example.com/ml/tidegate-sidecar:v8"
    assert environment(made)["TIDEGATE_RUNTIME_IMAGE"] == "example.com/ml/tidegate-runtime:v9"


@pytest.mark.parametrize(
    "values",
    [
        {"image.registry": "registry.example:5000/ml/"},
        {"image.tag": f"v1@sha256:{'0' * 64}"},
        {"image.sidecar.repository": "team/side__car"},
    ],
)
def test_references_that_a_registry_knows_are_taken(values: dict[str, str], chart: Helm) -> None:
    registry, _, rest = container(chart.template("ns", values))["image"].partition("/")
    assert registry
    assert "//" not in rest


def test_a_second_release_in_a_namespace_is_refused(
    chart: Helm, crds: object, namespace: str
) -> None:
    def install(name: str) -> tuple[int, str]:
        what = ("install", name, str(CHART), "--namespace", namespace)
        done = chart.run(*what, *assignments(alone), "--no-hooks")
        return done.code, done.err

    alone = {"watchNamespaces[0]": namespace, "crds.enabled": "false"}
    alone["rbac.aggregateToDefaultRoles"] = "false"
    assert install("one") == (0, "")
    # They would share the Lease: the second would be ready, and stand by for ever.
    code, complaint = install("two")
    assert code != 0
    assert 'Role "tidegate-leader"' in complaint
    assert 'must equal "two": current value is "one"' in complaint


def test_operator_is_told_where_to_work(chart: Helm) -> None:
    assert environment(chart.template("ns", {}))["TIDEGATE_WATCH_NAMESPACES"] == ""
    made = chart.template("ns", {"watchNamespaces": "{a,b}"})
    assert environment(made)["TIDEGATE_WATCH_NAMESPACES"] == "a,b"


def test_the_decision_log_takes_its_key_from_the_secret_that_is_named(chart: Helm) -> None:
    assert "TIDEGATE_DECISIONS_URI" not in environment(chart.template("ns", {}))
    values = {"decisions.uri": "s3://audit/tidegate/", "decisions.credentialsSecret": "audit"}
    made = chart.template("ns", values)
    assert environment(made)["TIDEGATE_DECISIONS_URI"] == "s3://audit/tidegate/"
    secrets = {
        v["name"]: v["valueFrom"]["secretKeyRef"]
        for v in container(made)["env"]
        if "secretKeyRef" in v.get("valueFrom", {})
    }
    assert {name: s["key"] for name, s in secrets.items()} == {name: name for name in secrets}
    assert {s["name"] for s in secrets.values()} == {"audit"}
    assert {name for name, s in secrets.items() if not s.get("optional")} == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    }


def test_operator_reads_the_key_that_the_job_writes(chart: Helm) -> None:
    made = chart.template("ns", {})
    volumes = only(made, "Deployment")["spec"]["template"]["spec"]["volumes"]
    secret = next(v["secret"] for v in volumes if v["name"] == "signing")
    assert container(made, "Job")["args"] == ["--secret", secret["secretName"], "--namespace", "ns"]
    key = environment(made)["TIDEGATE_SIGNING_KEY"]
    mount = next(m for m in container(made)["volumeMounts"] if m["name"] == "signing")
    assert key == f"{mount['mountPath']}/{secret['items'][0]['path']}"


def test_own_signing_key_needs_no_job(chart: Helm) -> None:
    made = chart.template("ns", {"signingKey.create": "false", "signingKey.secretName": "mine"})
    assert not [m for m in made if m["kind"] == "Job"]
    assert "helm.sh/hook" not in str(made)


def test_selectors_match_the_operator_and_not_the_job(chart: Helm) -> None:
    made = chart.template("ns", {"networkPolicy.enabled": "true"})
    operator = only(made, "Deployment")["spec"]["template"]["metadata"]["labels"]
    job = only(made, "Job")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        only(made, "Deployment")["spec"]["selector"]["matchLabels"],
        only(made, "Service")["spec"]["selector"],
        only(made, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(made, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= operator.items()
        assert not selector.items() <= job.items()


def test_service_monitor_carries_the_labels_that_prometheus_selects_by(chart: Helm) -> None:
    values = {"serviceMonitor.enabled": "true", "serviceMonitor.labels.release": "prom"}
    made = chart.template("ns", values)
    monitor = only(made, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prom"
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= only(made, "Service")["metadata"]["labels"].items()


def test_crds_are_kept_unless_asked_otherwise(chart: Helm) -> None:
    def crds(values: dict[str, str]) -> list[Manifest]:
        made = chart.template("ns", values)
        return [m for m in made if m["kind"] == "CustomResourceDefinition"]

    assert len(crds({})) == 3
    for crd in crds({}):
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    for crd in crds({"crds.keep": "false"}):
        assert "annotations" not in crd["metadata"]
    assert crds({"crds.enabled": "false"}) == []


@pytest.mark.parametrize(
    "value",
    [
        "replicas=0",
        "logLevel=LOUD",
        "image.pullPolicy=Sometimes",
        "watchNamespaces={Not_A_Name}",
        "unknown=1",
        "crds.install=true",
        "signingKey.create=false",
        "workers=0",
        "decisions.uri=https://audit/",
        "decisions.uri=s3://audit/",
        "prometheus.url=prometheus:9090",
        "image.registry=https://ghcr.io/tidegate",
        "image.tag=v1 ",
        "image.sidecar.repository=Sidecar",
        "fullnameOverride=My_Name",
        "serviceAccount.name=My_Name",
        "signingKey.secretName=My_Name",
    ],
)
def test_values_that_make_no_sense_are_refused(value: str, chart: Helm) -> None:
    done = chart.run("lint", str(CHART), "--set", value)
    assert done.code != 0
    assert value.partition("=")[0].split(".")[0] in done.out + done.err
