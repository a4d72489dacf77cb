"""The reference rows: a sample of the training rows, published beside the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
from numpy.typing import NDArray

from tidegate.api.names import Reason
from tidegate.errors import TerminalError
from tidegate.evidence.encode import Column, label_text, numbers
from tidegate.evidence.profile import Kind

REFERENCE = "reference.parquet"
VALUES_LIMIT = 2_000_000  # of the sample: a thousand features must not make a large file


def write_reference(
    path: Path, columns: Mapping[str, Column], kinds: Mapping[str, Kind], rows: int, seed: int
) -> None:
    """Write at most so many rows, drawn at random; no file for none."""
    rows = min(rows, VALUES_LIMIT // max(len(columns), 1))
    if rows == 0:
        return
    every = len(next(iter(columns.values())))
    drawn = np.random.default_rng(seed).permutation(every)[:rows]
    sample = {
        name: _plain([column[i] for i in drawn], kinds[name]) for name, column in columns.items()
    }
    pd.DataFrame(sample).to_parquet(path, index=False, compression="zstd")


def read_reference(path: Path) -> dict[str, NDArray[Any]]:
    """The columns by name; TerminalError if there are none to compare with."""
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError as error:
        message = (
            f"the model was published without {REFERENCE}: train it again with "
            "spec.output.referenceRows larger than 0, or put the file into its folder"
        )
        raise TerminalError(Reason.ARTIFACT_INVALID, message) from error
    except (ValueError, OSError, pyarrow.ArrowException) as error:
        message = f"{REFERENCE} can't be read: {error}"
        raise TerminalError(Reason.ARTIFACT_INVALID, message) from error
    return {str(name): np.asarray(frame[name]) for name in frame.columns}


def _plain(values: Sequence[Any], kind: Kind) -> NDArray[Any]:
    """Single precision, or labels as text: what is compared of a value, and no more."""
    if kind == "number":
        return numbers(values)[0].astype(np.float32)
    return np.array([label_text(v) for v in values], dtype=np.object_)
