"""The rows to learn from and the rows to measure on, as plain columns and targets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types
from sklearn.model_selection import train_test_split

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import Holdout
from tidegate.evidence.encode import label_text
from tidegate.evidence.profile import Kind, Task
from tidegate.runtime.features import UnusableValueError, matrix
from tidegate.runtime.outcome import StageError
from tidegate.runtime.tables import Tables, hours_of, values

TARGET_FIELD = "spec.data.target"


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table: each feature's values, and the target's."""

    columns: dict[str, NDArray[Any]]
    target: NDArray[Any]
    hours: NDArray[np.int64] | None = None
    """The hour of the week of each row, -1 where it has no time; None without timestamps."""

    def matrix(self, kinds: dict[str, Kind]) -> NDArray[Any]:
        try:
            return matrix(self.columns, tuple(self.columns), kinds)
        except UnusableValueError as error:
            raise StageError(Reason.DATA_INVALID, str(error), field="spec.data.inputs") from error

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a run learns from (`train`) and is measured on (`held_out`)."""

    train: Rows
    held_out: Rows
    kinds: dict[str, Kind]
    task: Task


def make_dataset(
    tables: Tables, kinds: dict[str, Kind], task: Task, holdout: Holdout, seed: int
) -> Dataset:
    """Split the train table, or take the test table if there is one."""
    train = _labelled(tables.train, tables.target, "train")
    if tables.test is not None:
        held_out = _labelled(tables.test, tables.target, "test")
    else:
        # A target of the wrong kind is told as that, and not as rows that can't be split.
        _target(train[tables.target], task)
        train, held_out = _split(train, tables.target, task, holdout, seed)
    return Dataset(
        _rows(train, tables, kinds, task), _rows(held_out, tables, kinds, task), kinds, task
    )


def _labelled(frame: pd.DataFrame, target: str, name: str) -> pd.DataFrame:
    labelled = frame[frame[target].notna()]
    if labelled.empty:
        message = f"no row of the table {name} has a value in the target {target!r}"
        raise StageError(Reason.DATA_INVALID, message, field=TARGET_FIELD)
    if len(labelled) < len(frame):
        left_out = len(frame) - len(labelled)
        print(
            f"{name}: {left_out} of {len(frame)} rows have no target and are left out", flush=True
        )
    return labelled


def _split(
    frame: pd.DataFrame, target: str, task: Task, holdout: Holdout, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    stratify = frame[target] if holdout.stratify and task == "classification" else None
    try:
        train, held_out = train_test_split(
            frame, test_size=float(holdout.fraction), random_state=seed, stratify=stratify
        )
    except ValueError as error:
        message = f"{len(frame)} rows can't be split for the held-out metrics: {error}"
        raise StageError(Reason.DATA_INVALID, message, field="spec.data.holdout") from error
    return train, held_out


def _rows(frame: pd.DataFrame, tables: Tables, kinds: dict[str, Kind], task: Task) -> Rows:
    columns = {name: values(frame[name], kinds[name]) for name in tables.features}
    hours = None if tables.timestamp is None else hours_of(frame[tables.timestamp])
    return Rows(columns, _target(frame[tables.target], task), hours)


def _target(target: "pd.Series[Any]", task: Task) -> NDArray[Any]:
    return _labels(target) if task == "classification" else _numbers(target)


def _numbers(target: "pd.Series[Any]") -> NDArray[np.float64]:
    if not types.is_numeric_dtype(target):
        message = (
            f"the target {target.name!r} is no number, and the estimator is a regressor; "
            "use a classifier, or name another target"
        )
        raise StageError(Reason.DATA_INVALID, message, field=TARGET_FIELD)
    return target.to_numpy(dtype=np.float64)


def _labels(target: "pd.Series[Any]") -> NDArray[Any]:
    """Labels as bool, int or text: floats such as 1.0 come from a column with gaps."""
    if types.is_bool_dtype(target):
        return target.to_numpy(dtype=np.bool_)
    if types.is_numeric_dtype(target):
        found = target.to_numpy(dtype=np.float64)
        if not (found % 1 == 0).all():
            message = (
                f"the target {target.name!r} holds fractions, and the estimator is a classifier; "
                "use a regressor, or name another target"
            )
            raise StageError(Reason.DATA_INVALID, message, field=TARGET_FIELD)
        return target.to_numpy(dtype=np.int64)
    return np.array([label_text(v) for v in target.astype(object)], dtype=np.str_)
