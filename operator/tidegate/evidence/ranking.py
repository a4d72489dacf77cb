"""Ranking: the scores of a model of two labels, in bins, so that labels tell how well it ranks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tidegate.evidence.encode import Bins, Column, bin_of, label_text, numbers
from tidegate.evidence.ranked import Ranked

BINS = 20  # cost at most a few thousandths of the area under a ROC curve
BINS_LIMIT = 100  # that sidecars keep room for


@dataclass(frozen=True, slots=True)
class Ranking:
    """The bins, and the held-out rows of either label in them."""

    labels: tuple[str, str]
    """The negative label and the positive one, which is the more likely the higher the score is."""
    edges: tuple[float, ...]
    negatives: tuple[int, ...]
    positives: tuple[int, ...]

    def __post_init__(self) -> None:
        bins = len(self.edges) + 1
        if not bins <= BINS_LIMIT or {len(self.negatives), len(self.positives)} != {bins}:
            raise ValueError(f"want counts of {bins} bins, and at most {BINS_LIMIT}")
        if not any(self.negatives) or not any(self.positives):
            raise ValueError("a ranking needs rows of both labels")

    @classmethod
    def of(
        cls, scores: NDArray[np.float64], positive: NDArray[np.bool_], labels: tuple[str, str]
    ) -> Self:
        """Bins that hold equal parts of both labels' rows together, each label counting half."""
        order = np.argsort(scores, kind="stable")
        weights = np.where(positive, 1 / positive.sum(), 1 / (~positive).sum()) / 2
        at = np.searchsorted(np.cumsum(weights[order]), np.arange(1, BINS) / BINS)
        edges = np.unique(scores[order][np.minimum(at, len(scores) - 1)])
        bins = bin_of(edges.tolist(), scores)
        negatives, positives = (
            np.bincount(bins[rows], minlength=len(edges) + 1) for rows in (~positive, positive)
        )
        return cls(
            labels, tuple(edges.tolist()), tuple(negatives.tolist()), tuple(positives.tolist())
        )

    def bins(self, scores: Column) -> list[int]:
        """The bin of each score, -1 where there is none."""
        found, _ = numbers(scores)
        bins = np.where(np.isnan(found), -1, bin_of(self.edges, found))
        return [int(b) for b in bins]

    def side(self, label: object) -> int | None:
        """0 of the negative label, 1 of the positive one, None of any other."""
        try:
            text = label_text(label)
        except TypeError:
            return None
        return self.labels.index(text) if text in self.labels else None

    def counts(self, ranked: Ranked) -> tuple[Bins, Bins]:
        """Negatives and positives by bin."""
        found = np.zeros((len(self.edges) + 1, 2), dtype=np.int64)
        for index, *rows in ranked:
            if index < len(found):
                found[index] += rows
        return found[:, 0], found[:, 1]

    def to_json(self) -> dict[str, Any]:
        return {
            "labels": list(self.labels),
            "edges": list(self.edges),
            "negatives": list(self.negatives),
            "positives": list(self.positives),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raise KeyError, TypeError or ValueError where `data` is none."""
        negative, positive = data["labels"]
        return cls(
            (str(negative), str(positive)),
            tuple(float(e) for e in data["edges"]),
            tuple(int(n) for n in data["negatives"]),
            tuple(int(n) for n in data["positives"]),
        )
