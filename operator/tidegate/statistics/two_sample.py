"""Can two samples be told apart? A classifier is asked, and judged on rows that it has not seen."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tidegate.statistics.floats import Floats

HALVINGS = 40  # of the interval that holds a limit: far below the four digits that are shown


def placements(recent: Floats, reference: Floats) -> Floats:
    """For each recent score the share of reference scores below it; ties count half.

    Their mean is the area under the ROC curve (AUC): the chance that of two rows, one of each
    sample, the recent one has the higher score. Source: E. DeLong et al., Biometrics 44 (1988).

    >>> placements(np.array([2.0, 3.0]), np.array([1.0, 2.0])).tolist()
    [0.75, 1.0]
    """
    ordered = np.sort(reference)
    below = np.searchsorted(ordered, recent, side="left")
    not_above = np.searchsorted(ordered, recent, side="right")
    return np.asarray((below + not_above) / (2 * len(ordered)), dtype=np.float64)


def clustering_of(values: Floats, groupings: Iterable[NDArray[np.int64]]) -> float:
    """How many values count as one, because those of a group are alike; at least 1.

    Formula: `sum_g (sum_{i in g} (v_i - v))^2 / sum_i (v_i - v)^2`, the largest of the groupings:
    the design effect of a mean. Source: L. Kish, Survey Sampling (1965).

    >>> groups = np.array([0, 0, 1, 1])
    >>> clustering_of(np.array([0.0, 0.0, 1.0, 1.0]), [groups])
    2.0
    """
    deviations = values - values.mean()
    total = float((deviations**2).sum())
    if total <= 0:
        return 1.0
    return max(1.0, *(float((np.bincount(g, deviations) ** 2).sum()) / total for g in groupings))


def auc_evidence(auc: float, rows: float, bound: float) -> float:
    """The evidence, in nats, that the samples are told apart with an AUC beyond `bound`.

    Formula: `rows * kl(auc, bound)`, kl the divergence of two coins, 0 where `auc <= bound`. While
    no scorer reaches more than `bound`, it exceeds `t` with a probability of at most `exp(-t)`,
    for any number of rows: the AUC is a mean of means of that many pairs. `rows` are those of the
    smaller sample. Source: W. Hoeffding, JASA 58 (1963), theorem 1 and section 5.

    >>> round(auc_evidence(0.65, 1000, 0.6), 2), auc_evidence(0.55, 1000, 0.6)
    (5.29, 0.0)
    """
    return rows * _kl(auc, bound) if auc > bound else 0.0


def auc_interval(auc: float, rows: float, alpha: float = 0.05) -> tuple[float, float]:
    """The bounds that the same inequality can't refute at `alpha / 2` on either side.

    >>> [round(x, 3) for x in auc_interval(0.6, 1000)]
    [0.558, 0.642]
    """
    nats = math.log(2 / alpha) / max(rows, 1e-9)
    return _limit(auc, nats, 0.0), _limit(auc, nats, 1.0)


def _limit(auc: float, nats: float, end: float) -> float:
    """How far towards `end` a bound is within so many nats of the AUC, by halving."""
    inside, outside = auc, end
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        if _kl(auc, middle) <= nats:
            inside = middle
        else:
            outside = middle
    return inside


def _kl(p: float, q: float) -> float:
    if p == q:
        return 0.0
    if not 0 < q < 1:
        return math.inf
    return sum(a * math.log(a / b) for a, b in ((p, q), (1 - p, 1 - q)) if a > 0)
