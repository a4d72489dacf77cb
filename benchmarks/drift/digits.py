"""The protocol of "Failing Loudly" on scikit-learn's digits: shifts of images, small samples.

A classifier is trained on a third of the images; a test gets a third of them as the source sample
and n of the last third as the target sample, some of which are changed.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from benchmarks.report import table
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, ks_2samp
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec
from tidegate.evidence.profile import Kind, make_profile
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.drift import Current, assess

Images = NDArray[np.float64]

SEED = 20261121
SIDE = 8  # pixels
BRIGHTEST = 16.0
ALPHA = 0.05
SIZES = (10, 20, 50, 100, 200, 500)
SHARES = (0.1, 0.5, 1.0)  # of the target sample that is changed
POLICY = DriftPolicySpec.model_validate(
    {
        "window": {"size": "10m", "minSamples": min(SIZES)},
        "falseAlarms": {"perModel": 1, "in": "200m"},  # in twenty windows: as many as alpha 5 %
        "signals": [
            {"name": "inputs", "type": "DataDrift", "breach": "0.1"},
            {"name": "answers", "type": "PredictionDrift", "breach": "0.1"},
        ],
    }
)
SLOT = 6_000_000  # any that begins a window


def none(images: Images, rng: np.random.Generator) -> Images:
    return images


def noise(deviation: float) -> Callable[[Images, np.random.Generator], Images]:
    def noisy(images: Images, rng: np.random.Generator) -> Images:
        found = images + BRIGHTEST * deviation * rng.standard_normal(images.shape)
        return np.asarray(found.round().clip(0, BRIGHTEST))

    return noisy


def moved(pixels: int) -> Callable[[Images, np.random.Generator], Images]:
    def move(images: Images, rng: np.random.Generator) -> Images:
        square = images.reshape(-1, SIDE, SIDE)
        return np.roll(square, pixels, axis=2).reshape(images.shape)

    return move


CHANGES = {
    "noise .1": noise(0.1),
    "noise .4": noise(0.4),
    "moved by 1": moved(1),
    "moved by 2": moved(2),
}


@dataclass(frozen=True, slots=True)
class Split:
    """The three thirds, and the classifier of the first."""

    classifier: LogisticRegression
    source: Images
    target: Images
    target_labels: NDArray[np.int64]


def digit_table(spread: Callable[..., Iterable[dict[str, dict[int, float]]]], runs: int) -> str:
    found = list(spread(_detections, range(runs)))
    rows = []
    for rule in found[0]:
        mean = {n: 100 * np.mean([f[rule][n] for f in found]) for n in (0, *SIZES)}
        rows.append([rule, *(f"{share:.0f}" for share in mean.values())])
    return table(["shift found, %", "no shift", *(f"n = {n}" for n in SIZES)], rows)


def _detections(run: int) -> dict[str, dict[int, float]]:
    """For each rule, how many of the shifts it finds by sample size; 0 is for no shift at all."""
    rng = np.random.default_rng([SEED, run])
    split = _split(run)
    found: dict[str, dict[int, list[bool]]] = {}

    def judge(n: int, sample: Images) -> None:
        for rule, alarmed in _judged(split, sample).items():
            found.setdefault(rule, {}).setdefault(n, []).append(alarmed)

    for n in SIZES:
        judge(0, split.target[rng.permutation(len(split.target))[:n]])
        for share in SHARES:
            for change in CHANGES.values():
                sample = split.target[rng.permutation(len(split.target))[:n]].copy()
                touched = rng.random(n) < share
                sample[touched] = change(sample[touched], rng)
                judge(n, sample)
            kept = (split.target_labels != 0) | (rng.random(len(split.target)) >= share)
            judge(n, split.target[rng.permutation(np.flatnonzero(kept))[:n]])
    return {rule: {n: float(np.mean(v)) for n, v in by.items()} for rule, by in found.items()}


def _split(run: int) -> Split:
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng([SEED, run, 1]).permutation(len(labels))
    train, source, target = np.array_split(order, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a classifier that could converge further will do
        classifier = LogisticRegression(max_iter=200).fit(images[train] / BRIGHTEST, labels[train])
    return Split(classifier, images[source], images[target], labels[target])


def _judged(split: Split, sample: Images) -> dict[str, bool]:
    soft = [split.classifier.predict_proba(x / BRIGHTEST) for x in (split.source, sample)]
    hard = [p.argmax(axis=1) for p in soft]
    return {
        **_tidegate(split.source, sample, hard),
        "BBSDs: softmax outputs, KS each, Bonferroni": _any_ks(*soft),
        "BBSDh: labels, chi-squared": _chi2(*hard),
        "no reduction: pixels, KS each, Bonferroni": _any_ks(split.source, sample),
    }


def _tidegate(source: Images, sample: Images, hard: list[NDArray[np.int64]]) -> dict[str, bool]:
    names = [f"p{i}" for i in range(source.shape[1])]
    columns = [dict(zip(names, images.T, strict=True)) for images in (source, sample)]
    kinds: dict[str, Kind] = dict.fromkeys(names, "number")
    profile = make_profile(columns[0], kinds, hard[0].astype(str), "classification", {})
    counts = Counts(
        requests=len(sample),
        rows=len(sample),
        features=tuple(tuple(c.tolist()) for c in profile.encode(columns[1])),
        predictions={str(k): int((hard[1] == k).sum()) for k in np.unique(hard[1])},
    )
    blocks = {BlockKey(SLOT, 1, "stable"): counts}
    current = Current("stable", profile, blocks, {}, SLOT + 59)
    inputs, answers = (s.level == "Breach" for s in assess(POLICY, current).signals)
    return {
        "**Tidegate, PSI 0.1 of pixels**": inputs,
        "**Tidegate, Jensen-Shannon 0.1 of labels**": answers,
    }


def _any_ks(source: Images, sample: Images) -> bool:
    found = ks_2samp(source, sample, axis=0, method="asymp").pvalue
    return bool(np.nanmin(found) < ALPHA / source.shape[1])


def _chi2(source: NDArray[np.int64], sample: NDArray[np.int64]) -> bool:
    counts = np.array([np.bincount(x, minlength=10) for x in (source, sample)])
    return bool(chi2_contingency(counts[:, counts.any(axis=0)]).pvalue < ALPHA)
