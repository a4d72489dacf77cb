"""Models that ONNX Runtime runs: one input tensor for each feature, named by its position."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
)
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as OnnxNotImplemented

from tidegate.api.names import Reason
from tidegate.errors import TerminalError
from tidegate.evidence.profile import Kind

PROBABILITIES = "tidegate_probabilities"
"""The key of the file's metadata that says `true` where the second output is probabilities."""


def input_name(index: int) -> str:
    """The input of the feature at a position; a feature's own name may be none that ONNX takes."""
    return f"feature_{index}"


class OnnxModel:
    """A session over the exported pipeline."""

    def __init__(self, path: Path, kinds: Mapping[str, Kind], features: Sequence[str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # small batches: more threads only wait for each other
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, OnnxNotImplemented) as error:
            message = f"{path.name} is corrupted, or no model that ONNX Runtime knows: {error}"
            raise TerminalError(Reason.ARTIFACT_INVALID, message) from error
        wanted = {input_name(i) for i in range(len(features))}
        if {i.name for i in self._session.get_inputs()} != wanted:
            message = f"{path.name} does not take one input for each of {len(features)} features"
            raise TerminalError(Reason.ARTIFACT_INVALID, message)
        self._types = [np.float32 if kinds[name] == "number" else np.object_ for name in features]
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._has_probabilities = metadata.get(PROBABILITIES) == "true"

    def predict(
        self, rows: NDArray[Any], *, probabilities: bool
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        feed = {input_name(i): rows[:, [i]].astype(kind) for i, kind in enumerate(self._types)}
        outputs = self._session.run(None, feed)
        values = np.asarray(outputs[0]).reshape(-1)
        if not probabilities or not self._has_probabilities:
            return values, None
        # Single precision leaves shares such as -1e-7 and 1.0000001, and sums such as 0.9999998:
        # metrics refuse them as no probabilities.
        found = np.asarray(outputs[1], dtype=np.float64).clip(min=0.0)
        return values, found / found.sum(axis=1, keepdims=True)
