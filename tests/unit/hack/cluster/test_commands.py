import subprocess
from pathlib import Path

import pytest
from hack.cluster import __main__, kubectl
from hack.cluster.binaries import TOOLS
from hack.cluster.commands import parser
from hack.cluster.errors import ClusterError
from hack.cluster.instance import Instance, Ports, cache_directory
from hack.target import ROOT


@pytest.mark.parametrize("command", sorted(__main__.COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parser().parse_args([command, "--help"])
    assert raised.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_an_unknown_program_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ClusterError, match="no-such") as raised:
        __main__.require_known(["helm", "no-such"])
    assert all(tool in raised.value.mend for tool in TOOLS)


def test_a_foreign_kubeconfig_is_used_and_our_own_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cache_directory({})
    ours = Instance("default", cache, Ports())
    monkeypatch.setenv("KUBECONFIG", str(ours.kubeconfig))
    assert kubectl.foreign_kubeconfig("default", cache) is None
    monkeypatch.setenv("KUBECONFIG", "/home/me/.kube/config")
    assert kubectl.foreign_kubeconfig("default", cache) == "/home/me/.kube/config"
    monkeypatch.delenv("KUBECONFIG")
    assert kubectl.foreign_kubeconfig("default", cache) is None


def test_images_that_cannot_be_built_here_can_be_built_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.argv", ["cluster", "image", "build"])
    assert __main__.main() == 1
    message = capsys.readouterr().err
    assert "images can't be built here" in message
    assert "cluster up" not in message, "that does not build them"
    assert "to mend it: " in message
    assert "hack/cluster/cluster image context" in message


def test_an_image_for_no_cluster_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGATE_CACHE", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["cluster", "load-image", "localhost/mine:dev"])
    assert __main__.main() == 1
    told = capsys.readouterr().err
    assert "there is no cluster default" in told
    assert "hack/cluster/cluster up" in told


def test_a_push_without_a_registry_builds_nothing() -> None:
    done = subprocess.run(
        ["make", "-n", "push", "REGISTRY="], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert "image build" not in done.stdout
    assert "REGISTRY=" in done.stdout


def test_an_error_is_a_message_and_a_remedy_without_a_stack_trace(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("TIDEGATE_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr("sys.argv", ["cluster", "kubeconfig"])
    assert __main__.main() == 1
    message = capsys.readouterr().err
    assert message.startswith("error: there is no cluster default")
    assert "to mend it: hack/cluster/cluster up" in message
