from pathlib import Path

import pytest
from hack.cluster.instance import Instance, Ports
from hack.target import TargetError, is_foreign, reach


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kubeconfig of a local cluster, as `cluster env` exports it."""
    monkeypatch.setenv("TIDEGATE_CACHE", str(tmp_path))
    instance = Instance("default", tmp_path.resolve(), Ports())
    instance.save()
    return instance.kubeconfig


def test_the_local_cluster_stays_local_when_a_shell_points_at_it(
    ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(ours))
    assert not is_foreign("default")


def test_a_cluster_elsewhere_needs_a_registry(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(ours.with_name("elsewhere")))
    monkeypatch.delenv("REGISTRY", raising=False)
    assert is_foreign("default")
    with pytest.raises(TargetError, match="REGISTRY"):
        reach("default", has_node=True)
