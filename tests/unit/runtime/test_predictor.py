import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.testing
import pytest
import skops.io
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from tests.unit.runtime.jobs import job, people, workspace

from tidegate.errors import TerminalError
from tidegate.runtime.predictor import load
from tidegate.runtime.train import train

FILES = {"Skops": "model.skops", "ONNX": "model.onnx", "Joblib": "model.joblib"}
ROWS = np.arange(6.0).reshape(3, 2)


class Foreign(LinearRegression):  # type: ignore[misc]  # scikit-learn has no types
    pass


def folder(path: Path, form: str = "Skops") -> Path:
    manifest = {
        "version": 1,
        "format": form,
        "task": "regression",
        "features": ["a", "b"],
        "kinds": {"a": "number", "b": "number"},
        "classes": [],
        "target": "y",
    }
    (path / "tidegate.json").write_text(json.dumps(manifest))
    return path


def pipeline(prepare: Any = "passthrough", model: Any = None) -> Pipeline:
    made = Pipeline([("prepare", prepare), ("model", model or LinearRegression())])
    return made.fit(ROWS, ROWS[:, 0])


def reason(path: Path, *, allow_unsafe: bool = False) -> str:
    with pytest.raises(TerminalError) as caught:
        load(path, allow_unsafe=allow_unsafe)
    return caught.value.reason


def test_loads_what_training_would_write(tmp_path: Path) -> None:
    skops.io.dump(pipeline(), folder(tmp_path) / "model.skops")
    answer = load(tmp_path, allow_unsafe=False).predict({"b": [1, 3], "a": [0, 2]})
    assert answer.values == pytest.approx([0, 2])
    assert answer.probabilities is None


def test_refuses_classes_of_other_packages(tmp_path: Path) -> None:
    skops.io.dump(pipeline(model=Foreign()), folder(tmp_path) / "model.skops")
    assert reason(tmp_path) == "UnsafeFormat"


def test_refuses_functions_even_of_numpy(tmp_path: Path) -> None:
    # numpy.testing.rundocs and its like run what they are given: a name's package is not enough.
    function = FunctionTransformer(numpy.testing.assert_equal)
    made = Pipeline([("prepare", function), ("model", LinearRegression())])
    skops.io.dump(made, folder(tmp_path) / "model.skops")
    assert reason(tmp_path) == "UnsafeFormat"


def test_refuses_joblib_unless_it_was_accepted(tmp_path: Path) -> None:
    joblib.dump(pipeline(), folder(tmp_path, "Joblib") / "model.joblib")
    assert reason(tmp_path) == "UnsafeFormat"
    assert load(tmp_path, allow_unsafe=True).predict({"a": [5], "b": [6]}).values[0] == (
        pytest.approx(5)
    )


def test_refuses_another_format_than_the_one_that_was_asked_for(tmp_path: Path) -> None:
    skops.io.dump(pipeline(), folder(tmp_path) / "model.skops")
    assert load(tmp_path, allow_unsafe=False, wanted="Skops").manifest.format == "Skops"
    with pytest.raises(TerminalError, match=r"stored as Skops, and artifact\.format says ONNX"):
        load(tmp_path, allow_unsafe=False, wanted="ONNX")


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 half a zip"])
def test_a_corrupted_file_is_told_as_that(tmp_path: Path, form: str, content: bytes) -> None:
    (folder(tmp_path, form) / FILES[form]).write_bytes(content)
    assert reason(tmp_path, allow_unsafe=True) == "ArtifactInvalid"


def test_a_missing_file_is_told_as_that(tmp_path: Path) -> None:
    assert reason(folder(tmp_path)) == "ArtifactInvalid"


def test_something_else_than_a_pipeline_is_refused(tmp_path: Path) -> None:
    skops.io.dump(LinearRegression(), folder(tmp_path) / "model.skops")
    assert reason(tmp_path) == "ArtifactInvalid"


@pytest.mark.parametrize(
    "estimator",
    [
        "sklearn.ensemble.HistGradientBoostingClassifier",
        "sklearn.tree.DecisionTreeClassifier",
        "sklearn.neighbors.KNeighborsClassifier",
        "sklearn.neural_network.MLPClassifier",
    ],
)
def test_what_scikit_learn_makes_is_trusted(tmp_path: Path, estimator: str) -> None:
    parameters = {"max_iter": 2000, "learning_rate_init": 0.05} if "MLP" in estimator else {}
    made = job(estimator, sklearn={"parameters": parameters}, data={"features": ["score", "plan"]})
    line = train(made, workspace(tmp_path, train=people(120)))
    assert line["metrics"]
