"""The reference profile: what the training data looked like, in a few kilobytes.

It fixes the bins that a Model's sidecars count with, so that the windows of many pods add up and
compare with the counts of the training rows that stand in it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tidegate.errors import TerminalError
from tidegate.evidence.encode import (
    SPECIAL_BINS,
    Bins,
    Column,
    bin_of,
    count_categories,
    count_labels,
    count_numbers,
    numbers,
    prediction_keys,
)
from tidegate.evidence.hours import (
    DAY,
    WEEK,
    Cycle,
    Hours,
    HourTable,
    count_features,
    count_predictions,
    fits,
)
from tidegate.evidence.ranking import Ranking

__all__ = [
    "SPECIAL_BINS",
    "Category",
    "Number",
    "Predictions",
    "Profile",
    "make_profile",
    "with_hours",
]

VERSION = 1
QUANTILE_BINS = 10
OWN_BIN_SHARE = 0.05  # a value this common (zero inflation, ties) would distort a quantile bin
LEVEL_SHARE = 0.005  # rarer levels are pooled: their own counts would be noise
LEVEL_LIMIT = 30
RARE_LIMIT = 1000  # keeps the profile of a column of identifiers at kilobytes
ROWS_IN_HOUR = 60  # fewer than this, on average, don't tell a season from chance

Kind = Literal["number", "category"]
Task = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric feature: `len(edges) + 1` bins and the special ones."""

    name: str
    edges: tuple[float, ...]
    low: float
    high: float
    """Values below `low` or above `high` are outside of what training saw."""
    counts: tuple[int, ...] = ()

    def encode(self, values: Column) -> Bins:
        return count_numbers(self.edges, self.low, self.high, values)


@dataclass(frozen=True, slots=True)
class Category:
    """A categorical feature: its levels, one bin for the other known ones, the special bins."""

    name: str
    levels: tuple[str, ...]
    rare: tuple[str, ...]
    counts: tuple[int, ...] = ()

    def encode(self, values: Column) -> Bins:
        return count_categories(self.levels, self.rare, values)


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the model answered to the reference rows."""

    kind: Kind
    levels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """Rows by label, or by bin (index as text)."""

    @property
    def bin_edges(self) -> tuple[float, ...] | None:
        """The edges of a numeric prediction, None where predictions are labels."""
        return self.edges if self.kind == "number" else None


@dataclass(frozen=True, slots=True)
class Profile:
    """Bins, reference counts and held-out metrics of one trained model."""

    task: Task
    rows: int
    features: tuple[Number | Category, ...]
    predictions: Predictions
    metrics: Mapping[str, float] = field(default_factory=dict)
    hours: Hours | None = None
    """The counts by hour of the week or day, where the training rows say when they were seen."""
    ranking: Ranking | None = None
    """The scores of held-out rows by label, where there are two labels and scores."""

    @property
    def bins(self) -> int:
        """The bins of all features together."""
        return sum(len(f.counts) for f in self.features)

    def shares(self) -> list[NDArray[np.float64]]:
        """For each feature the reference share of each of its bins, special bins last."""
        counts = [np.asarray(f.counts, dtype=np.float64) for f in self.features]
        return [c / max(c.sum(), 1.0) for c in counts]

    def encode(self, columns: Mapping[str, Column]) -> list[Bins]:
        """Rows by bin for each feature; a feature without a column is missing in every row."""
        rows = max((len(c) for c in columns.values()), default=0)
        absent: Column = [None] * rows
        return [f.encode(columns.get(f.name, absent)) for f in self.features]

    def to_json(self) -> dict[str, Any]:
        hours = {} if self.hours is None else {"hours": self.hours.to_json()}
        ranking = {} if self.ranking is None else {"ranking": self.ranking.to_json()}
        return {
            "version": VERSION,
            "task": self.task,
            "rows": self.rows,
            "features": [_feature_to_json(f) for f in self.features],
            "predictions": _predictions_to_json(self.predictions),
            "metrics": dict(self.metrics),
            **hours,
            **ranking,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Profile":
        """Raise TerminalError(InvalidProfile) if `data` is not a profile that this code knows."""
        try:
            _check_header(data)
            found = cls(
                task=data["task"],
                rows=int(data["rows"]),
                features=tuple(_feature_from_json(f) for f in data["features"]),
                predictions=_predictions_from_json(data["predictions"]),
                metrics={str(k): float(v) for k, v in data["metrics"].items()},
                ranking=Ranking.from_json(data["ranking"]) if "ranking" in data else None,
            )
            return replace(found, hours=_hours_from_json(data.get("hours"), found.bins))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TerminalError("InvalidProfile", f"not a reference profile: {error!r}") from error


def make_profile(
    features: Mapping[str, Column],
    kinds: Mapping[str, Kind],
    predictions: Column,
    task: Task,
    metrics: Mapping[str, float],
) -> Profile:
    """The profile of the training rows and of the model's predictions for them."""
    unfilled = Profile(
        task=task,
        rows=len(predictions),
        features=tuple(
            _fit_number(name, column) if kinds[name] == "number" else _fit_category(name, column)
            for name, column in features.items()
        ),
        predictions=_fit_predictions(predictions, task),
        metrics=dict(metrics),
    )
    filled = zip(unfilled.features, unfilled.encode(features), strict=True)
    return replace(
        unfilled, features=tuple(replace(f, counts=tuple(c.tolist())) for f, c in filled)
    )


