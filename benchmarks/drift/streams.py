"""Concept drift in the errors of a model that stays as it is: river's streams and detectors."""

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import peers
from benchmarks.drift.worlds import Flags
from benchmarks.report import table
from numpy.typing import NDArray

from tidegate.statistics.drift import RateDetector, alarm_threshold

SCRIPT = Path(__file__).parent / "peers/river_streams.py"
RIVER = ("river==0.26.1", "numpy==2.4.6", "scipy==1.17.1")
TRAINING, STILL, DRIFTED = 3_000, 10_000, 10_000  # rows
REFERENCE = 3_000  # of the still rows: what the model's error rate was found on
SLOT = 50  # rows
TOLERANCE, ARL = 0.01, 1_000  # one point; slots between false alarms
OURS = "**Tidegate**"


def stream_table(seeds: int) -> str:
    given = {"training": TRAINING, "still": STILL, "drifted": DRIFTED, "seeds": seeds}
    found = peers.ask(SCRIPT, RIVER, {name: np.array(n) for name, n in given.items()})
    streams = dict.fromkeys(key.split("|")[0] for key in found)
    names = dict.fromkeys(key.split("|")[2] for key in found if not key.endswith("errors"))
    rows = []
    for stream in streams:
        errors = [found[f"{stream}|{seed}|errors"] for seed in range(seeds)]
        theirs = {n: [found[f"{stream}|{seed}|{n}"] for seed in range(seeds)] for n in names}
        every = {OURS: [alarms(e) for e in errors], **theirs}
        before, after = (np.mean([part(e) for e in errors]) for part in (_still, _drifted))
        rows.append([f"{stream} ({before:.3f} to {after:.3f})", *map(_cell, every.values())])
    return table(["stream (error rate)", OURS, *names], rows)


def alarms(errors: Flags) -> NDArray[Any]:
    """The rows after which the detector alarms; it begins anew after each."""
    detector = RateDetector(float(errors[:REFERENCE].mean()), TOLERANCE, n_ref=REFERENCE)
    found = []
    for end in range(REFERENCE + SLOT, errors.size + 1, SLOT):
        detector.update(errors[end - SLOT : end].sum(), SLOT)
        if detector.log_m() >= alarm_threshold(1, ARL):
            found.append(end - 1)
            detector.reset()
    return np.array(found, int)


def _still(errors: Flags) -> float:
    return float(errors[:STILL].mean())


def _drifted(errors: Flags) -> float:
    return float(errors[STILL:].mean())


def _cell(alarms: list[NDArray[Any]]) -> str:
    """The median delay in rows, of the runs that were found; false alarms in 10,000 rows."""
    first = [rows[rows >= STILL][:1] - STILL + 1 for rows in alarms]
    seen = [int(rows[0]) for rows in first if rows.size]
    wrong = [((rows >= REFERENCE) & (rows < STILL)).sum() for rows in alarms]
    rate = 10_000 / (STILL - REFERENCE) * float(np.mean(wrong))
    share = len(seen) / len(alarms)
    delay = f"{np.median(seen):,.0f}" if seen else "never"
    return f"{delay} ({rate:.1f})" + ("" if share == 1 else f", {100 * share:.0f} %")
