"""Does an alarm mean that the model got worse? DriftHarm's suite, judged by what would be done.

Harm is a fall of the AUC below the reference's by more than in 95 % of pairs of windows of which
nothing differs but the rows. The same pairs are what the bars of the distances are taken from.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from benchmarks.drift import harm_ours
from benchmarks.drift.harm_ours import METRICS, TOLD
from benchmarks.drift.harm_worlds import (
    ARCHETYPES,
    FEATURES,
    STILL_SEED,
    Base,
    Floats,
    Labels,
    Pool,
    Rows,
    bases,
    make_pool,
    pairs,
)
from benchmarks.drift.worlds import Flags
from benchmarks.report import table
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tidegate.rollout.attribution import Cause, Reading, Remedy
from tidegate.statistics.distance import jensen_shannon, psi

SEED = 20261121
REPLICATES, STILL_PAIRS = 20, 150
ALPHA = 0.05
FEW = 2_000  # labels
DRAWS = 2000  # of archetypes, for the interval
OTHERS = (
    f"a plain bar on the AUC of {FEW:,} labels",
    "PSI, run here",
    "Jensen-Shannon, run here",
)
# MCC, its interval, precision, recall, specificity: reports/synthetic_*.csv of their repository.
PUBLISHED = {
    "Jensen-Shannon, as published": (0.169, -0.325, 0.566, 0.61, 0.83, 0.31),
    "Wasserstein, as published": (0.161, -0.329, 0.564, 0.61, 0.80, 0.34),
    "PSI, as published": (0.127, -0.313, 0.468, 0.60, 0.83, 0.28),
    "a classifier, as published": (0.099, -0.340, 0.485, 0.60, 0.70, 0.39),
    "MMD, as published": (0.094, -0.297, 0.425, 0.59, 0.73, 0.36),
    "Kolmogorov-Smirnov, as published": (0.026, -0.398, 0.446, 0.57, 0.64, 0.38),
}
SAID = {
    Cause.HEALTHY: "nothing",
    Cause.SHARED_DRIFT: "drift",
    Cause.BROKEN_DATA: "broken data",
    Cause.DECAY: "retrain (decay)",
    Cause.CONCEPT_DRIFT: "retrain (concept)",
}


class Measured(NamedTuple):
    """How far a window is from its reference; larger is worse."""

    auc: float
    accuracy: float
    auc_of_few: float
    """By the labels of a tenth of the rows only."""
    psi: float
    """Of the feature that has moved most, as the next."""
    jensen_shannon: float


@dataclass(frozen=True, slots=True)
class Trial:
    """A changed window: what has become of the model, and what Tidegate makes of it."""

    archetype: str
    measured: Measured
    readings: list[list[Reading]]
    """For each of `METRICS` one for each of `TOLD`."""


def harm_tables(replicates: int) -> str:
    pool = make_pool()
    rng = np.random.default_rng(STILL_SEED)
    still = [
        measured(pool, reference, pool.rows[at], pool.labels[at], pool.scores[at])
        for reference, at in islice(pairs(pool, rng), STILL_PAIRS)
    ]
    bars = np.quantile(still, 1 - ALPHA, axis=0)
    trials = [t for base in islice(bases(pool), replicates) for t in _trials(base)]
    beyond = np.array([t.measured for t in trials]) > bars
    return f"{_alignment_table(trials, beyond)}\n\n{_archetype_table(trials, beyond[:, 0])}"


def _trials(base: Base) -> Iterator[Trial]:
    pool = base.pool
    changed = {name: change(base) for name, change in ARCHETYPES.items()}
    unscored = {name: w.rows for name, w in changed.items() if w.scores is None}
    parts = np.split(pool.score(np.concatenate([*unscored.values()])), len(unscored))
    scored = dict(zip(unscored, parts, strict=True))
    profile = harm_ours.profile_of(pool, base.reference)
    for name, window in changed.items():
        scores = scored[name] if window.scores is None else window.scores
        rows = window.rows if window.incoming is None else window.incoming
        readings = harm_ours.readings(profile, rows, window.labels, scores)
        far = measured(pool, base.reference, rows, window.labels, scores)
        yield Trial(name, far, readings)


def measured(
    pool: Pool, reference: NDArray[np.int64], rows: Rows, labels: Labels, scores: Floats
) -> Measured:
    """The window beside the rows of the pool that are its reference."""
    before, at = pool.rows[reference], (pool.labels[reference], pool.scores[reference])
    twenty = np.array([_histograms(*columns) for columns in zip(before.T, rows.T, strict=True)])
    ten = twenty.reshape(FEATURES, 2, 10, 2).sum(axis=-1)
    auc, few = roc_auc_score(*at), np.random.default_rng(SEED).permutation(len(rows))[:FEW]
    return Measured(
        float(auc - roc_auc_score(labels, scores)),
        float(np.mean((at[1] > 0.5) == at[0]) - np.mean((scores > 0.5) == labels)),
        float(auc - roc_auc_score(labels[few], scores[few])),
        float(psi(ten[:, 0], ten[:, 1]).max()),
        float(jensen_shannon(twenty[:, 0], twenty[:, 1]).max()),
    )


def _histograms(before: Rows, now: Rows) -> list[NDArray[np.int64]]:
    """Both in twenty bins that hold equal parts of the first; what is missing is left out."""
    edges = np.quantile(before, np.arange(1, 20) / 20)
    values = (before, now[np.isfinite(now)])
    return [np.bincount(np.searchsorted(edges, v, "right"), minlength=20) for v in values]


def _alignment_table(trials: Sequence[Trial], beyond: Flags) -> str:
    harmed, wronger, *others = beyond.T
    archetypes = np.array([t.archetype for t in trials])
    rows = []
    for name, alarmed in {
        **_of_tidegate(trials),
        **dict(zip(OTHERS, others, strict=True)),
    }.items():
        figures = mcc(harmed, alarmed), *_interval(harmed, alarmed, archetypes)
        cells = _cells((*figures, *_rates(harmed, alarmed)))
        rows.append([name, *cells, f"{mcc(wronger, alarmed):.2f}"])
    rows += [[name, *_cells(figures), ""] for name, figures in PUBLISHED.items()]
    head = ["alarm", "MCC (95 %)", "precision", "recall", "specificity", "MCC, if harm is accuracy"]
    return table(head, rows)


def _of_tidegate(trials: Sequence[Trial]) -> dict[str, Flags]:
    """Its alarms, by name: what it notifies of without labels, and what it does with them."""
    readings = [[t.readings[m] for t in trials] for m in range(len(METRICS))]
    remedies = np.array([[[r.remedy for r in each] for each in by] for by in readings])
    broken = np.array([each[0].cause is Cause.BROKEN_DATA for each in readings[0]])
    alarms = {"**Tidegate, no labels: notify**": remedies[0, :, 0] == Remedy.NOTIFY}
    for metric, by in zip(METRICS.values(), remedies, strict=True):
        for told, remedy in zip(TOLD[1:], by.T[1:], strict=True):
            retrain, name = remedy == Remedy.RETRAIN, f"Tidegate, `{metric}`, {told:,} labels"
            alarms[f"**{name}: retrain**"] = retrain
            alarms[f"**{name}: retrain, or data is broken**"] = retrain | broken
    return alarms


def _archetype_table(trials: Sequence[Trial], harmed: Flags) -> str:
    columns = [(0, 0), *((m, k) for m in range(len(METRICS)) for k in (-2, -1))]
    rows = []
    for name in ARCHETYPES:
        at = [i for i, t in enumerate(trials) if t.archetype == name]
        said = [_counted([trials[i].readings[m][k].cause for i in at]) for m, k in columns]
        rows.append([name, f"{100 * harmed[at].mean():.0f}", *said])
    metrics = tuple(METRICS.values())
    by = [f"`{metrics[m]}`, {TOLD[k]:,} labels" for m, k in columns[1:]]
    return table(["Tidegate says", "harmed, %", "without labels", *by], rows)


def _counted(causes: Sequence[Cause]) -> str:
    return ", ".join(f"{SAID[cause]} {n}" for cause, n in Counter(causes).most_common())


def _cells(figures: Sequence[float]) -> list[str]:
    correlation, low, high, *rates = figures
    return [f"{correlation:.2f} ({low:.2f} to {high:.2f})", *(f"{rate:.2f}" for rate in rates)]


def mcc(harmed: Flags, alarmed: Flags) -> float:
    """Matthews' correlation of harm and alarm; 0 where one of them is always the same.

    Source: B. Matthews, Biochimica et Biophysica Acta 405 (1975).
    """
    if harmed.all() or not harmed.any() or alarmed.all() or not alarmed.any():
        return 0.0
    return float(np.corrcoef(harmed, alarmed)[0, 1])


def _rates(harmed: Flags, alarmed: Flags) -> tuple[float, float, float]:
    """Precision, recall and specificity."""
    precision, recall, specificity = (
        float((one & other).sum() / max(one.sum(), 1))
        for one, other in ((alarmed, harmed), (harmed, alarmed), (~harmed, ~alarmed))
    )
    return precision, recall, specificity


def _interval(harmed: Flags, alarmed: Flags, archetypes: NDArray[np.str_]) -> tuple[float, float]:
    """Of the MCC, had other archetypes been chosen: replicates of one are nearly alike."""
    rng = np.random.default_rng(SEED)
    at = [np.flatnonzero(archetypes == name) for name in ARCHETYPES]
    drawn = rng.integers(0, len(at), (DRAWS, len(at)))
    suites = (np.concatenate([at[k] for k in chosen]) for chosen in drawn)
    low, high = np.quantile([mcc(harmed[s], alarmed[s]) for s in suites], [0.025, 0.975])
    return float(low), float(high)
