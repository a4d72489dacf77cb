"""Export of a fitted pipeline to ONNX."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from tidegate.api.names import Reason
from tidegate.evidence.profile import Kind
from tidegate.runtime.onnx_model import PROBABILITIES, input_name
from tidegate.runtime.outcome import StageError


def save_onnx(pipeline: Any, path: Path, kinds: Sequence[Kind]) -> None:
    """Write the pipeline as a graph that takes one column for each feature."""
    inputs = [
        (
            input_name(index),
            FloatTensorType([None, 1]) if kind == "number" else StringTensorType([None, 1]),
        )
        for index, kind in enumerate(kinds)
    ]
    classifier = hasattr(pipeline, "classes_")
    # Without this, probabilities would be a list of dictionaries: slow, and no tensor.
    options = {"zipmap": False} if classifier else None
    try:
        graph = to_onnx(pipeline, initial_types=inputs, options=options)
    except Exception as error:  # each estimator's converter raises what it likes
        what = type(pipeline.named_steps["model"]).__name__
        message = (
            f"{what} can't be exported to ONNX with the installed skl2onnx; use the format Skops "
            f"({type(error).__name__}: {str(error)[:200]})"
        )
        raise StageError(Reason.TRAINING_FAILED, message, field="spec.output.format") from error
    entry = graph.metadata_props.add()
    entry.key = PROBABILITIES
    entry.value = "true" if classifier and hasattr(pipeline, "predict_proba") else "false"
    path.write_bytes(graph.SerializeToString())
