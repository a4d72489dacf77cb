"""From tables in the object store to a model that answers, with the real programs."""

import hashlib
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from tests.integration.runtime import tables
from tests.integration.runtime.conftest import Pod
from tests.integration.runtime.programs import start_runtime, wait_for_port
from tests.patience import DEADLINE_SECONDS
from tests.ports import free_port

from tidegate.evidence.profile import Profile
from tidegate.runtime.predictor import load

pytestmark = pytest.mark.s3


@contextmanager
def served(models: Path, log: Path, *options: str) -> Iterator[httpx.Client]:
    port = free_port()
    arguments = ["serve", "--model-dir", str(models), "--name", "churn", "--host", "127.0.0.1"]
    arguments += ["--port", str(port), "--drain", "0s", *options]
    process = start_runtime(arguments, {}, log)
    try:
        wait_for_port(port)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, output


def infer(client: httpx.Client, name: str, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Ask for all rows, one tensor for each column."""
    columns = {
        column: [None if pd.isna(v) else v for v in frame[column].tolist()] for column in frame
    }
    tensors = [
        {"name": c, "shape": [len(v)], "datatype": "BYTES", "data": v} for c, v in columns.items()
    ]
    answer = client.post(f"/v2/models/{name}/infer", json={"inputs": tensors, "id": "r-1"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == "r-1"
    outputs: list[dict[str, Any]] = answer.json()["outputs"]
    return outputs


def test_breast_cancer_from_csv_to_an_answer(pod: Pod) -> None:
    frame = tables.breast_cancer()
    body = tables.csv(frame)
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    pod.store.put("data", "train.csv", body)
    pod.spec = tables.spec(
        "sklearn.linear_model.LogisticRegression",
        crossValidation={"folds": 3, "metric": "accuracy"},
        gates=[{"name": "floor", "metrics": [{"name": "accuracy", "min": "0.9"}]}],
    )
    pod.spec["data"]["inputs"][0]["digest"] = digest
    published = pod.run_all().line
    assert published["inputs"] == {"train": digest}
    assert published["uri"] == "s3://models/churn/churn-1/"
    assert published["format"] == "Skops"
    assert published["seed"] == 42
    assert published["metrics"]["accuracy"] > 0.95
    assert {"cv_accuracy_mean", "cv_accuracy_std", "roc_auc"} <= set(published["metrics"])
    assert pod.fetch_model(published["digest"]).code == 0
    profile = Profile.from_json(json.loads((pod.models / "profile.json").read_text()))
    assert profile.rows == 455
    assert profile.metrics == published["metrics"]
    assert sum(profile.predictions.counts.values()) == 114
    rows = frame.drop(columns="target").head(50)
    expected = load(pod.models, allow_unsafe=False).predict(
        {str(c): rows[c].to_numpy() for c in rows}
    )
    with served(pod.models, pod.log) as client:
        flat = rows.to_numpy().ravel().tolist()
        tensor = {"name": "rows", "shape": list(rows.shape), "datatype": "FP64", "data": flat}
        answer = client.post("/v2/models/churn/infer", json={"inputs": [tensor]}).json()
        labels, probabilities = answer["outputs"]
        assert labels["name"] == "predict"
        assert labels["datatype"] == "INT64"
        assert labels["data"] == expected.values.tolist()
        assert probabilities["shape"] == [50, 2]
        assert infer(client, "churn", rows)[0]["data"] == labels["data"]
        instances = {"instances": rows.to_numpy().tolist()}
        v1 = client.post("/v1/models/churn:predict", json=instances).json()
        assert v1 == {"predictions": labels["data"]}


def test_diabetes_from_parquet_as_onnx(pod: Pod) -> None:
    frame = tables.diabetes()
    pod.store.put("data", "train.parquet", tables.parquet(frame))
    pod.spec = tables.spec("sklearn.linear_model.Ridge", uri="s3://data/train.parquet")
    pod.spec["output"]["format"] = "ONNX"
    published = pod.run_all().line
    assert set(published["metrics"]) == {"r2", "mae", "rmse"}
    assert published["metrics"]["r2"] > 0.3
    assert pod.fetch_model(published["digest"]).code == 0
    with served(pod.models, pod.log) as client:
        (said,) = infer(client, "churn", frame.drop(columns="target").head(20))
    assert said["datatype"] == "FP64"
    assert max(abs(a - b) for a, b in zip(said["data"], frame["target"], strict=False)) < 250


@pytest.mark.parametrize(
    ("form", "options"),
    [("Skops", ()), ("ONNX", ()), ("Joblib", ("--allow-unsafe",))],
)
def test_categories_gaps_and_text_labels(pod: Pod, form: str, options: tuple[str, ...]) -> None:
    frame = tables.customers()
    pod.store.put("data", "train.csv", tables.csv(frame[:300]))
    pod.store.put("data", "test.csv", tables.csv(frame[300:]))
    pod.spec = tables.spec("sklearn.ensemble.RandomForestClassifier", target="churned")
    pod.spec["data"]["inputs"].append({"name": "test", "uri": "s3://data/test.csv"})
    pod.spec["trainer"]["sklearn"]["parameters"] = {"n_estimators": 20, "max_depth": 4}
    pod.spec["output"]["format"] = form
    published = pod.run_all().line
    assert published["metrics"]["accuracy"] > 0.6
    assert pod.fetch_model(published["digest"]).code == 0
    with served(pod.models, pod.log, *options) as client:
        labels, probabilities = infer(client, "churn", frame[300:].drop(columns="churned"))
        assert labels["datatype"] == "BYTES"
        assert set(labels["data"]) == {"yes", "no"}
        assert probabilities["shape"] == [100, 2]
        agreed = sum(a == b for a, b in zip(labels["data"], frame["churned"][300:], strict=True))
        assert agreed / 100 == pytest.approx(published["metrics"]["accuracy"])
        row = {"tenure": None, "plan": "never seen", "paperless": True}
        v1 = client.post("/v1/models/churn:predict", json={"instances": [row]})
        assert v1.json()["predictions"][0] in ("yes", "no")


def test_joblib_is_refused_unless_accepted(pod: Pod) -> None:
    pod.store.put("data", "train.csv", tables.csv(tables.diabetes()))
    pod.spec = tables.spec("sklearn.linear_model.Ridge")
    pod.spec["output"]["format"] = "Joblib"
    assert pod.fetch_model(pod.run_all().line["digest"]).code == 0
    process = start_runtime(
        ["serve", "--model-dir", str(pod.models), "--name", "churn"], {}, pod.log
    )
    process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 64
    assert json.loads(pod.log.read_text())["reason"] == "UnsafeFormat"
