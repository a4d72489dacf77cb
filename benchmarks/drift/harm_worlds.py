"""DriftHarm's synthetic suite: a model's windows, changed in twelve ways, of which some harm it.

Source: github.com/aghasalim/drift-harm (MIT), commit 62c2b67. The numbers are drawn in the order in
which it draws them, so that the suite is the one for which its figures were published.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import peers
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Floats = NDArray[np.float64]
Labels = NDArray[np.int8]

SCRIPT = Path(__file__).parent / "peers/lightgbm_scores.py"
LIGHTGBM = ("lightgbm==4.7.0", "numpy==2.4.6", "scipy==1.17.1", "scikit-learn==1.9.1")
ROWS, TRAINING, FEATURES, INFORMATIVE = 250_000, 100_000, 60, 40
WINDOW = 20_000  # rows, of the reference and of what is compared with it
WORLD_SEED, STILL_SEED, SUITE_SEED = 0, 1, 2
TILTED = 12  # the rank, by importance, of the feature by which rows are drawn
LOST_FEATURES, LOST_SHARE = 6, 0.9
NOISY_FEATURES = 10
SEGMENT = 0.03  # of a window: the rows with the highest scores


@dataclass(frozen=True, slots=True)
class Pool:
    """Rows that the model has not seen, and what it makes of them."""

    rows: Rows
    labels: Labels
    scores: Floats
    model: NDArray[Any]
    ranked: NDArray[np.int64]
    """Features by importance, the most important one first; the last have no weight at all."""

    def score(self, rows: Rows) -> Floats:
        """What the model makes of other rows."""
        answer = peers.ask(SCRIPT, LIGHTGBM, {"model": self.model, "rows": rows})
        return np.asarray(answer["scores"])


@dataclass(frozen=True, slots=True)
class Window:
    """A window as the model gets it, beside what comes in."""

    rows: Rows
    labels: Labels
    scores: Floats | None = None
    """None where the rows are no longer those of the pool."""
    incoming: Rows | None = None
    """Where it is not what the model gets."""


@dataclass(frozen=True, slots=True)
class Base:
    """A window before anything is changed."""

    pool: Pool
    reference: NDArray[np.int64]
    """Indices into the pool, of other rows than these."""
    rows: Rows
    labels: Labels
    scores: Floats
    rng: np.random.Generator = field(repr=False)

    @property
    def segment(self) -> NDArray[np.int64]:
        return np.argsort(-self.scores)[: int(WINDOW * SEGMENT)]


def make_pool() -> Pool:
    """Correlated normal features, forty of which weigh in the log odds; a model of other rows."""
    rng = np.random.default_rng(WORLD_SEED)
    mixed = 0.15 * rng.normal(size=(FEATURES, FEATURES))
    covariance = mixed @ mixed.T + np.eye(FEATURES)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    rows = rng.multivariate_normal(np.zeros(FEATURES), correlation, ROWS).astype(np.float32)
    weights = np.zeros(FEATURES)
    weights[:INFORMATIVE] = rng.normal(size=INFORMATIVE)
    odds = rows @ weights * (1.6 / np.sqrt(INFORMATIVE)) - 2.5
    labels = (rng.random(ROWS) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    training, kept = slice(TRAINING), slice(TRAINING, None)
    given = {"training": rows[training], "labels": labels[training], "rows": rows[kept]}
    answer = peers.ask(SCRIPT, LIGHTGBM, given)
    gain = np.where(weights == 0, 0.0, answer["gain"])
    ranked = np.argsort(-gain)
    return Pool(rows[kept], labels[kept], answer["scores"], answer["model"], ranked)


def pairs(pool: Pool, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Two windows of different rows each time, as indices into the pool."""
    while True:
        drawn = rng.choice(len(pool.rows), 2 * WINDOW, replace=False)
        yield drawn[:WINDOW], drawn[WINDOW:]


