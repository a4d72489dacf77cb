"""Builders for the tests of the runtime: a job, its folder with tables, a trained model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tidegate.api.v1alpha1.training_job import TrainingJobSpec
from tidegate.runtime.job import Job, Workspace


def people(rows: int = 200) -> pd.DataFrame:
    """A number, a category and a boolean that tell a text label, and a number to regress on."""
    rng = np.random.default_rng(3)
    age = rng.integers(18, 80, rows).astype(float)
    plan = rng.choice(["basic", "pro"], rows)
    paid = rng.random(rows) < 0.5
    score = age / 20 + (plan == "pro") + rng.normal(0, 0.3, rows)
    label = np.where(score > 3, "yes", "no")
    return pd.DataFrame({"age": age, "plan": plan, "paid": paid, "score": score, "label": label})


def job(estimator: str = "sklearn.linear_model.LogisticRegression", **more: Any) -> Job:
    """A job on the train table; `data`, `sklearn` and `output` add to these parts of the spec."""
    spec = {
        "data": {
            "inputs": [{"name": "train", "uri": "s3://data/train.csv"}],
            "target": "label",
            **more.pop("data", {}),
        },
        "trainer": {"sklearn": {"estimator": estimator, **more.pop("sklearn", {})}},
        "output": {"uri": "s3://models/", **more.pop("output", {})},
        **more,
    }
    return Job("churn-1", "growth", "u-1", TrainingJobSpec.model_validate(spec))


def workspace(folder: Path, **frames: pd.DataFrame) -> Workspace:
    """A pod's shared folder after `fetch`."""
    work = Workspace(folder)
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.to_csv(data / f"{name}.csv", index=False)
    return work


def state(folder: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "state" / f"{stage}.json").read_text())
    return found
