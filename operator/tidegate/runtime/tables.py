"""Tables: reading them, finding the columns that the spec names, and telling their kinds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow
from numpy.typing import NDArray
from pandas.api import types

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import Data
from tidegate.evidence.profile import Kind
from tidegate.runtime.job import Workspace
from tidegate.runtime.outcome import StageError

COLUMNS_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Tables:
    """The inputs in memory; their columns are known to be there."""

    train: pd.DataFrame
    test: pd.DataFrame | None
    features: tuple[str, ...]
    target: str


def read_tables(data: Data, work: Workspace) -> Tables:
    """Read all inputs; refuse what can't be read or lacks a column."""
    frames: dict[str, pd.DataFrame] = {}
    for index, source in enumerate(data.inputs):
        frame = _read(work.table(source), f"spec.data.inputs[{index}]")
        _require(data.target, frame, source.name, "spec.data.target")
        for position, name in enumerate(data.features):
            _require(name, frame, source.name, f"spec.data.features[{position}]")
        frames[source.name] = frame
    train, test = frames["train"], frames.get("test")
    features = data.features or tuple(str(c) for c in train.columns if c != data.target)
    if data.target in features or not features:
        message = f"features are {list(features)}: name columns other than {data.target!r}"
        raise StageError(Reason.DATA_INVALID, message, field="spec.data.features")
    for name in features if test is not None else ():
        _require(name, test, "test", "spec.data.features")
    return Tables(train, test, features, data.target)


def kinds_of(
    frame: pd.DataFrame, features: Sequence[str], preprocessing: Literal["Auto", "None"]
) -> dict[str, Kind]:
    """Whether each feature is a number or a category; the train table decides."""
    return {name: _kind(frame[name], name, preprocessing) for name in features}


def values(series: "pd.Series[Any]", kind: Kind) -> NDArray[Any]:
    """The values of a column as a client would send them: floats, or objects with None."""
    if kind == "number" and (types.is_numeric_dtype(series) or types.is_bool_dtype(series)):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    found = series.astype(object)
    return found.where(found.notna(), None).to_numpy(dtype=object)


def _read(path: Path, field: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError, pyarrow.ArrowException) as error:
        message = f"{path.name} can't be read as {path.suffix[1:]}: {error}"
        raise StageError(Reason.DATA_INVALID, message, field=f"{field}.uri") from error
    if frame.empty:
        raise StageError(Reason.DATA_INVALID, f"{path.name} has no rows", field=f"{field}.uri")
    frame.columns = frame.columns.map(str)
    return frame


def _require(name: str, frame: pd.DataFrame | None, table: str, field: str) -> None:
    if frame is not None and name not in frame.columns:
        raise missing_column(name, frame, table, field)


def missing_column(name: str, frame: pd.DataFrame, table: str, field: str) -> StageError:
    """The error that names the column, where the spec asks for it, and what there is instead."""
    shown = ", ".join(frame.columns[:COLUMNS_SHOWN])
    more = len(frame.columns) - COLUMNS_SHOWN
    tail = f" and {more} more" if more > 0 else ""
    message = f"{field}: the table {table} has no column {name!r}; it has {shown}{tail}"
    return StageError(Reason.COLUMN_MISSING, message, field=field)


def _kind(series: "pd.Series[Any]", name: str, preprocessing: Literal["Auto", "None"]) -> Kind:
    if types.is_bool_dtype(series):
        return "category" if preprocessing == "Auto" else "number"
    if types.is_numeric_dtype(series):
        return "number"
    if types.is_datetime64_any_dtype(series) or types.is_timedelta64_dtype(series):
        message = f"column {name!r} holds times: derive numbers from it, or leave it out"
        raise StageError(Reason.DATA_INVALID, message, field="spec.data.features")
    if preprocessing == "None":
        message = f"column {name!r} is no number, and preprocessing None passes numbers only"
        raise StageError(Reason.DATA_INVALID, message, field="spec.trainer.sklearn.preprocessing")
    return "category"
