"""Tables for the tests: two that ship with scikit-learn, and one with categories and gaps."""

import io
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes


def breast_cancer() -> pd.DataFrame:
    frame: pd.DataFrame = load_breast_cancer(as_frame=True).frame
    return frame


def diabetes() -> pd.DataFrame:
    frame: pd.DataFrame = load_diabetes(as_frame=True).frame
    return frame


def customers(rows: int = 400) -> pd.DataFrame:
    """Numbers with gaps, text with gaps, a boolean; the label is text."""
    rng = np.random.default_rng(7)
    tenure = rng.exponential(20, rows).round(1)
    plan = rng.choice(["basic", "pro", "team"], rows, p=[0.6, 0.3, 0.1])
    paperless = rng.random(rows) < 0.5
    risk = 1.5 - tenure / 15 + (plan == "basic") * 1.5 - paperless * 0.5
    churned = np.where(rng.random(rows) < 1 / (1 + np.exp(-risk)), "yes", "no")
    frame = pd.DataFrame(
        {"tenure": tenure, "plan": plan, "paperless": paperless, "churned": churned}
    )
    frame.loc[rng.random(rows) < 0.1, "tenure"] = np.nan
    frame.loc[rng.random(rows) < 0.1, "plan"] = None
    return frame


def csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def spec(
    estimator: str, *, target: str = "target", uri: str = "s3://data/train.csv", **more: Any
) -> dict[str, Any]:
    """The smallest spec, with other parts of it given by name."""
    return {
        "data": {"inputs": [{"name": "train", "uri": uri}], "target": target},
        "trainer": {"sklearn": {"estimator": estimator}},
        "output": {"uri": "s3://models/churn/"},
        **more,
    }
