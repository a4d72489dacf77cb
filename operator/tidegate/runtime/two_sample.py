"""The classifier two-sample test: how well recent rows can be told from those of the reference.

Half of the rows teach a classifier, the other half judge it. The recent ones are cut into
stretches of time that go to either half by turns: both see the whole interval, and requests that
come in bursts are not learned by heart.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tidegate.statistics.floats import Floats
from tidegate.statistics.two_sample import clustering_of, placements

STRETCHES = 10  # of time
NEIGHBOURS = 20  # rows that came one after the other: a session, if there are any
REHEARSAL = 4  # every so-manieth row of the first half chooses between the classifiers
LEVELS = 60  # of a category; rarer ones are one
TOP_FEATURES = 5
SEED = 7


class Classifier(Protocol):
    """What is used of scikit-learn's."""

    def fit(self, rows: Floats, labels: NDArray[np.int64]) -> Any: ...
    def predict_proba(self, rows: Floats) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """Both samples as one table: the reference's rows, then the recent ones, oldest first."""

    names: tuple[str, ...]
    rows: Floats
    """Numbers as they are, categories as the rank of their level; NaN where one is missing."""
    categories: tuple[int, ...]
    """Which columns are categories."""
    recent: int
    """How many of the rows are recent."""
    requests: NDArray[np.int64]
    """The request of each recent row, numbered from 0 in their order."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How well the samples can be told apart."""

    auc: float
    samples: int
    """Rows of the smaller sample that were judged."""
    clustering: float
    top: tuple[tuple[str, float], ...]
    """The features that tell most, by what the AUC loses without them."""


def tell_apart(sample: Sample, classifiers: Sequence[Classifier] | None = None) -> Finding:
    """Train on one half, judge on the other; the AUC of chance is 0.5."""
    known = len(sample.rows) - sample.recent
    learn = np.concatenate([_coin(known), _first_half(sample.requests)])
    labels = np.repeat([0, 1], [known, sample.recent])
    chosen = classifiers if classifiers is not None else list(_classifiers(sample))
    best = _best(chosen, sample.rows[learn], labels[learn])
    _fit(best, sample.rows[learn], labels[learn])
    judged, truth = sample.rows[~learn], labels[~learn]
    placed = _placed(best, judged, truth)
    groups = [_numbered(sample.requests[~learn[known:]]), np.arange(len(placed)) // NEIGHBOURS]
    auc = float(placed.mean())
    return Finding(
        auc=auc,
        samples=int(min(len(placed), (truth == 0).sum())),
        clustering=clustering_of(placed, groups),
        top=tuple(_top(best, sample.names, judged, truth, auc)),
    )


def _coin(rows: int) -> NDArray[np.bool_]:
    """One half at random: a table may be sorted."""
    return np.asarray(np.random.default_rng(SEED).permutation(rows) < rows // 2)


def _first_half(requests: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Every other stretch of time, of as many requests each: either half has some."""
    return np.asarray(requests * STRETCHES // (requests.max(initial=0) + 1) % 2 == 0)


def _numbered(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.unique(groups, return_inverse=True)[1], dtype=np.int64)


def _classifiers(sample: Sample) -> Iterator[Classifier]:
    """Trees for relations between features, a line for what many features share a little of."""
    yield HistGradientBoostingClassifier(
        max_bins=63,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        categorical_features=list(sample.categories),
        random_state=SEED,
    )
    numeric = [i for i in range(len(sample.names)) if i not in sample.categories]
    if numeric:
        yield make_pipeline(
            ColumnTransformer([("numbers", "passthrough", numeric)]),
            SimpleImputer(strategy="median", keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(C=0.1, max_iter=300),
        )


def _best(classifiers: Sequence[Classifier], rows: Floats, labels: NDArray[np.int64]) -> Classifier:
    """The one that tells most of rows that are left out of the first half."""
    if len(classifiers) == 1:
        return classifiers[0]
    left_out = np.arange(len(rows)) % REHEARSAL == 0

    def rehearsed(classifier: Classifier) -> float:
        _fit(classifier, rows[~left_out], labels[~left_out])
        return float(_placed(classifier, rows[left_out], labels[left_out]).mean())

    return max(classifiers, key=rehearsed)


def _fit(classifier: Classifier, rows: Floats, labels: NDArray[np.int64]) -> None:
    with warnings.catch_warnings():
        # One that could converge further tells less than it might: no error of anybody's.
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(rows, labels)


def _placed(classifier: Classifier, rows: Floats, labels: NDArray[np.int64]) -> Floats:
    scores = classifier.predict_proba(rows)[:, 1]
    return placements(scores[labels == 1], scores[labels == 0])


def _top(
    classifier: Classifier,
    names: Sequence[str],
    rows: Floats,
    labels: NDArray[np.int64],
    auc: float,
) -> Iterator[tuple[str, float]]:
    """The features whose values, shuffled over all rows, cost most of the AUC."""
    rng = np.random.default_rng(SEED)
    lost = np.zeros(len(names))
    for column in range(len(names)):
        shuffled = rows.copy()
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        lost[column] = auc - _placed(classifier, shuffled, labels).mean()
    for column in np.argsort(-lost, kind="stable")[:TOP_FEATURES].tolist():
        if lost[column] > 0:
            yield names[column], float(lost[column])
