"""Metrics of held-out rows, and the bounds (gates) that they must keep."""

from collections.abc import Sequence
from decimal import Decimal
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import Gate, GateMetric
from tidegate.runtime.outcome import StageError


def classification_scores(
    truth: NDArray[np.int64],
    said: NDArray[np.int64],
    proba: NDArray[np.float64] | None,
    labels: int,
) -> dict[str, float]:
    """The scores of a classifier; classes are indexes, a label it can't know is -1 in `truth`."""
    present = sorted(set(truth.tolist()) - {-1})
    average = {"average": "macro", "labels": present, "zero_division": 0.0}
    scores = {
        "accuracy": float(np.mean(truth == said)),
        "balanced_accuracy": float(sk.recall_score(truth, said, **average)),
        "f1": float(sk.f1_score(truth == 1, said == 1, zero_division=0.0))
        if labels == 2
        else float(sk.f1_score(truth, said, **average)),
    }
    known = truth >= 0
    if proba is not None and known.any():
        scores["log_loss"] = float(
            sk.log_loss(truth[known], proba[known], labels=list(range(labels)))
        )
        if len(present) == labels:
            positive = proba[known, 1] if labels == 2 else proba[known]
            scores["roc_auc"] = float(sk.roc_auc_score(truth[known], positive, multi_class="ovr"))
    return _finite(scores)


def regression_scores(truth: NDArray[np.float64], said: NDArray[np.float64]) -> dict[str, float]:
    """The scores of a regressor."""
    scores = {
        "mae": float(sk.mean_absolute_error(truth, said)),
        "rmse": float(sk.root_mean_squared_error(truth, said)),
    }
    if len(truth) > 1:  # r2 compares with the spread, which one row does not have
        scores["r2"] = float(sk.r2_score(truth, said))
    return _finite(scores)


def _finite(scores: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if isfinite(value)}


def check_gates(gates: Sequence[Gate], scores: dict[str, float]) -> None:
    """Raise StageError for the first metric that is beyond its bound."""
    for index, gate in enumerate(gates):
        for position, bound in enumerate(gate.metrics):
            field = f"spec.gates[{index}].metrics[{position}]"
            if bound.name not in scores:
                message = (
                    f"gate {gate.name} wants {bound.name}, which was not measured; "
                    f"metrics.json has {', '.join(sorted(scores))}"
                )
                raise StageError(Reason.METRICS_MISSING, message, field=f"{field}.name")
            _check_bound(gate.name, bound, scores[bound.name], field)


def _check_bound(gate: str, bound: GateMetric, value: float, field: str) -> None:
    measured = Decimal(repr(value))
    if bound.min is not None and measured < Decimal(bound.min):
        wanted, limit = "at least", bound.min
    elif bound.max is not None and measured > Decimal(bound.max):
        wanted, limit = "at most", bound.max
    else:
        return
    message = (
        f"gate {gate}: {bound.name} is {value:.6g}, {wanted} {limit} is required; nothing was "
        "published: better data or parameters are needed, or another bound"
    )
    raise StageError(Reason.GATE_FAILED, message, field=field)
