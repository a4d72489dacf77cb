from pathlib import Path

import pytest
from benchmarks.report import put, table


def test_a_table_has_text_on_the_left_and_numbers_on_the_right() -> None:
    assert table(["rule", "%"], [["z-test", "22.2"]]) == (
        "| rule | % |\n| --- | ---: |\n| z-test | 22.2 |"
    )


def test_a_block_replaces_what_its_markers_hold_and_nothing_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n")
    put(readme, "a", "new")
    assert readme.read_text() == "before\n<!-- a -->\nnew\n<!-- /a -->\nafter\n"


def test_missing_markers_are_refused(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing\n")
    with pytest.raises(ValueError, match="no pair of markers called a"):
        put(readme, "a", "new")
