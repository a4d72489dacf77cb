import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tidegate.errors import TerminalError
from tidegate.runtime.artifact import Manifest, digest_of, folder_digest, safe_path

MANIFEST: dict[str, Any] = {
    "version": 1,
    "format": "Skops",
    "task": "classification",
    "features": ["a"],
    "kinds": {"a": "number"},
    "classes": [0, 1],
    "target": "y",
}


def test_folder_digest_is_that_of_the_sha256sum_listing(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/model.skops").write_bytes(b"model")
    (tmp_path / "a.json").write_bytes(b"{}")
    listing = subprocess.run(
        ["sha256sum", "a.json", "b/model.skops"], cwd=tmp_path, check=True, stdout=subprocess.PIPE
    ).stdout
    assert digest_of(tmp_path) == f"sha256:{hashlib.sha256(listing).hexdigest()}"


def test_hidden_files_are_no_part_of_an_artifact(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    before = digest_of(tmp_path)
    (tmp_path / ".incoming").mkdir()
    (tmp_path / ".incoming/a.json").write_bytes(b"half")
    assert digest_of(tmp_path) == before


def test_digest_does_not_depend_on_the_order_of_a_listing() -> None:
    digests = {"b": "sha256:02", "a": "sha256:01"}
    assert folder_digest(digests) == folder_digest(dict(reversed(digests.items())))


@pytest.mark.parametrize("path", ["model.skops", "nested/deep/file.bin", "ä b.json"])
def test_plain_paths_are_safe(path: str) -> None:
    assert safe_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/./b", "a/..", "a\\b"),
        *("a\nb", "a\x00b", ".incoming/x", ".hidden"),
    ],
)
def test_paths_that_leave_the_folder_or_forge_a_listing_are_refused(path: str) -> None:
    assert not safe_path(path)


def test_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "tidegate.json").write_text(json.dumps(MANIFEST))
    assert Manifest.read(tmp_path).to_json() == MANIFEST


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "Pickle"},
        {"task": "ranking"},
        {"features": ["a", "b"]},
        {"kinds": {"a": "text"}},
        {"kinds": None},
    ],
)
def test_manifest_of_another_kind_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "tidegate.json").write_text(json.dumps({**MANIFEST, **change}))
    with pytest.raises(TerminalError) as caught:
        Manifest.read(tmp_path)
    assert caught.value.reason == "ArtifactInvalid"


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"version": 1}'])
def test_text_that_is_no_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tidegate.json").write_text(content)
    with pytest.raises(TerminalError):
        Manifest.read(tmp_path)