def bases(pool: Pool) -> Iterator[Base]:
    """The windows that the suite changes."""
    rng = np.random.default_rng(SUITE_SEED)
    for reference, at in pairs(pool, rng):
        yield Base(pool, reference, pool.rows[at], pool.labels[at], pool.scores[at], rng)


def unchanged(base: Base) -> Window:
    return Window(base.rows, base.labels, base.scores)


def tilted(strength: float) -> Callable[[Base], Window]:
    """Whole rows are drawn anew, those with a high value of a feature more often."""

    def tilt(base: Base) -> Window:
        values = base.rows[:, base.pool.ranked[TILTED]].astype(np.float64)
        z = (values - values.mean()) / (values.std() + 1e-9)
        chance = np.exp(strength * z.clip(-3, 3))
        drawn = base.rng.choice(WINDOW, WINDOW, replace=True, p=chance / chance.sum())
        return Window(base.rows[drawn], base.labels[drawn], base.scores[drawn])

    return tilt


def other_concept(base: Base) -> Window:
    """The rows stay, a third of the labels does not."""
    flipped = base.rng.random(WINDOW) < 0.35
    return Window(base.rows, np.where(flipped, 1 - base.labels, base.labels), base.scores)


def lost(base: Base) -> Window:
    """Features arrive empty; the model gets the reference's median in their place."""
    incoming, imputed = base.rows.copy(), base.rows.copy()
    median = np.median(base.pool.rows[base.reference], axis=0)
    for feature in base.pool.ranked[:LOST_FEATURES]:
        empty = base.rng.random(WINDOW) < LOST_SHARE
        incoming[empty, feature], imputed[empty, feature] = np.nan, median[feature]
    return Window(imputed, base.labels, incoming=incoming)


def lost_and_imputed(base: Base) -> Window:
    """The same, counted behind the imputation."""
    return Window(lost(base).rows, base.labels)


def noisy_segment(base: Base) -> Window:
    """A lot of noise, on the rows with the highest scores only."""
    rows, segment = base.rows.copy(), base.segment
    for feature in base.pool.ranked[:NOISY_FEATURES]:
        deviation = rows[:, feature].std()
        rows[segment, feature] += 4 * deviation * base.rng.normal(size=len(segment))
    return Window(rows, base.labels)


def shuffled_segment(base: Base) -> Window:
    """The values of those rows change places: no feature's distribution moves."""
    rows, segment = base.rows.copy(), base.segment
    for feature in range(FEATURES):
        rows[segment, feature] = rows[base.rng.permutation(segment), feature]
    return Window(rows, base.labels)


def weightless(base: Base) -> Window:
    """The features without weight move, by three standard deviations."""
    rows, idle = base.rows.copy(), np.sort(base.pool.ranked[INFORMATIVE:])
    rows[:, idle] += 3 * rows[:, idle].std(axis=0)
    return Window(rows, base.labels)


def noisy(strength: float) -> Callable[[Base], Window]:
    """Noise on the features that matter most, in standard deviations."""

    def add_noise(base: Base) -> Window:
        rows = base.rows.copy()
        for feature in base.pool.ranked[:NOISY_FEATURES]:
            column = rows[:, feature].astype(np.float64)
            rows[:, feature] = column + strength * column.std() * base.rng.normal(size=WINDOW)
        return Window(rows, base.labels)

    return add_noise


ARCHETYPES: dict[str, Callable[[Base], Window]] = {
    "nothing": unchanged,
    "covariate shift, mild": tilted(0.5),
    "covariate shift, moderate": tilted(1.0),
    "covariate shift, strong": tilted(2.0),
    "concept drift": other_concept,
    "features lost": lost,
    "features lost and imputed": lost_and_imputed,
    "noise on 3 % of the rows": noisy_segment,
    "3 % of the rows shuffled": shuffled_segment,
    "features without weight shift": weightless,
    "noise, at once": noisy(1.0),
    "noise, a quarter of it": noisy(0.25),
}
