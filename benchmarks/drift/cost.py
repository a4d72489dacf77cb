"""What it costs to compare a window of raw values with the reference: values a second."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks import peers
from benchmarks.drift import ours
from benchmarks.drift.judges import EVIDENTLY
from benchmarks.drift.worlds import FEATURES, World, reference, windows
from benchmarks.report import table
from scipy.stats import ks_2samp, wasserstein_distance

from tidegate.rollout.drift import assess

PEERS = Path(__file__).parent / "peers"
ALIBI = ("alibi-detect==0.13.0", "numpy<2.3")
SEED = 20261121
ROWS = 10_000
REPEATS = 5  # the median of so many


def cost_table() -> str:
    rng = np.random.default_rng(SEED)
    world = World("wide", rows=ROWS)
    before, (window,) = reference(world, rng), windows(world, rng, 1)
    given = {"reference": before, "window": window}
    profile, policy = ours.profile_of(before), ours.policy("0.1")
    slots = ours.slots_of(profile, window)
    current = ours.current_of(profile, slots, [], ours.SLOTS)
    columns = dict(zip((f.name for f in profile.features), window.T, strict=True))
    pairs = list(zip(before.T, window.T, strict=True))
    seconds = {
        "**Tidegate: count in the sidecar**": _median(lambda: profile.encode(columns)),
        "**Tidegate: judge the counts in the operator**": _median(lambda: assess(policy, current)),
        "scipy, Kolmogorov-Smirnov": _median(lambda: [ks_2samp(a, b) for a, b in pairs]),
        "scipy, Wasserstein": _median(lambda: [wasserstein_distance(a, b) for a, b in pairs]),
        "Evidently, default preset": _ask("evidently_cost.py", EVIDENTLY, given),
        "alibi-detect, Kolmogorov-Smirnov": _ask("alibi_cost.py", ALIBI, given),
    }
    rows = [
        [name, f"{1000 * took:,.1f}", f"{ROWS * FEATURES / took / 1e6:,.2f}"]
        for name, took in seconds.items()
    ]
    return table([f"{ROWS:,} rows x {FEATURES} features", "ms", "million values a second"], rows)


def _ask(script: str, requirements: tuple[str, ...], given: peers.Arrays) -> float:
    return float(peers.ask(PEERS / script, requirements, given)["seconds"])


def _median(step: Callable[[], object]) -> float:
    took = []
    for _ in range(REPEATS):
        began = time.process_time()
        step()
        took.append(time.process_time() - began)
    return float(np.median(took))
