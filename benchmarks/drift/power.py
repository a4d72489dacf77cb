"""iyipada's table of power: what is found of six changes of one feature, at 1 % false alarms."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks import peers
from benchmarks.report import table
from numpy.typing import NDArray

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec
from tidegate.evidence.profile import make_profile
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.drift import Current, assess

Floats = NDArray[np.float64]
Change = Callable[[np.random.Generator, tuple[int, ...]], Floats]

SCRIPT = Path(__file__).parent / "peers/iyipada_power.py"
IYIPADA = ("iyipada==0.1.0", "numpy==2.4.6", "scipy==1.17.1")
SEED = 20261121
ROWS = 1000  # of the reference and of the window
ALPHA = 0.01
SLOT = 6_000_000  # any that begins a window


def mixed(share: float, mean: float) -> Change:
    """That share of the rows is normal around another mean."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        return rng.standard_normal(shape) + mean * (rng.random(shape) < share)

    return draw


# What iyipada changed is named where its table stands, but not by how much: the sizes are those at
# which its own statistics find as much as the table says.
CHANGES: dict[str, Change] = {
    "nothing": mixed(0, 0),
    "mean": lambda rng, shape: rng.normal(0.3, 1, shape),
    "variance": lambda rng, shape: rng.normal(0, 1.4, shape),
    "skew": lambda rng, shape: (rng.gamma(3, 1, shape) - 3) / np.sqrt(3),
    "rounding": lambda rng, shape: np.round(2 * rng.standard_normal(shape)) / 2,
    "mixture": mixed(0.1, 2.2),
    "tail": mixed(0.017, 4),
    "far tail": mixed(0.05, 6),
}
STATISTICS = {  # iyipada 0.1.0 on PyPI, in per cent, in the order of the changes
    "wasserstein": ("Wasserstein", (None, 100, 100, 100, 100, 99.5, 15.7, 100)),
    "psi": ("PSI", (None, 99.5, 100, 100, 100, 86.2, 3.5, 29)),
    "jensen_shannon": ("Jensen-Shannon", (None, 99.5, 100, 100, 100, 85.8, 3.5, None)),
    "chi_square": ("chi-squared", (None, 99.5, 100, 100, 100, 85.7, 3.5, None)),
    "ks": ("Kolmogorov-Smirnov", (None, 100, 99.8, 88.7, 100, 83.0, 2.3, 18)),
    "total_variation": ("total variation", (None, 98.3, 100, 99.8, 100, 59.7, 2.8, None)),
}


def policy(kind: str, breach: str) -> DriftPolicySpec:
    return DriftPolicySpec.model_validate(
        {
            "window": {"size": "10m"},
            "falseAlarms": {"perModel": 1, "in": "1000m"},  # in a hundred windows
            "signals": [{"name": "inputs", "type": kind, "breach": breach}],
        }
    )


POLICIES = {
    "**Tidegate, PSI 0.02**": policy("DataDrift", "0.02"),
    "**Tidegate, PSI 0.1**": policy("DataDrift", "0.1"),
    "**Tidegate, 0.5 % outside the reference**": policy("DataQuality", "0.005"),
}


def power_table(runs: int) -> str:
    rng = np.random.default_rng(SEED)
    references = rng.standard_normal((runs, ROWS))
    windows = {name: change(rng, references.shape) for name, change in CHANGES.items()}
    given = {"references": references, "alpha": np.array(ALPHA), **windows}
    theirs = peers.ask(SCRIPT, IYIPADA, given)
    ours = np.mean([breaches(*run) for run in zip(references, *windows.values(), strict=True)], 0)
    rows = [[name, *map(_percent, shares)] for name, shares in zip(POLICIES, ours.T, strict=True)]
    for statistic, (name, published) in STATISTICS.items():
        cells = zip((float(theirs[f"{statistic}|{w}"]) for w in windows), published, strict=True)
        rows.append([name, *(_cell(*cell) for cell in cells)])
    return table(["found, %", *windows], rows)


def breaches(reference: Floats, *windows: Floats) -> list[list[bool]]:
    """Windows by policies."""
    profile = make_profile({"x": reference}, {"x": "number"}, [0.0] * ROWS, "regression", {})
    found = []
    for window in windows:
        (counts,) = profile.encode({"x": window})
        block = Counts(requests=ROWS, rows=ROWS, features=(tuple(counts.tolist()),))
        blocks = {BlockKey(SLOT, 1, "stable"): block}
        current = Current("stable", profile, blocks, {}, SLOT + 59)
        signals = [assess(policy, current).signals[0] for policy in POLICIES.values()]
        found.append([signal.level == "Breach" for signal in signals])
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _cell(share: float, published: float | None) -> str:
    return _percent(share) + ("" if published is None else f" ({published:g})")
