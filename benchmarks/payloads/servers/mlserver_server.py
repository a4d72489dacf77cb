"""MLServer with its sklearn runtime: arguments are a port and an empty folder."""

import json
import os
import sys

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

port, folder = int(sys.argv[1]), sys.argv[2]
rows = np.array([[1.0, 2.0], [2.0, 1.0], [5.0, 6.0], [6.0, 5.0]])
joblib.dump(LogisticRegression().fit(rows, [0, 0, 1, 1]), os.path.join(folder, "model.joblib"))
ports = {"http_port": port, "grpc_port": 0, "metrics_port": 0, "metrics_endpoint": None}
settings = {"host": "127.0.0.1", "debug": False, "parallel_workers": 0, **ports}
model = {
    "name": "m",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": "./model.joblib"},
}
for name, content in (("settings", settings), ("model-settings", model)):
    with open(os.path.join(folder, f"{name}.json"), "w") as file:
        json.dump(content, file)
os.execvp("mlserver", ["mlserver", "start", folder])
