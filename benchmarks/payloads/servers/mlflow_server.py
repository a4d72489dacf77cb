"""`mlflow models serve`, for a model of two features: arguments are a port and an empty folder."""

import os
import sys

import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

port, folder = sys.argv[1:]
frame = pd.DataFrame({"age": [1.0, 2.0, 5.0, 6.0], "income": [2.0, 1.0, 6.0, 5.0]})
labels = [0, 0, 1, 1]
model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(frame, labels)
path = os.path.join(folder, "model")
mlflow.sklearn.save_model(
    model, path, signature=infer_signature(frame, labels), serialization_format="cloudpickle"
)
served = ["--model-uri", path, "--port", port, "--env-manager", "local"]
os.execvp("mlflow", ["mlflow", "models", "serve", *served])
