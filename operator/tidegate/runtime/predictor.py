"""A loaded model: the one object that training evaluates and the server asks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import Format
from tidegate.errors import TerminalError
from tidegate.evidence.encode import Column
from tidegate.runtime.artifact import Manifest
from tidegate.runtime.features import matrix


class Answer(NamedTuple):
    """What a model says of some rows."""

    values: NDArray[Any]
    """Labels or numbers, one for each row."""
    probabilities: NDArray[np.float64] | None
    """A row of class probabilities for each row; None where the model has none."""


class Engine(Protocol):
    """A model in one of the formats."""

    def predict(
        self, rows: NDArray[Any], *, probabilities: bool
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        """Values, and if they are wanted probabilities, where the model has them."""


class Predictor:
    """Feeds columns to a model in the order and form that it was trained with."""

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self.manifest = manifest
        self._engine = engine

    def predict(self, columns: Mapping[str, Column], *, probabilities: bool = True) -> Answer:
        """Raise ValueError where the values are none that the model can take."""
        rows = matrix(columns, self.manifest.features, self.manifest.kinds)
        return Answer(*self._engine.predict(rows, probabilities=probabilities))


def load(folder: Path, *, allow_unsafe: bool, wanted: Format | None = None) -> Predictor:
    """The model of a verified folder; raise TerminalError if it can't be used.

    `wanted`: the only format that will do.
    """
    manifest = Manifest.read(folder)
    if wanted is not None and manifest.format != wanted:
        message = (
            f"the model is stored as {manifest.format}, and artifact.format says {wanted}; "
            f"set artifact.format to {manifest.format}, or publish it as {wanted}"
        )
        raise TerminalError(Reason.ARTIFACT_INVALID, message)
    if manifest.format == "Joblib" and not allow_unsafe:
        message = (
            "the model is stored as Joblib, which runs code when it is loaded; "
            "set artifact.allowUnsafe to accept that, or publish it as Skops"
        )
        raise TerminalError(Reason.UNSAFE_FORMAT, message)
    path = folder / manifest.model_file
    if not path.is_file():
        message = f"{manifest.model_file} is missing, though {manifest.format} is the format"
        raise TerminalError(Reason.ARTIFACT_INVALID, message)
    return Predictor(manifest, _engine(path, manifest))


def _engine(path: Path, manifest: Manifest) -> Engine:
    # Imported here: a pod that serves one format need not hold the libraries of the others.
    if manifest.format == "ONNX":
        from tidegate.runtime.onnx_model import OnnxModel

        return OnnxModel(path, manifest.kinds, manifest.features)
    from tidegate.runtime.sklearn_model import SklearnModel, load_joblib, load_skops

    load_file = load_skops if manifest.format == "Skops" else load_joblib
    return SklearnModel(load_file(path))
