"""The model that is served, the same for each protocol: what it is, what it says, how much at once.

A request is a mapping as Open Inference Protocol v2 writes it in JSON, whatever it came as.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from tidegate.runtime.predictor import Predictor
from tidegate.runtime.serve import payload

IN_FLIGHT_BYTES = 64 << 20  # bodies held at once, all requests together; above it clients get 503


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for."""

    body_bytes: int = 4 << 20
    rows: int = 10_000


class RequestError(Exception):
    """A request that is answered with an error; `status` is HTTP's code for it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ServedModel:
    """Answers for one model; predictions run in a thread, so that health answers stay quick."""

    def __init__(self, name: str, predictor: Predictor, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.draining = False
        self._predictor = predictor
        self._manifest = predictor.manifest
        # One thread: scikit-learn holds the interpreter's lock most of the time, two would only
        # take turns, and a request in the queue costs less than one that is half done.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._held_bytes = 0

    def server_metadata(self) -> dict[str, Any]:
        return {"name": "tidegate", "version": version("tidegate"), "extensions": []}

    def metadata(self) -> dict[str, Any]:
        """The features with their datatypes, and the outputs."""
        manifest = self._manifest
        kinds = {"number": "FP64", "category": "BYTES"}
        outputs = [{"name": payload.LABELS, "datatype": self._label_datatype(), "shape": [-1]}]
        if manifest.task == "classification":
            shape = [-1, len(manifest.classes)]
            outputs.append({"name": payload.PROBABILITIES, "datatype": "FP64", "shape": shape})
        return {
            "name": self.name,
            "platform": f"tidegate_{manifest.format.lower()}",
            "inputs": [
                {"name": name, "datatype": kinds[manifest.kinds[name]], "shape": [-1]}
                for name in manifest.features
            ],
            "outputs": outputs,
        }

    def infer(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of Open Inference Protocol v2; raise ValueError if the request is none."""
        wanted = payload.wanted_outputs(data)
        columns = payload.columns_of_tensors(data, self._manifest, self.limits.rows)
        probabilities = wanted is None or payload.PROBABILITIES in wanted
        said = self._predictor.predict(columns, probabilities=probabilities)
        tensors = payload.tensors_of(said)
        answer: dict[str, Any] = {"model_name": self.name}
        if "id" in data:
            answer["id"] = data["id"]
        answer["outputs"] = [t for t in tensors if wanted is None or t["name"] in wanted]
        return answer

    def predict(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of KServe V1; raise ValueError if the request is none."""
        columns = payload.columns_of_instances(data, self._manifest, self.limits.rows)
        # A forest would walk all its trees twice for probabilities that nobody sees.
        said = self._predictor.predict(columns, probabilities=False)
        return {"predictions": said.values.tolist()}

    async def work(self, task: Callable[[], bytes]) -> bytes:
        """What the task gives, run when those before it are done."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, task)
        except ValueError as error:  # the payload's own complaints, and the model's
            raise RequestError(400, str(error)) from error

    def hold(self, size: int) -> None:
        """Make room for so many more bytes of bodies; raise RequestError, and hold none, if full.

        The caller gives them back by `release`.
        """
        if self._held_bytes + size > IN_FLIGHT_BYTES:
            raise RequestError(503, "too many requests are waiting; try again")
        self._held_bytes += size

    def release(self, size: int) -> None:
        self._held_bytes -= size

    def check_name(self, given: str) -> None:
        if given != self.name:
            raise RequestError(404, f"there is no model {given[:100]!r} here, only {self.name!r}")

    def _label_datatype(self) -> str:
        if self._manifest.task == "regression":
            return "FP64"
        return payload.datatype_of(np.array(self._manifest.classes))
