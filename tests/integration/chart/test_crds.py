"""What becomes of the CRDs, and of all Models, when the chart is uninstalled."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.apiserver import ApiServer, Manifest, wait_until
from tests.integration.conftest import install_crds
from tests.integration.crds.samples import SAMPLES, edited
from tests.integration.helm import CHART, Helm, assignments, helm

from tidegate.crdgen.kinds import KINDS

pytestmark = pytest.mark.apiserver


@pytest.fixture
def chart(kubeconfig: Path, apiserver: ApiServer, namespace: str) -> Iterator[Helm]:
    # Deleting CRDs deletes all their objects: never on a cluster where somebody has any.
    wait_until(
        lambda: not objects(apiserver),
        "a cluster without Models, TrainingJobs and DriftPolicies, which this test would delete",
    )
    made = helm(kubeconfig)
    yield made
    made.run("uninstall", namespace, "--namespace", namespace, "--ignore-not-found", "--no-hooks")
    install_crds(apiserver)  # what other tests rely on


def objects(apiserver: ApiServer) -> list[Manifest]:
    """All objects of Tidegate's kinds on the cluster."""
    answers = [apiserver.get(f"/apis/tidegate.dev/v1alpha1/{kind.plural}") for kind in KINDS]
    return [item for answer in answers for item in answer.body.get("items", ())]


def install(chart: Helm, namespace: str, values: dict[str, str]) -> None:
    # No hooks: their pods need a node. The CRDs that are there become the release's own.
    options = ("--no-hooks", "--take-ownership", "--namespace", namespace)
    done = chart.run("upgrade", "--install", namespace, str(CHART), *options, *assignments(values))
    assert done.code == 0, done.err


def uninstall(chart: Helm, namespace: str) -> None:
    done = chart.run("uninstall", namespace, "--namespace", namespace, "--no-hooks", "--wait")
    assert done.code == 0, done.err


def model_in(apiserver: ApiServer, namespace: str) -> Manifest:
    manifest = edited(SAMPLES["model-minimal"], {"metadata.namespace": namespace})
    answer = apiserver.create(manifest)
    assert answer.accepted, answer.refusals
    return manifest


def exists(apiserver: ApiServer, namespace: str) -> bool:
    path = f"/apis/tidegate.dev/v1alpha1/namespaces/{namespace}/models/churn"
    return apiserver.get(path).accepted


def test_models_survive_an_uninstall_and_meet_the_next_install(
    chart: Helm, apiserver: ApiServer, crds: object, namespace: str
) -> None:
    install(chart, namespace, {})
    model_in(apiserver, namespace)
    uninstall(chart, namespace)
    assert exists(apiserver, namespace)
    install(chart, namespace, {})
    assert exists(apiserver, namespace)


def test_models_go_with_the_crds_where_that_was_asked_for(
    chart: Helm, apiserver: ApiServer, crds: object, namespace: str
) -> None:
    install(chart, namespace, {"crds.keep": "false"})
    model_in(apiserver, namespace)
    uninstall(chart, namespace)
    crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/models.tidegate.dev"
    wait_until(lambda: apiserver.get(crd).code == 404, "the CRD to go")
    assert not exists(apiserver, namespace)
