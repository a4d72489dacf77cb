from pathlib import Path

import numpy as np
import pytest
from tests.unit.runtime.jobs import job, people, workspace

from tidegate.errors import TerminalError
from tidegate.runtime.reference import VALUES_LIMIT, read_reference, write_reference
from tidegate.runtime.train import train

FEATURES = ["age", "plan", "paid"]


def test_a_model_is_published_with_rows_that_it_was_trained_on(tmp_path: Path) -> None:
    asked = job(data={"features": FEATURES}, output={"referenceRows": 50})
    train(asked, workspace(tmp_path, train=people()))
    found = read_reference(tmp_path / "out/reference.parquet")
    assert {name: len(column) for name, column in found.items()} == dict.fromkeys(FEATURES, 50)
    assert set(found["plan"]) == {"basic", "pro"}
    assert set(found["paid"]) == {"true", "false"}, "as the prediction log's values are compared"
    assert set(found["age"]) <= set(people()["age"])


def test_none_are_published_unless_they_are_wanted(tmp_path: Path) -> None:
    train(job(), workspace(tmp_path, train=people()))
    assert not (tmp_path / "out/reference.parquet").exists()
    with pytest.raises(TerminalError, match="referenceRows"):
        read_reference(tmp_path / "out/reference.parquet")


def test_the_same_job_draws_the_same_rows(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_reference(tmp_path / name, {"x": np.arange(1000.0)}, {"x": "number"}, 10, seed=7)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_wide_table_gets_fewer_rows(tmp_path: Path) -> None:
    columns = {f"x{i}": np.zeros(20_000) for i in range(200)}
    kinds = dict.fromkeys(columns, "number")
    write_reference(tmp_path / "wide", columns, kinds, 20_000, seed=1)  # type: ignore[arg-type] # mypy widens the literal
    assert len(read_reference(tmp_path / "wide")["x0"]) == VALUES_LIMIT // 200


def test_a_damaged_file_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"PAR1 not really")
    with pytest.raises(TerminalError, match="can't be read"):
        read_reference(tmp_path / "bad")
