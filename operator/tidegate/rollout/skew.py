"""Do both arms get the same kind of requests? If not, their answers can't be compared.

The inputs of a candidate that is routed at random are a random sample of all inputs, whatever the
model makes of them. Where they are not, routing or what stands before the model is broken for one
arm: a sign that the candidate's numbers tell nothing, never that it is bad.

Each revision counts over the bins of its own reference profile. What is a missing or an invalid
value does not depend on it, and is compared for every feature that both have; all the bins are
compared where the profiles agree on them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidegate.evidence.encode import OUTSIDE, SPECIAL_BINS
from tidegate.evidence.profile import Category, Number, Profile
from tidegate.evidence.windows import Counts
from tidegate.statistics.bins import BinsTest
from tidegate.statistics.combine import combine, e_bh
from tidegate.statistics.floats import Floats

GROUPS = 5  # neighbouring bins are one: a skew that matters moves more than a tenth of the values
MOST_FEATURES = 64  # what is kept of them has to fit into a Model's status
HORIZON_SLOTS = 720  # as for the metrics: a skew that begins within two hours is found early
LIMIT = 0.01  # of an unskewed rollout: the probability of ever being held for skew
NAMED_LIMIT = 0.05  # of the features that are named: the share that is named by chance
LEAST_MOVED = 0.02  # of the values: less is real perhaps, and spoils no comparison
MOST_NAMED = 3
KINDS = ("missing", "outside the reference", "invalid")


class Shared(NamedTuple):
    """A feature that both revisions know."""

    name: str
    candidate: int
    stable: int
    """Where it stands in each profile."""
    alike: bool
    """Whether both count over the same bins."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the counts of both arms are laid side by side."""

    features: tuple[Shared, ...]
    candidate: tuple[int, ...]
    stable: tuple[int, ...]
    """The bins of each feature of a profile, special ones included."""


def layout_of(candidate: Profile | None, stable: Profile | None) -> Layout | None:
    """What can be compared; None where a profile is not known or they share no feature."""
    if candidate is None or stable is None:
        return None
    known = {f.name: i for i, f in enumerate(stable.features)}
    shared = [
        Shared(f.name, i, known[f.name], _bins(f) == _bins(stable.features[known[f.name]]))
        for i, f in enumerate(candidate.features)
        if f.name in known
    ]
    if not shared:
        return None
    sizes = (tuple(len(f.counts) for f in p.features) for p in (candidate, stable))
    return Layout(tuple(shared[:MOST_FEATURES]), *sizes)


def _bins(feature: Number | Category) -> Number | Category:
    return replace(feature, counts=())


class Skew:
    """The evidence that the candidate's inputs are no random sample of all inputs."""

    def __init__(self, layout: Layout, session: int | None = None) -> None:
        """`session`: how many requests share their arm, at most; None where each one is drawn."""
        self._layout, self._session = layout, session or 1
        lead = (len(layout.features),)
        self._test = BinsTest(GROUPS + SPECIAL_BINS, lead, horizon=HORIZON_SLOTS)

    def fold(self, candidate: Counts, stable: Counts) -> None:
        """Take in one block of both arms; nothing where the pods count over other bins."""
        sizes = (self._layout.candidate, self._layout.stable)
        arms = (candidate, stable)
        if any(tuple(map(len, a.features)) != s for a, s in zip(arms, sizes, strict=True)):
            return
        k1, k0 = (self._table(a, into) for a, into in zip(arms, _cells(self._layout), strict=True))
        rows = candidate.rows + stable.rows
        batch = math.ceil(rows / max(candidate.requests + stable.requests, 1))
        self._test.update(k1, k0, phi=float(self._session * max(batch, 1)))

    def _table(self, counts: Counts, into: NDArray[np.intp]) -> Floats:
        features, width = len(self._layout.features), GROUPS + SPECIAL_BINS
        # As the integers that they are: to make floats of them one by one takes twice the time.
        flat = np.fromiter(chain.from_iterable(counts.features), np.int64, into.size)
        found = np.bincount(into, weights=flat, minlength=features * width + 1)
        return np.asarray(found[:-1].reshape(features, width), dtype=np.float64)

    def in_words(self) -> str:
        """Which features differ between the arms, on evidence; empty if none does."""
        log_e = self._test.log_e()
        if combine(log_e, [1.0] * log_e.size) < -math.log(LIMIT):
            return ""
        seen, expected = self._test.shares()
        found = [self._in_words(i, seen[i], expected[i]) for i in e_bh(log_e, NAMED_LIMIT)]
        return ", ".join([text for text in found if text][:MOST_NAMED])

    def _in_words(self, feature: int, seen: Floats, expected: Floats) -> str:
        most = int(np.argmax(np.abs(seen - expected)))
        if abs(seen[most] - expected[most]) < LEAST_MOVED:
            return ""
        what = KINDS[most - GROUPS] if most >= GROUPS else "in one part of its range"
        name = self._layout.features[feature].name
        return f"{name}: {seen[most]:.0%} {what}, of all requests {expected[most]:.0%}"

    def to_state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as JSON."""
        layout = self._layout
        return {
            "features": [list(f) for f in layout.features],
            "sizes": [list(layout.candidate), list(layout.stable)],
            "session": self._session,
            "test": self._test.to_state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Skew":
        """The check as it was when `to_state` was called, bit for bit."""
        features = tuple(Shared(*feature) for feature in state["features"])
        sizes = (tuple(int(n) for n in arm) for arm in state["sizes"])
        skew = cls(Layout(features, *sizes), int(state["session"]))
        skew._test = BinsTest.from_state(state["test"])
        return skew


@lru_cache(maxsize=256)  # rollouts at a time: each look begins with the state of the one before
def _cells(layout: Layout) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each bin of each arm, where it is counted."""
    of_candidate = tuple((f.candidate, f.alike) for f in layout.features)
    of_stable = tuple((f.stable, f.alike) for f in layout.features)
    cells = _groups(layout.candidate, of_candidate)
    if (layout.stable, of_stable) == (layout.candidate, of_candidate):
        return cells, cells
    return cells, _groups(layout.stable, of_stable)


def _groups(sizes: Sequence[int], features: Sequence[tuple[int, bool]]) -> NDArray[np.intp]:
    """For each bin of all features of a profile, one after the other, the cell it is counted in.

    A feature's cells are its groups of bins and the special ones. Where the profiles disagree about
    its bins, all values that are no special ones, and those outside, are one group.
    """
    row, alike = np.full(len(sizes), len(features)), np.full(len(sizes), fill_value=True)
    for number, (feature, same) in enumerate(features):
        row[feature], alike[feature] = number, same
    own = np.array(sizes) - SPECIAL_BINS
    groups = np.where(alike, np.minimum(GROUPS, own), 1)
    first = np.cumsum(sizes) - sizes
    row, alike, own, groups, first = (
        np.repeat(each, sizes) for each in (row, alike, own, groups, first)
    )
    bin_ = np.arange(row.size) - first
    cell = np.where(bin_ < own, bin_ * groups // own, GROUPS + bin_ - own)
    cell[~alike & (bin_ == own + OUTSIDE)] = 0
    width, nowhere = GROUPS + SPECIAL_BINS, len(features)
    return np.where(row == nowhere, nowhere * width, row * width + cell)
