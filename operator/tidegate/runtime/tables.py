"""Tables: reading them, finding the columns that the spec names, and telling their kinds."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
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
    timestamp: str | None = None
    """The column that says when a row was seen."""


def read_tables(data: Data, work: Workspace) -> Tables:
    """Read all inputs; refuse what can't be read or lacks a column."""
    frames: dict[str, pd.DataFrame] = {}
    for index, source in enumerate(data.inputs):
        frame = _read(work.table(source), f"spec.data.inputs[{index}]")
        _require(data.target, frame, source.name, "spec.data.target")
        if data.timestamp is not None:
            _require(data.timestamp, frame, source.name, "spec.data.timestamp")
            hours_of(frame[data.timestamp])
        for position, name in enumerate(data.features):
            _require(name, frame, source.name, f"spec.data.features[{position}]")
        frames[source.name] = frame
    train, test = frames["train"], frames.get("test")
    others = (data.target, data.timestamp)
    features = data.features or tuple(str(c) for c in train.columns if c not in others)
    if data.target in features or not features:
        message = f"features are {list(features)}: name columns other than {data.target!r}"
        raise StageError(Reason.DATA_INVALID, message, field="spec.data.features")
    for name in features if test is not None else ():
        _require(name, test, "test", "spec.data.features")
    return Tables(train, test, features, data.target, data.timestamp)


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


def hours_of(times: "pd.Series[Any]") -> NDArray[np.int64]:
    """The hour of the week, by UTC, of each row's time; -1 where there is none."""
    found = None
    if not types.is_numeric_dtype(times):  # a number may be seconds, or days, or something else
        found = pd.to_datetime(times, utc=True, errors="coerce", format="ISO8601")
    if found is None or (found.isna() & times.notna()).any():
        strange = times if found is None else times[found.isna()]
        shown = str(strange.dropna().iloc[0])[:40] if strange.notna().any() else "no value"
        message = (
            f"column {times.name!r} holds {shown!r}, which is no time: "
            "write dates and times, or ISO 8601 text such as 2026-11-21T09:30:00Z"
        )
        raise StageError(Reason.DATA_INVALID, message, field="spec.data.timestamp")
    hours = found.dt.day_of_week * 24 + found.dt.hour
    return np.asarray(hours.fillna(-1), dtype=np.int64)


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
    near = get_close_matches(name, frame.columns, n=1)
    hint = f". Did you mean {near[0]!r}?" if near else "."
    message = f"{field}: the table {table} has no column {name!r}{hint} It has {shown}{tail}"
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
