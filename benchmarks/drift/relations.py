"""Relations between features, and embeddings: what no single feature shows.

A look a day, as a MultivariateDrift signal has: 4,000 logged rows beside 2,000 reference rows.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from benchmarks.report import table
from scipy.stats import binom, ks_2samp
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # of scikit-learn

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec, Look
from tidegate.evidence.profile import Kind, make_profile
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.drift import Current, assess
from tidegate.runtime.two_sample import Finding, Sample, tell_apart
from tidegate.statistics.floats import Floats

SEED = 20261121
KNOWN, RECENT = 2000, 4000  # rows
SLOT = 6_000_000
SESSION, ICC = 20, 0.3
POLICY = DriftPolicySpec.model_validate(
    {
        "window": {"size": "1h", "minSamples": 500},
        "signals": [
            {"name": "each", "type": "DataDrift", "breach": "0.1"},
            {"name": "loose", "type": "MultivariateDrift", "breach": "0.6"},
            {"name": "tight", "type": "MultivariateDrift", "breach": "0.55"},
        ],
        "sustain": {"breaches": 1, "of": 1},
    }
)


@dataclass(frozen=True, slots=True)
class World:
    """A table whose first two columns are correlated; all columns are standard normal."""

    name: str
    columns: int = 10
    correlation: float = 0.8
    """Of the recent rows; the reference's is 0.8."""
    shift: float = 0.0
    """Of each column's mean."""
    session: int = 1
    runs: int = 10


WORLDS = (
    World("nothing", runs=100),
    World("nothing, sessions of 20 rows", session=SESSION, runs=100),
    World("a correlation of 0.8 falls to 0.5", correlation=0.5),
    World("to 0", correlation=0.0),
    World("turns to -0.8", correlation=-0.8),
    World("the same, among 50 columns", columns=50, correlation=-0.8),
    World("64 columns move by 0.1 sd each", columns=64, shift=0.1),
)

Spread = Callable[..., Iterable[dict[str, bool | float]]]
"""`map`, or that of a pool of processes."""


def relation_table(spread: Spread, share: float) -> str:
    rows = []
    for world in WORLDS:
        runs = max(2, round(share * world.runs))
        found = list(spread(_judged, [world] * runs, range(runs)))
        means = {rule: float(np.mean([f[rule] for f in found])) for rule in found[0]}
        auc = means.pop("AUC")
        rows.append([world.name, *(f"{100 * m:.0f}" for m in means.values()), f"{auc:.3f}"])
    return table(["looks with an alarm, %", *means, "AUC"], rows)


def _judged(world: World, run: int) -> dict[str, bool | float]:
    rng = np.random.default_rng([SEED, *world.name.encode(), run])
    known = _rows(World("", world.columns), rng, KNOWN)
    recent = _rows(world, rng, RECENT)
    names = tuple(f"f{i}" for i in range(world.columns))
    sample = Sample(names, np.concatenate([known, recent]), (), RECENT, np.arange(RECENT))
    with threadpool_limits(1):
        found = tell_apart(sample)
    levels = _levels(names, known, recent, found)
    return {
        "**MultivariateDrift, AUC 0.55**": levels["tight"],
        "**MultivariateDrift, AUC 0.6**": levels["loose"],
        "C2ST, 5 % a look": _c2st(found),
        "**DataDrift, PSI 0.1**": levels["each"],
        "KS each, Bonferroni 5 %": _any_ks(known, recent),
        "AUC": found.auc,
    }


def _rows(world: World, rng: np.random.Generator, rows: int) -> Floats:
    values = rng.standard_normal((rows, world.columns))
    if world.session > 1:
        users = rng.standard_normal((rows // world.session, world.columns))
        shared = np.repeat(users, world.session, axis=0)
        values = math.sqrt(ICC) * shared + math.sqrt(1 - ICC) * values
    r = world.correlation
    values[:, 1] = r * values[:, 0] + math.sqrt(1 - r * r) * values[:, 1]
    return np.asarray(values + world.shift)


def _levels(
    names: tuple[str, ...], known: Floats, recent: Floats, found: Finding
) -> dict[str, bool]:
    """By the operator's own judgement, on what a sidecar counts and what a Job finds."""
    kinds: dict[str, Kind] = dict.fromkeys(names, "number")
    columns = [dict(zip(names, part.T, strict=True)) for part in (known, recent)]
    profile = make_profile(columns[0], kinds, ["a"] * KNOWN, "classification", {})
    features = tuple(tuple(c.tolist()) for c in profile.encode(columns[1]))
    counts = Counts(requests=RECENT, rows=RECENT, features=features)
    last = SLOT - SLOT % 360 + 359
    current = Current("stable", profile, {BlockKey(last, 1, "stable"): counts}, {}, last)
    looks = [
        Look(
            signal=signal,
            revision="stable",
            through="",
            auc=f"{found.auc:.4f}",
            samples=found.samples,
            clustering=f"{found.clustering:.2f}",
        )
        for signal in ("loose", "tight")
    ]
    return {s.name: s.level == "Breach" for s in assess(POLICY, current, looks=looks).signals}


def _c2st(found: Finding) -> bool:
    """The AUC as a share of independent pairs that are ranked rightly, tested against a half.

    After D. Lopez-Paz, M. Oquab, ICLR 2017 (arXiv 1610.06545), who do so with the accuracy.
    """
    wins = round(found.auc * found.samples)
    return bool(binom.sf(wins - 1, found.samples, 0.5) < 0.05)


def _any_ks(known: Floats, recent: Floats) -> bool:
    found = ks_2samp(known, recent, axis=0, method="asymp").pvalue
    return bool(np.min(found) < 0.05 / known.shape[1])
