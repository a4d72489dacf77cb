from pathlib import Path

import pytest

from tidegate.api.names import Reason
from tidegate.crdgen.__main__ import main, stale, write
from tidegate.crdgen.crd import root_schema
from tidegate.crdgen.files import find_helm, from_types
from tidegate.crdgen.kinds import KINDS
from tidegate.crdgen.reasons import MEANINGS
from tidegate.crdgen.reference import page

ROOT = Path(__file__).parents[3]


def test_generated_files_are_up_to_date() -> None:
    assert stale(ROOT, from_types()) == []


def test_a_changed_and_a_missing_file_are_stale(tmp_path: Path) -> None:
    files = from_types()
    write(tmp_path, files)
    first, second, *_ = files
    (tmp_path / first).write_text("by hand")
    (tmp_path / second).unlink()
    assert stale(tmp_path, files) == [first, second]


def test_check_without_helm_tells_what_is_stale_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tidegate.crdgen.__main__.CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TIDEGATE_BIN", raising=False)
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert "crds/models.yaml is stale: run make generate" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_generates_without_helm_all_that_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.crdgen.__main__.CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TIDEGATE_BIN", raising=False)
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0


def test_helm_of_the_local_cluster_is_the_last_resort(tmp_path: Path) -> None:
    built = tmp_path / "bin-1" / "helm"
    chosen = tmp_path / "mine" / "helm"
    for helm in (built, chosen):
        helm.parent.mkdir()
        helm.touch(mode=0o755)
    assert find_helm({}, tmp_path) == built
    assert find_helm({"PATH": str(chosen.parent)}, tmp_path) == chosen
    assert find_helm({"TIDEGATE_BIN": str(chosen.parent), "PATH": "/nowhere"}, tmp_path) == chosen
    assert find_helm({}, chosen.parent) is None


def test_reference_has_every_field_and_every_rule() -> None:
    text = page(KINDS)
    for kind in KINDS:
        root = root_schema(kind)
        for part in ("spec", "status"):
            for name in root["properties"][part]["properties"]:
                assert f"| `{part}.{name}`" in text
        for rule in root.get("x-kubernetes-validations", ()):
            assert rule["message"] in text
    assert "| `spec.delivery.analysis.metrics[].onBreach`* | `Rollback` \\| `Hold` |" in text


def test_every_reason_has_its_meaning() -> None:
    assert set(MEANINGS) == set(Reason)
