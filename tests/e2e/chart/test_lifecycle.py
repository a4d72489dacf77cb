"""Install, upgrade and uninstall on a real cluster, in a namespace for restricted pods."""

from tests.e2e.chart.conftest import NAME, Release
from tests.integration.apiserver import wait_until
from tests.integration.crds.samples import SAMPLES, edited

DEPLOYMENT = f"/apis/apps/v1/{{namespace}}/deployments/{NAME}"
KEY = f"/api/v1/{{namespace}}/secrets/{NAME}-signing-key"
KEY_JOB = (
    f"/apis/batch/v1/{{namespace}}/jobs/{NAME}-signing-key",
    f"/api/v1/{{namespace}}/serviceaccounts/{NAME}-signing-key",
    f"/apis/rbac.authorization.k8s.io/v1/{{namespace}}/roles/{NAME}-signing-key",
)
MODEL = "/apis/tidegate.dev/v1alpha1/{namespace}/models/churn"


def create_model(release: Release) -> None:
    manifest = edited(SAMPLES["model-minimal"], {"metadata.namespace": release.namespace})
    answer = release.apiserver.create(manifest)
    assert answer.accepted, answer.refusals


def is_seen(release: Release) -> bool:
    """Whether the operator has written the Model's status."""
    model = release.get(MODEL)
    assert model is not None
    return "observedGeneration" in model.get("status", {})


def test_install_upgrade_uninstall(release: Release) -> None:
    release.install({})

    deployment = release.get(DEPLOYMENT)
    assert deployment is not None
    assert deployment["status"]["readyReplicas"] == 2

    # The key's job left the key, and nothing of itself.
    key = release.get(KEY)
    assert key is not None
    assert [release.get(path) for path in KEY_JOB] == [None, None, None]

    # It works with the permissions that the chart gives.
    create_model(release)
    wait_until(lambda: is_seen(release), "the Model's status")
    assert release.ask_replicas("/livez") == release.ask_replicas("/readyz") == ["ok\n", "ok\n"]
    for metrics in release.ask_replicas("/metrics"):
        assert "tidegate_api_requests_total{" in metrics
        assert 'code="403"' not in metrics

    release.install({"logLevel": "DEBUG"})
    upgraded = release.get(DEPLOYMENT)
    assert upgraded is not None
    assert upgraded["metadata"]["generation"] > deployment["metadata"]["generation"]
    assert upgraded["status"]["readyReplicas"] == 2
    assert release.get(KEY) == key, "running sidecars trust the key they know"
    assert is_seen(release)

    release.uninstall()
    assert release.get(DEPLOYMENT) is None
    assert release.get(MODEL) is not None, "crds.keep keeps the Models"
    assert release.get(KEY) == key

    release.install({})
    assert release.get(KEY) == key
