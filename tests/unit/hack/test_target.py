from pathlib import Path

import pytest
from hack.cluster.instance import Instance, Ports
from hack.target import TargetError, is_foreign, reach, release


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


def test_what_a_cluster_command_says_last_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its progress is shown as it comes."""
    command = tmp_path / "cluster"
    command.write_text(
        "#!/bin/sh\necho '  … etcd' >&2\necho 'error: kubelet ended' >&2\n"
        "echo '    an error: nobody knows which' >&2\n"
        "echo '  to mend it: less kubelet.log' >&2\nexit 1\n"
    )
    command.chmod(0o755)
    monkeypatch.setattr("hack.target.CLUSTER", str(command))
    with pytest.raises(
        TargetError, match=r"failed: kubelet ended\n(?s:.*)  to mend it: less"
    ) as failed:
        release("default")
    assert "etcd" not in str(failed.value)
    assert capfd.readouterr().err == "  … etcd\n"


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_cluster_that_was_there_before_is_not_taken_down(
    is_recorded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that had to be mended first."""
    monkeypatch.setenv("TIDEGATE_CACHE", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    command = tmp_path / "cluster-command"
    command.write_text("#!/bin/sh\nexit 0\n")
    command.chmod(0o755)
    monkeypatch.setattr("hack.target.CLUSTER", str(command))
    if is_recorded:
        Instance("default", tmp_path.resolve(), Ports()).save()
    assert reach("default", has_node=False).made == ("" if is_recorded else "default")
