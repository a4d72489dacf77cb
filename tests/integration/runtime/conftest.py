"""What the tests of the runtime share: an S3 server with buckets, and a TrainingJob's pod."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.integration.runtime.programs import Ended, S3Server, run_runtime, start_runtime


@dataclass
class Pod:
    """The containers of a TrainingJob's pod, run one by one, and the pods that serve its model."""

    store: S3Server
    folder: Path
    spec: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self, **more: str) -> dict[str, str]:
        job = {"name": "churn-1", "namespace": "growth", "uid": "u-1", "spec": self.spec}
        environment = self.environment or self.store.environment()
        return {"TIDEGATE_JOB": json.dumps(job), **environment, **more}

    def arguments(self, stage: str, *options: str) -> list[str]:
        return ["job", stage, "--work", str(self.folder / "work"), *options]

    def run(self, stage: str, *options: str) -> Ended:
        return run_runtime(self.arguments(stage, *options), self.variables(), self.log)

    def start(self, stage: str, *options: str) -> "subprocess.Popen[str]":
        return start_runtime(self.arguments(stage, *options), self.variables(), self.log)

    def run_all(self) -> Ended:
        for stage in ("fetch", "validate", "train", "publish"):
            end = self.run(stage)
            assert end.code == 0, end.output
        return end

    def fetch_model(self, digest: str, *options: str) -> Ended:
        self.models.mkdir(exist_ok=True)
        arguments = ["fetch-model", "--uri", "s3://models/churn/churn-1/", "--digest", digest]
        arguments += ["--out", str(self.models), *options]
        return run_runtime(arguments, self.environment or self.store.environment(), self.log)

    @property
    def log(self) -> Path:
        return self.folder / "termination-log"

    @property
    def models(self) -> Path:
        return self.folder / "models"


@pytest.fixture
def pod(store: S3Server, tmp_path: Path) -> Pod:
    return Pod(store, tmp_path)
