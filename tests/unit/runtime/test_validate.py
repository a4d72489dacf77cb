from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.unit.runtime.jobs import job, people, workspace

from tidegate.runtime.outcome import StageError
from tidegate.runtime.validate import validate

TOO_MANY = {"check": "RowCount", "min": "1000"}
BROKEN = [{"check": "Unique", "column": "age"}, {"check": "RowCount", "min": "1"}, TOO_MANY]


def refusal(folder: Path, frames: dict[str, pd.DataFrame], **data: Any) -> StageError:
    with pytest.raises(StageError) as caught:
        validate(job(data=data), workspace(folder, **frames))
    return caught.value


def test_counts_the_rows_of_good_data(tmp_path: Path) -> None:
    rules = {"rules": [{"check": "RowCount", "min": "100"}]}
    line = validate(job(data={"validation": rules}), workspace(tmp_path, train=people()))
    assert line == {"rows": 200, "warnings": []}


def test_fails_with_the_first_broken_rule_and_tells_all(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"train": people()}, validation={"rules": BROKEN})
    assert error.reason == "DataInvalid"
    assert error.field == "spec.data.validation.rules[0]"
    assert str(error).startswith("spec.data.validation.rules[0] (Unique of age): ")
    assert "; rules[2] (RowCount): 200 rows, wanted 1000 or more" in str(error)


def test_warns_where_the_spec_says_so(tmp_path: Path) -> None:
    rules = {"onFailure": "Warn", "rules": BROKEN}
    line = validate(job(data={"validation": rules}), workspace(tmp_path, train=people()))
    warnings = line["warnings"]
    assert isinstance(warnings, list)
    assert len(warnings) == 2


def test_missing_target_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"train": people()}, target="labell")
    assert (error.reason, error.field) == ("ColumnMissing", "spec.data.target")
    assert "no column 'labell'. Did you mean 'label'? It has age, plan, paid, score" in str(error)


def test_missing_feature_is_named_by_its_place(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"train": people()}, features=["age", "tenure"])
    assert (error.reason, error.field) == ("ColumnMissing", "spec.data.features[1]")


def test_test_table_must_have_the_columns_too(tmp_path: Path) -> None:
    inputs = [{"name": n, "uri": f"s3://data/{n}.csv"} for n in ("train", "test")]
    frames = {"train": people(), "test": people().drop(columns="plan")}
    error = refusal(tmp_path, frames, inputs=inputs)
    assert error.reason == "ColumnMissing"
    assert "table test has no column 'plan'" in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "can't be read as csv"), (b"a,label\n", "no rows"), (b"\xff\xfe\x00", "can't be read")],
)
def test_unreadable_table_is_invalid_data(tmp_path: Path, content: bytes, words: str) -> None:
    work = workspace(tmp_path)
    (tmp_path / "data/train.csv").write_bytes(content)
    with pytest.raises(StageError, match=words) as caught:
        validate(job(), work)
    assert caught.value.field == "spec.data.inputs[0].uri"


def test_corrupted_parquet_is_invalid_data(tmp_path: Path) -> None:
    work = workspace(tmp_path)
    (tmp_path / "data/train.parquet").write_bytes(b"PAR1 not really")
    inputs = [{"name": "train", "uri": "s3://data/train.parquet"}]
    with pytest.raises(StageError, match="can't be read as parquet"):
        validate(job(data={"inputs": inputs}), work)


def test_times_are_refused_with_the_fix(tmp_path: Path) -> None:
    frame = people().assign(seen=pd.Timestamp("2026-01-01"))
    work = workspace(tmp_path)
    frame.to_parquet(tmp_path / "data/train.parquet")
    inputs = [{"name": "train", "uri": "s3://data/train.parquet"}]
    with pytest.raises(StageError, match="derive numbers from it"):
        validate(job(data={"inputs": inputs}), work)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        pytest.param("last week", "'last week', which is no time", id="text"),
        pytest.param(1_780_000_000, "'1780000000', which is no time", id="a number of what?"),
    ],
)
def test_a_timestamp_that_is_no_time_is_refused(tmp_path: Path, values: Any, shown: str) -> None:
    frame = people().assign(seen_at=values)
    error = refusal(tmp_path, {"train": frame}, timestamp="seen_at")
    assert (error.reason, error.field) == ("DataInvalid", "spec.data.timestamp")
    assert shown in str(error)


def test_every_table_has_the_timestamp(tmp_path: Path) -> None:
    dated = people().assign(seen_at="2026-11-21T09:30:00Z")
    inputs = [{"name": n, "uri": f"s3://data/{n}.csv"} for n in ("train", "test")]
    frames = {"train": dated, "test": people()}
    error = refusal(tmp_path, frames, timestamp="seen_at", inputs=inputs)
    assert (error.reason, error.field) == ("ColumnMissing", "spec.data.timestamp")
