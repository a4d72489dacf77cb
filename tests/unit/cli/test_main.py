"""The command line as it is typed: exit codes, forms of output, mistakes that are named."""

import json
from pathlib import Path

import pytest
import yaml
from tests.unit.cli.scenes import drifting
from tests.unit.cli.test_backtest import write

from tidegate.cli.__main__ import main
from tidegate.cli.recordings import save

MODEL = """
apiVersion: tidegate.dev/v1alpha1
kind: Model
metadata: {name: churn}
spec:
  artifact: {fromTraining: {}}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL)
    return str(path)


def test_a_plan_needs_no_cluster(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", file, "--requests-per-second", "100", "--sizes", "5"]) == 0
    assert "churn: 100 requests a second" in capsys.readouterr().out


def test_a_replay_needs_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    save(drifting(minutes=3, since=99), str(tmp_path))
    assert main(["replay", "churn", "--windows", str(tmp_path)]) == 2
    assert "the recording of growth/churn has no decision" in capsys.readouterr().err


def test_data_comes_as_json_or_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(drifting(minutes=3, since=99), str(tmp_path / "windows"))
    asked = ["backtest", "-f", write(tmp_path / "p.yaml"), "--windows", str(tmp_path / "windows")]
    assert main([*asked, "-o", "json"]) == 0
    as_json = json.loads(capsys.readouterr().out)
    assert main([*asked, "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == as_json


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["backtest", "-f", "absent.yaml", "--windows", "absent"], "absent.yaml"),
        (["plan", "-f", "absent.yaml", "--requests-per-second", "1"], "absent.yaml"),
        (["why", "churn", "--kubeconfig", "absent"], "no cluster"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    asked: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["plan"], "MODEL -f is required"),
        (["plan", "churn", "--sizes", "0.5"], "larger than 1"),
        (["plan", "churn", "--requests-per-second", "0"], "not larger than 0"),
        (["plan", "churn", "--requests-per-second", "inf"], "no number"),
        (["plan", "churn", "--requests-per-second", "nan"], "no number"),
        (["plan", "churn", "--error-rate", "2"], "between 0 and 1"),
        (["record", "churn", "--out", "x", "--every", "soon"], "10m"),
        (["why", "churn", "--last", "0"], "1 or more"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(
    asked: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(asked)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


KUBECONFIG = """
current-context: here
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: "https://127.0.0.1:9", certificate-authority-data: AAAA}}]
users: [{name: me, user: {token: secret}}]
"""


@pytest.mark.parametrize("text", ["contexts: [", "words", "", KUBECONFIG])
def test_a_broken_kubeconfig_is_told_in_a_sentence(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    assert main(["status", "--kubeconfig", str(path)]) == 2
    assert capsys.readouterr().err.startswith("error: no cluster: ")


def test_a_file_with_words_for_metadata_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL.replace("{name: churn}", "churn"))
    assert main(["plan", "-f", str(path), "--requests-per-second", "100"]) == 2
    assert "metadata" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_may_the_next_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "growth"}}
    config.write_text(
        yaml.safe_dump(
            {
                "clusters": [cluster],
                "contexts": [context],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "current-context": "c",
            }
        )
    )
    assert main(["why", "churn", "--kubeconfig", str(config)]) == 3
    assert "/namespaces/growth/models/churn" in capsys.readouterr().err
