"""The stage `train`: fit, save, load again as the server would, and measure what was loaded."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils._param_validation import InvalidParameterError

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import CrossValidation
from tidegate.evidence.profile import Profile, make_profile, with_hours
from tidegate.runtime.artifact import MANIFEST, METRICS, MODEL_FILES, PROFILE, Manifest
from tidegate.runtime.dataset import Dataset, make_dataset
from tidegate.runtime.estimator import (
    build,
    invalid_parameter,
    parameters_of,
    task_of,
)
from tidegate.runtime.evaluate import evaluate, ranking_of, scores_of
from tidegate.runtime.job import Job, Workspace
from tidegate.runtime.outcome import StageError
from tidegate.runtime.pipeline import make_pipeline
from tidegate.runtime.predictor import load
from tidegate.runtime.reference import REFERENCE, write_reference
from tidegate.runtime.scores import check_gates
from tidegate.runtime.sklearn_model import save_joblib, save_skops
from tidegate.runtime.tables import kinds_of, read_tables


def train(job: Job, work: Workspace) -> dict[str, object]:
    """Make the files of the model; nothing is kept for `publish` unless all gates hold."""
    spec, seed = job.spec, job.spec.reproducibility.seed
    estimator = build(spec.trainer.sklearn, seed)
    preprocessing = spec.trainer.sklearn.preprocessing
    tables = read_tables(spec.data, work)
    kinds = kinds_of(tables.train, tables.features, preprocessing)
    data = make_dataset(tables, kinds, task_of(estimator), spec.data.holdout, seed)
    print(f"{len(data.train)} rows to learn from, {len(data.held_out)} held out", flush=True)
    pipeline = make_pipeline(estimator, list(kinds.values()), preprocessing)
    crossed = _cross_validate(spec.cross_validation, pipeline, data, seed)
    _fit(pipeline, data.train.matrix(kinds), data.train.target)

    manifest = Manifest(
        format=spec.output.format,
        task=data.task,
        features=tables.features,
        kinds=kinds,
        target=tables.target,
        classes=tuple(np.asarray(getattr(pipeline, "classes_", ())).tolist()),
    )
    work.clear_out()
    _save(pipeline, manifest, work.out)
    answer, scores = evaluate(load(work.out, allow_unsafe=True), data.held_out)
    scores = {**scores, **crossed}
    _write(work.out / METRICS, scores)
    print(f"metrics: {json.dumps(scores)}", flush=True)
    check_gates(spec.gates, scores)
    profile = replace(
        _profile(data, answer.values, scores), ranking=ranking_of(answer, data.held_out, manifest)
    )
    _write(work.out / PROFILE, profile.to_json())
    write_reference(
        work.out / REFERENCE, data.train.columns, kinds, spec.output.reference_rows, seed
    )
    work.remember("train", {"metrics": scores, "packages": packages_digest(), "seed": seed})
    return {"metrics": scores}


def _profile(data: Dataset, predictions: NDArray[Any], scores: Mapping[str, float]) -> Profile:
    """Predictions are those of held-out rows: on its own training rows a model is too sure."""
    train, held_out = data.train, data.held_out
    profile = make_profile(train.columns, data.kinds, predictions, data.task, scores)
    profile = replace(profile, rows=len(train))
    if train.hours is None or held_out.hours is None:
        return profile
    profile = with_hours(profile, train.columns, train.hours, predictions, held_out.hours)
    told = "too few rows, or too many bins" if profile.hours is None else profile.hours.cycle
    print(f"hours in the reference profile: {told}", flush=True)
    return profile


def packages_digest() -> str:
    """The digest of the sorted list of installed Python packages."""
    names = sorted({f"{d.name}=={d.version}".lower() for d in distributions()})
    return f"sha256:{hashlib.sha256(chr(10).join(names).encode()).hexdigest()}"


def _cross_validate(
    spec: CrossValidation | None, pipeline: Any, data: Dataset, seed: int
) -> dict[str, float]:
    if spec is None:
        return {}
    folds = StratifiedKFold if data.task == "classification" else KFold
    rows, target = data.train.matrix(data.kinds), data.train.target
    found = []
    try:
        splits = list(folds(spec.folds, shuffle=True, random_state=seed).split(rows, target))
    except ValueError as error:
        message = f"{len(target)} rows can't be split into {spec.folds} folds: {error}"
        raise StageError(
            Reason.DATA_INVALID, message, field="spec.crossValidation.folds"
        ) from error
    for number, (learn, check) in enumerate(splits, start=1):
        model = clone(pipeline)
        _fit(model, rows[learn], target[learn])
        scores = scores_of(model, rows[check], target[check], data.task)
        if spec.metric not in scores:
            message = f"cross-validation has no metric {spec.metric!r}, only {', '.join(scores)}"
            raise StageError(Reason.PARAMETER_INVALID, message, field="spec.crossValidation.metric")
        found.append(scores[spec.metric])
        print(f"fold {number} of {spec.folds}: {spec.metric} {found[-1]:.6g}", flush=True)
    return {
        f"cv_{spec.metric}_mean": float(np.mean(found)),
        f"cv_{spec.metric}_std": float(np.std(found)),
    }


def _fit(pipeline: Any, rows: Any, target: Any) -> None:
    try:
        pipeline.fit(rows, target)
    except InvalidParameterError as error:
        raise _parameter_error(pipeline, error) from error
    except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
        message = f"the estimator can't be fitted to this data: {error}"
        raise StageError(Reason.TRAINING_FAILED, message, field="spec.trainer.sklearn") from error


def _parameter_error(pipeline: Any, error: Exception) -> StageError:
    """Scikit-learn checks values as it fits; its sentence begins with the parameter's name."""
    model = pipeline.named_steps["model"]
    quoted = str(error).split("'")
    names = parameters_of(model)
    return invalid_parameter(quoted[1] if len(quoted) > 1 else "", str(error), names)


def _save(pipeline: Any, manifest: Manifest, out: Path) -> None:
    path = out / MODEL_FILES[manifest.format]
    _writer(manifest)(pipeline, path)
    _write(out / MANIFEST, manifest.to_json())


def _writer(manifest: Manifest) -> Callable[[Any, Path], None]:
    match manifest.format:
        case "Skops":
            return save_skops
        case "Joblib":
            return save_joblib
        case "ONNX":
            # Imported here: the converter takes seconds to load, and few jobs need it.
            from tidegate.runtime.onnx_export import save_onnx

            kinds = [manifest.kinds[name] for name in manifest.features]
            return lambda pipeline, path: save_onnx(pipeline, path, kinds)


def _write(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, allow_nan=False, indent=1) + "\n")
