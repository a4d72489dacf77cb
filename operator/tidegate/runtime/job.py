"""What the stages of a TrainingJob's pod share: the job, and the folder they hand files on in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import Input, TrainingJobSpec
from tidegate.errors import TerminalError

VARIABLE = "TIDEGATE_JOB"


@dataclass(frozen=True, slots=True)
class Job:
    """The TrainingJob as its pod sees it."""

    name: str
    namespace: str
    uid: str
    spec: TrainingJobSpec

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Job":
        """The job that the operator put into the pod's environment."""
        try:
            data = json.loads(environment[VARIABLE])
            spec = TrainingJobSpec.model_validate(data["spec"])
            return cls(data["name"], data["namespace"], data["uid"], spec)
        except (KeyError, ValueError, TypeError, ValidationError) as error:
            message = f"the environment variable {VARIABLE} holds no TrainingJob: {error}"
            raise TerminalError(Reason.INVALID_SPEC, message) from error

    @property
    def output_uri(self) -> str:
        """The folder that the model is published to."""
        return f"{self.spec.output.uri}{self.name}/"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder that the pod's containers share."""

    root: Path

    def table(self, source: Input) -> Path:
        """Where the table of an input lies."""
        return self._made("data") / f"{source.name}{Path(source.uri).suffix}"

    @property
    def out(self) -> Path:
        """The files to publish."""
        return self._made("out")

    def clear_out(self) -> None:
        """Forget the files of an earlier try: `publish` uploads all that is there."""
        for path in self.out.iterdir():
            path.unlink()

    def remember(self, stage: str, facts: Mapping[str, Any]) -> None:
        """Keep what a later stage must know."""
        (self._made("state") / f"{stage}.json").write_text(json.dumps(facts))

    def recall(self, stage: str) -> dict[str, Any]:
        """What an earlier stage kept."""
        try:
            facts: dict[str, Any] = json.loads((self._made("state") / f"{stage}.json").read_text())
        except FileNotFoundError as error:
            message = f"the stage {stage} has not run in this pod"
            raise TerminalError(Reason.JOB_FAILED, message) from error
        return facts

    def _made(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path
