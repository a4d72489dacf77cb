"""The source tree keeps the promises that tools do not check."""

from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "operator"
PACKAGE = SOURCE / "tidegate"
MODULES = [path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts]


def test_operator_folder_is_no_package() -> None:
    # As a package it would shadow the standard library's `operator`, and only inside an image.
    assert not (SOURCE / "__init__.py").exists()


def test_source_root_holds_one_package() -> None:
    assert [path.name for path in SOURCE.iterdir() if any(path.rglob("*.py"))] == ["tidegate"]


def test_every_folder_is_a_package() -> None:
    folders = {path.parent for path in MODULES}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("name", ["utils", "util", "helpers", "common", "misc", "manager"])
def test_no_module_without_a_subject(name: str) -> None:
    assert [path for path in MODULES if name in (path.stem, path.parent.name)] == []


def test_unit_tests_mirror_the_source() -> None:
    here = Path(__file__).parent
    folders = {path.parent.relative_to(here) for path in here.rglob("test_*.py")}
    roots = (PACKAGE, SOURCE.parent)
    unknown = [str(f) for f in folders if not any((root / f).is_dir() for root in roots)]
    assert unknown == []
