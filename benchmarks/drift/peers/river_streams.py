"""River's concept drift streams, the errors of a frozen model on them, and river's detectors.

Writes the errors of every stream and seed, and for each detector the rows after which it alarmed.
"""

import sys
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import numpy as np
from river import drift, linear_model, preprocessing, tree
from river.datasets import synth

with np.load(sys.argv[1]) as given:
    training, still, drifted, seeds = (
        int(given[n]) for n in ("training", "still", "drifted", "seeds")
    )

STREAMS = {
    "SEA 0 to 2": lambda s: (synth.SEA(0, noise=0.1, seed=s), synth.SEA(2, noise=0.1, seed=s + 1)),
    "SEA 0 to 3": lambda s: (synth.SEA(0, noise=0.1, seed=s), synth.SEA(3, noise=0.1, seed=s + 1)),
    "Agrawal 0 to 3": lambda s: (synth.Agrawal(0, seed=s), synth.Agrawal(3, seed=s + 1)),
    "Sine 0 to 1": lambda s: (synth.Sine(0, seed=s), synth.Sine(1, seed=s + 1)),
    "Mixed": lambda s: (synth.Mixed(0, seed=s), synth.Mixed(1, seed=s + 1)),
    "STAGGER 0 to 1": lambda s: (synth.STAGGER(0, seed=s), synth.STAGGER(1, seed=s + 1)),
    "RBF": lambda s: (synth.RandomRBF(s, 1), synth.RandomRBF(s + 100, 2)),
    "Hyperplane, gradual": lambda s: (
        synth.Hyperplane(seed=s, n_features=5, n_drift_features=0),
        synth.Hyperplane(seed=s, n_features=5, n_drift_features=5, mag_change=0.001),
    ),
}
DETECTORS = {
    "ADWIN": drift.ADWIN,
    "DDM": drift.binary.DDM,
    "EDDM": drift.binary.EDDM,
    "HDDM_A": drift.binary.HDDMA,
    "HDDM_W": drift.binary.HDDMW,
    "Page-Hinkley": drift.PageHinkley,
}


def model(name: str) -> Any:
    if name.startswith(("SEA", "Hyperplane")):
        return preprocessing.StandardScaler() | linear_model.LogisticRegression()
    return tree.HoeffdingTreeClassifier(grace_period=50)


def errors_of(name: str, seed: int) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    before, after = STREAMS[name](seed)
    rows = iter(before)
    learner = model(name)
    for x, y in islice(rows, training):
        learner.learn_one(x, y)
    served = chain(islice(rows, still), islice(after, drifted))
    return np.array([learner.predict_one(x) != y for x, y in served])


def alarms(detector: Any, errors: "np.ndarray[Any, np.dtype[np.bool_]]") -> Iterator[int]:
    for row, wrong in enumerate(errors.tolist()):
        detector.update(wrong)
        if detector.drift_detected:
            yield row


answer = {}
for name in STREAMS:
    for seed in range(seeds):
        errors = errors_of(name, seed)
        answer[f"{name}|{seed}|errors"] = errors
        for detector, make in DETECTORS.items():
            answer[f"{name}|{seed}|{detector}"] = np.array([*alarms(make(), errors)], int)
np.savez(sys.argv[2], allow_pickle=False, **answer)
