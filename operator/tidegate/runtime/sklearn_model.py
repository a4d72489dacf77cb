"""Models that scikit-learn runs: skops files, where only known classes load, and joblib files."""

import importlib
import inspect
import re
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import joblib
import numpy as np
import sklearn
import skops.io
from numpy.typing import NDArray

from tidegate.api.names import Reason
from tidegate.errors import TerminalError

TRUSTED_PACKAGES = ("sklearn", "numpy", "scipy")
SKOPS_SCHEMA = "schema.json"
NAMED = re.compile(r'"__id__": (?P<object>\d+)|"(?P<text>(?:[^"\\]|\\.)*)"')  # or any string


class SklearnModel:
    """A fitted pipeline of the steps `prepare` and `model`."""

    def __init__(self, pipeline: Any) -> None:
        self._prepare = pipeline.named_steps["prepare"]
        self._model = pipeline.named_steps["model"]

    def predict(
        self, rows: NDArray[Any], *, probabilities: bool
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        # Parameters were checked when the model was fitted; checking again costs a third of the
        # time of a single row.
        with sklearn.config_context(skip_parameter_validation=True):
            return self._predict(rows, probabilities=probabilities)

    def _predict(
        self, rows: NDArray[Any], *, probabilities: bool
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        # The preparation is shared by the two answers: it takes most of the time of a small model.
        ready = rows if isinstance(self._prepare, str) else self._prepare.transform(rows)
        values = self._model.predict(ready)
        if not probabilities or not hasattr(self._model, "predict_proba"):
            return values, None
        return values, self._model.predict_proba(ready)


def save_skops(pipeline: Any, path: Path) -> None:
    """Write the pipeline in a form that holds no code; equal pipelines become equal files."""
    with ZipFile(BytesIO(skops.io.dumps(pipeline))) as written, ZipFile(path, "w") as file:
        # skops names arrays and numbers objects by where they lie in memory, another place each
        # time. The digest of a model would change with every training, and with it its name.
        arrays = [name for name in written.namelist() if name != SKOPS_SCHEMA]
        settled = {name: f"{number}{Path(name).suffix}" for number, name in enumerate(arrays)}
        for name in arrays:
            file.writestr(ZipInfo(settled[name]), written.read(name))
        objects: dict[str, int] = {}

        def settle(found: re.Match[str]) -> str:
            if found["object"] is not None:
                return f'"__id__": {objects.setdefault(found["object"], len(objects))}'
            return f'"{settled.get(found["text"], found["text"])}"'

        file.writestr(ZipInfo(SKOPS_SCHEMA), NAMED.sub(settle, written.read(SKOPS_SCHEMA).decode()))


def save_joblib(pipeline: Any, path: Path) -> None:
    """Write the pipeline as a pickle."""
    joblib.dump(pipeline, path)


def load_skops(path: Path) -> Any:
    """Read a skops file; refuse it if it names anything but classes of the trusted packages."""
    try:
        unknown = skops.io.get_untrusted_types(file=path)
        refused = sorted(name for name in unknown if not _trusted(name))
        if not refused:
            return _pipeline(skops.io.load(path, trusted=sorted(unknown)), path)
    except TerminalError:
        raise
    except Exception as error:  # what a reader raises over a broken file is no closed list
        raise _corrupted(path, error) from error
    message = f"{path.name} holds types that are not trusted: {', '.join(refused[:10])}"
    raise TerminalError(Reason.UNSAFE_FORMAT, message)


def load_joblib(path: Path) -> Any:
    """Read a pickle: this runs whatever code its author put there."""
    try:
        return _pipeline(joblib.load(path), path)
    except TerminalError:
        raise
    except Exception as error:  # what a reader raises over a broken file is no closed list
        raise _corrupted(path, error) from error


def _trusted(name: str) -> bool:
    """Whether the name is a class of a trusted package.

    Functions are not: numpy itself has some that run text as code (`numpy.testing`).
    """
    if name.partition(".")[0] not in TRUSTED_PACKAGES:
        return False
    module, _, attribute = name.rpartition(".")
    try:
        return inspect.isclass(getattr(importlib.import_module(module), attribute, None))
    except ImportError:
        return False


def _pipeline(model: Any, path: Path) -> Any:
    steps = getattr(model, "named_steps", None)
    if steps is None or set(steps) != {"prepare", "model"}:
        message = f"{path.name} holds no pipeline of the steps prepare and model"
        raise TerminalError(Reason.ARTIFACT_INVALID, message)
    return model


def _corrupted(path: Path, error: Exception) -> TerminalError:
    message = f"{path.name} is corrupted, or of another version of scikit-learn: {error!r}"
    return TerminalError(Reason.ARTIFACT_INVALID, message)
