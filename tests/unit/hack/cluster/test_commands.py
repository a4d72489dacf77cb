import subprocess
from pathlib import Path

import pytest
from hack.cluster import __main__, images, kubectl
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


@pytest.mark.parametrize("command", ["up", "down", "status", "env"])
def test_names_that_are_no_folder_names_are_refused(
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TIDEGATE_CACHE", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["cluster", command, "--name", "../../etc"])
    assert __main__.main() == 1
    assert capsys.readouterr().err.startswith("error: --name ../../etc: only a-z")
    assert not any(tmp_path.iterdir())


def test_a_cluster_that_is_not_there_exports_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGATE_CACHE", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["cluster", "env", "--name", "mine"])
    assert __main__.main() == 1
    told = capsys.readouterr()
    assert not told.out
    assert "cluster up --name mine --control-plane-only" in told.err


def test_a_folder_that_cannot_be_written_is_named_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TIDEGATE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("sys.argv", ["cluster", "down"])
    assert __main__.main() == 1
    told = capsys.readouterr().err
    assert str(tmp_path / "file") in told
    assert "TIDEGATE_CACHE=" in told


def test_a_cluster_that_is_down_leaves_no_lock(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEGATE_CACHE", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["cluster", "down"])
    assert __main__.main() == 0
    assert not any((tmp_path / "locks").iterdir())


def test_an_image_that_was_never_built_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("hack.cluster.images.image_id", lambda *_: None)
    with pytest.raises(ClusterError, match=r"mine\.tar is neither a file nor") as raised:
        images.load(tmp_path, "mine.tar")
    assert "image build" in raised.value.mend


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
