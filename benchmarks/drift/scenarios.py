"""driftfdr's hundred scenarios: fleets of a hundred autocorrelated streams, some of which move."""

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import peers
from benchmarks.report import table
from numpy.typing import ArrayLike, NDArray

from tidegate.statistics.distance import shares
from tidegate.statistics.drift import DriftDetector, alarm_threshold

SCRIPT = Path(__file__).parent / "peers/driftfdr_scenarios.py"
DRIFTFDR = ("driftfdr==0.1.1", "numpy==2.4.6", "scipy==1.17.1")
PARTS = 4  # of the suite, so that it fits into memory
REFERENCE, WINDOW, SLOT = 300, 100, 20  # steps
BINS = 5  # three hundred rows that are alike fill no more
EPS = 0.03  # a quarter of a standard deviation
ARL = 5_000  # steps between false alarms of the whole fleet
PUBLISHED = (  # driftfdr 0.1.1 on PyPI, "experiment 21"
    ["driftfdr, its best configuration, as published", "0.88", "", "", ""],
    ["river's Page-Hinkley, as published", "0.06", "", "", ""],
)


def scenario_table(parts: int) -> str:
    raw, beside = "raw streams", "beside the fleet's median"
    found: dict[str, list[NDArray[np.float64]]] = {raw: [], beside: []}
    for part in range(parts):
        given = {"part": np.array(part), "parts": np.array(PARTS)}
        suite = peers.ask(SCRIPT, DRIFTFDR, given)
        for key in [k for k in suite if k.endswith("values")]:
            values, changes = suite[key].astype(float), suite[key.replace("values", "changes")]
            for name, streams in ((raw, values), (beside, values - np.median(values, axis=0))):
                found[name].append(np.array([first_alarms(streams), changes]))
    rows = [
        [f"**Tidegate, {name}**", *_scores(np.concatenate(kept, axis=1))]
        for name, kept in found.items()
    ]
    return table(["", "F1", "precision", "recall", "delay, steps"], [*rows, *PUBLISHED])


def first_alarms(streams: NDArray[Any]) -> NDArray[np.float64]:
    """The step of each stream's first alarm, infinity for never."""
    edges = np.quantile(streams[:, :REFERENCE], np.arange(1, BINS) / BINS, axis=1).T
    bins = (streams[:, :, None] >= edges[:, None, :]).sum(axis=-1)
    reference = shares(_counted(bins[:, :REFERENCE]))
    clustered = np.median([_clustered(*pair) for pair in zip(bins, reference, strict=True)])
    detector = DriftDetector(
        BINS,
        EPS,
        clustered,
        special=0,
        lead=(len(streams),),
        n_ref=int(REFERENCE / clustered),
    )
    first = np.full(len(streams), np.inf)
    for end in range(REFERENCE + WINDOW, streams.shape[1] + 1, WINDOW):
        detector.update(_counted(bins[:, end - WINDOW : end]), reference)
        alarmed = detector.log_m() >= alarm_threshold(len(streams), ARL / WINDOW)
        first[alarmed & np.isinf(first)] = end
    return first


def _counted(bins: NDArray[Any]) -> NDArray[Any]:
    return np.asarray((bins[..., None] == np.arange(BINS)).sum(axis=1))


def _clustered(bins: NDArray[Any], reference: NDArray[np.float64]) -> float:
    """How alike successive steps are, from the scatter of the reference's slots."""
    slots = _counted(bins[:REFERENCE].reshape(-1, SLOT))
    return max(1.0, dispersion(slots, reference) * len(slots) / (len(slots) - 1))


def dispersion(counts_by_window: ArrayLike, r: ArrayLike) -> float:
    """How clustered the rows are (D): variance of the shares over that of independent rows.

    Formula: `max(1, mean_tj (c_tj - n_t r_j)^2 / (n_t r_j (1 - r_j)))` over windows t and bins j
    with `n_t r_j >= 1`. Wants 50 windows in which nothing drifted.
    Source: W. Cochran, Biometrics 10 (1954) (chi2 per degree of freedom). Unit: rows.

    >>> dispersion([[55, 45], [40, 60]], [0.5, 0.5])  # (25 + 100) / 25 / 2
    2.5
    """
    counts, ref = np.asarray(counts_by_window, dtype=np.float64), shares(r)
    expected = counts.sum(-1, keepdims=True) * ref
    usable = (expected >= 1) & (ref < 1)
    if not usable.any():
        return 1.0
    variance = np.where(usable, expected * (1 - ref), 1.0)
    return max(1.0, float(((counts - expected) ** 2 / variance)[usable].mean()))


def _scores(outcomes: NDArray[np.float64]) -> list[str]:
    """Of all streams of all scenarios; an alarm before the change is false."""
    first, changes = outcomes
    moves, alarmed = changes < 1e9, np.isfinite(first)
    found = moves & alarmed & (first > changes)
    precision, recall = found.sum() / max(alarmed.sum(), 1), found.sum() / moves.sum()
    f1 = 2 * precision * recall / (precision + recall)
    delay = np.median((first - changes)[found])
    return [f"{f1:.2f}", f"{precision:.2f}", f"{recall:.2f}", f"{delay:.0f}"]
