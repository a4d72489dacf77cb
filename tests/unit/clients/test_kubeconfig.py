from pathlib import Path

import pytest
import yaml

from tidegate.clients.kubeconfig import pointed
from tidegate.errors import TerminalError

MINE = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "mine",
    "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "me", "user": {}}],
    "contexts": [
        {"name": "mine", "context": {"cluster": "here", "user": "me", "namespace": "growth"}},
        {"name": "plain", "context": {"cluster": "here", "user": "me"}},
    ],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(MINE))
    return path


@pytest.mark.parametrize(
    ("context", "namespace"), [(None, "growth"), ("mine", "growth"), ("plain", "default")]
)
async def test_points_where_kubectl_does(file: Path, context: str | None, namespace: str) -> None:
    found = await pointed(str(file), context)
    assert (found.how.host, found.namespace) == ("http://127.0.0.1:1", namespace)


async def test_a_list_of_files_may_name_some_that_are_not_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"/nonexistent:{file}")
    assert (await pointed(str(file), None)).namespace == "growth"


async def test_a_file_that_is_not_there_is_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    with pytest.raises(TerminalError, match="no kubeconfig /nonexistent; set KUBECONFIG"):
        await pointed(None, None)
    assert not caplog.records


@pytest.mark.parametrize("content", ["nonsense", "a: [", "apiVersion: v1"])
async def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, content: str) -> None:
    broken = tmp_path / "broken"
    broken.write_text(content)
    with pytest.raises(TerminalError, match=f"{broken} can't be used"):
        await pointed(str(broken), None)


async def test_a_context_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(TerminalError, match="theirs"):
        await pointed(str(file), "theirs")