def with_hours(
    profile: Profile,
    features: Mapping[str, NDArray[Any]],
    of_features: NDArray[np.int64],
    predictions: Column,
    of_predictions: NDArray[np.int64],
) -> Profile:
    """The profile with the same rows counted by their hours of the week, -1 where not known.

    By hours of the day where a week's would have too few rows each, or be too many numbers; as it
    is where a day's would, too.
    """
    keys = prediction_keys(predictions, profile.predictions.bin_edges)
    answers, names = count_predictions(keys, of_predictions)
    rows, columns = int((of_features >= 0).sum()), profile.bins + len(names)
    cycles: tuple[Cycle, ...] = (WEEK, DAY)
    cycle = next((c for c in cycles if rows >= ROWS_IN_HOUR * c and fits(c, columns)), None)
    if cycle is None:
        return profile
    counts = count_features(profile.encode, features, of_features)
    table = HourTable(counts, answers, tuple(names))
    return replace(profile, hours=Hours.of(table.folded(cycle)))


def _fit_number(name: str, column: Column) -> Number:
    found, _ = numbers(column)
    finite = found[np.isfinite(found)]
    if not len(finite):
        return Number(name, edges=(), low=0.0, high=0.0)
    lower, upper = np.quantile(finite, (0.25, 0.75))
    spread = float(upper - lower)
    return Number(
        name,
        edges=_fit_edges(finite),
        low=float(finite.min()) - spread,
        high=float(finite.max()) + spread,
    )


def _fit_edges(finite: NDArray[np.float64]) -> tuple[float, ...]:
    """Two edges around each common value, and quantiles of the values in between."""
    distinct, times = np.unique(finite, return_counts=True)
    common = distinct[times >= OWN_BIN_SHARE * len(finite)]
    rest = finite[~np.isin(finite, common)]
    bins = max(round(QUANTILE_BINS * len(rest) / len(finite)), 1)
    quantiles = np.quantile(rest, np.arange(1, bins) / bins) if len(rest) else rest
    edges = np.unique(np.concatenate([quantiles, common, np.nextafter(common, np.inf)]))
    filled = np.bincount(bin_of(edges.tolist(), finite), minlength=len(edges) + 1) > 0
    # An empty bin joins the one below it (the first one the one above): it holds no reference.
    kept = edges[filled[1:]] if filled[0] else edges[filled[1:]][1:]
    return tuple(kept.tolist())


def _fit_category(name: str, column: Column) -> Category:
    found, _, _ = count_labels(column)
    ranked = _ranked(found)
    least = LEVEL_SHARE * sum(found.values())
    levels = [level for level in ranked[:LEVEL_LIMIT] if found[level] >= least]
    rare = ranked[len(levels) :][:RARE_LIMIT]
    return Category(name, levels=tuple(levels), rare=tuple(rare))


def _ranked(found: Counter[str]) -> list[str]:
    return sorted(found, key=lambda level: (-found[level], level))


def _fit_predictions(values: Column, task: Task) -> Predictions:
    if task == "classification":
        counts = Counter(prediction_keys(values, None))
        return Predictions("category", levels=tuple(_ranked(counts)), counts=dict(counts))
    found, _ = numbers(values)
    finite = found[np.isfinite(found)]
    edges = _fit_edges(finite) if len(finite) else ()
    return Predictions("number", edges=edges, counts=dict(Counter(prediction_keys(values, edges))))


def _check_header(data: Mapping[str, Any]) -> None:
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']!r} is not {VERSION}")
    if data["task"] not in ("classification", "regression"):
        raise ValueError(f"unknown task {data['task']!r}")


def _hours_from_json(data: Mapping[str, Any] | None, bins: int) -> Hours | None:
    if data is None:
        return None
    hours = Hours.from_json(data)
    if hours.bins != bins:
        raise ValueError(f"hours of {hours.bins} bins for {bins} bins")
    hours.table()  # a damaged file is found here, and not when it is needed
    return hours


def _feature_to_json(feature: Number | Category) -> dict[str, Any]:
    match feature:
        case Number(name, edges, low, high, counts):
            return {
                "name": name,
                "kind": "number",
                "edges": list(edges),
                "low": low,
                "high": high,
                "counts": list(counts),
            }
        case Category(name, levels, rare, counts):
            return {
                "name": name,
                "kind": "category",
                "levels": list(levels),
                "rare": list(rare),
                "counts": list(counts),
            }


def _feature_from_json(data: Mapping[str, Any]) -> Number | Category:
    feature: Number | Category
    counts = tuple(int(n) for n in data["counts"])
    if data["kind"] == "number":
        edges = tuple(float(e) for e in data["edges"])
        feature = Number(str(data["name"]), edges, float(data["low"]), float(data["high"]), counts)
        bins = len(edges) + 1
    elif data["kind"] == "category":
        levels = tuple(str(level) for level in data["levels"])
        rare = tuple(str(level) for level in data["rare"])
        feature = Category(str(data["name"]), levels, rare, counts)
        bins = len(levels) + 1
    else:
        raise ValueError(f"unknown kind {data['kind']!r}")
    if len(counts) != bins + SPECIAL_BINS:
        raise ValueError(f"{data['name']}: {len(counts)} counts for {bins} bins")
    return feature


def _predictions_to_json(predictions: Predictions) -> dict[str, Any]:
    bins: Sequence[str] | Sequence[float] = predictions.levels
    if predictions.kind == "number":
        bins = predictions.edges
    return {
        "kind": predictions.kind,
        "edges" if predictions.kind == "number" else "levels": list(bins),
        "counts": dict(predictions.counts),
    }


def _predictions_from_json(data: Mapping[str, Any]) -> Predictions:
    counts = {str(k): int(v) for k, v in data["counts"].items()}
    if data["kind"] == "number":
        return Predictions("number", edges=tuple(float(e) for e in data["edges"]), counts=counts)
    if data["kind"] == "category":
        levels = tuple(str(level) for level in data["levels"])
        return Predictions("category", levels=levels, counts=counts)
    raise ValueError(f"unknown kind {data['kind']!r} of predictions")
