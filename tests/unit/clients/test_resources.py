import pytest

from tidegate.clients.resources import CONFIG_MAPS, DEPLOYMENTS, MODELS, Resource, of_manifest


@pytest.mark.parametrize(
    ("resource", "place", "path"),
    [
        (CONFIG_MAPS, ("ns", "a"), "/api/v1/namespaces/ns/configmaps/a"),
        (DEPLOYMENTS, (None,), "/apis/apps/v1/deployments"),
        (
            MODELS,
            ("ns", "a", "status"),
            "/apis/tidegate.dev/v1alpha1/namespaces/ns/models/a/status",
        ),
    ],
)
def test_path(resource: Resource, place: tuple[str, ...], path: str) -> None:
    assert resource.path(*place) == path


def test_of_manifest() -> None:
    assert of_manifest({"apiVersion": "v1", "kind": "ConfigMap"}) is CONFIG_MAPS
    with pytest.raises(KeyError):
        of_manifest({"apiVersion": "v1", "kind": "Node"})
