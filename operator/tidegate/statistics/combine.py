"""Several metrics, one decision: e-values may be averaged whatever depends on whatever."""

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray


def combine(log_e: Collection[float], weights: Collection[float]) -> float:
    """The evidence of the weighted mean of e-values, in nats.

    Formula: `ln sum_i w_i exp(log_e_i)`, weights scaled to sum 1. A mean of e-values is an e-value
    under any dependence, and reaches 1/alpha no later than the union bound does.
    Source: V. Vovk, R. Wang, Annals of Statistics 49 (2021).

    >>> float(np.exp(combine(np.log([300.0, 100.0]), [1, 3])).round(6))
    150.0
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError(f"weights must be >= 0 and not all 0, got {list(weights)}")
    each = zip(log_e, weights, strict=True)
    evidence = [e + math.log(w / total) for e, w in each if w > 0]
    most = max(evidence)
    if math.isinf(most):
        return most
    return most + math.log(sum(math.exp(e - most) for e in evidence))


def e_bh(log_e: ArrayLike, alpha: float) -> NDArray[np.intp]:
    """Which metrics to blame: indices, strongest first, false discovery rate at most alpha.

    Formula: the k largest, for the greatest k with `e_(k) >= M / (alpha k)`.
    Source: R. Wang, A. Ramdas, JRSS B 84 (2022) (e-BH, any dependence).

    >>> e_bh([0.1, 9.0, 4.5], alpha=0.05).tolist()
    [1, 2]
    """
    evidence = np.asarray(log_e, dtype=np.float64)
    order = np.argsort(-evidence, kind="stable")
    bar = np.log(evidence.size / (alpha * np.arange(1, evidence.size + 1)))
    passing = np.flatnonzero(evidence[order] >= bar)
    return order[: passing[-1] + 1] if passing.size else order[:0]
