"""Performance by `roc_auc`: how well the stable revision's scores rank, by labels that came back.

The area under the ROC curve (AUC) is that of scores in the bins of the reference profile, compared
with that of the held-out rows in the same bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from tidegate.api.v1alpha1.drift_policy import Signal, SignalStatus
from tidegate.evidence.encode import Bins
from tidegate.evidence.profile import Profile
from tidegate.evidence.ranking import Ranking
from tidegate.evidence.windows import Labels
from tidegate.rollout.performance import MIN_LABELLED, judged
from tidegate.rollout.series import Series, unknown
from tidegate.statistics.dispersion import BEFORE_HARM
from tidegate.statistics.ranking import RankingDetector, Ranks, clustering, interval

PRIOR_SLOTS = 0.5  # the first guess of how many labels are alike counts like so many
LARGEST_BOUND = 0.999


@dataclass(frozen=True, slots=True)
class Window:
    """Labelled rows by slot and by bin of their score."""

    negatives: Bins
    positives: Bins

    @classmethod
    def of(cls, reference: Ranking, labels: Sequence[Labels]) -> Self:
        tables = [reference.counts(slot.ranked) for slot in labels if slot.ranked]
        found = np.array(tables, dtype=np.int64).reshape(-1, 2, len(reference.negatives))
        return cls(found[:, 0], found[:, 1])

    @property
    def whole(self) -> tuple[Bins, Bins]:
        return self.negatives.sum(0), self.positives.sum(0)

    @property
    def rows(self) -> int:
        return int(self.negatives.sum() + self.positives.sum())

    @property
    def ranks(self) -> bool:
        """Whether it has rows of both labels."""
        return bool(self.negatives.any() and self.positives.any())


def ranking(
    signal: Signal,
    profile: Profile,
    labels: Series[Labels],
    threshold: float,
    session: int | None = None,
) -> SignalStatus:
    """The signal by the labelled scores of the newest windows.

    `session`: how many requests share their fate, at most; None to estimate it.
    """
    reference = profile.ranking
    if reference is None:
        message = "roc_auc needs a reference profile with the scores of two labels: train again."
        return unknown(signal, 0, message)
    needed = signal.min_labelled or MIN_LABELLED
    windows = [Window.of(reference, slots) for slots in labels.slots]
    # Labels come late: the newest window may have only the first few of its own.
    newest = next((w for w in reversed(windows) if w.rows >= needed and w.ranks), None)
    if newest is None:
        most = max(w.rows for w in windows)
        message = f"{most} of {needed} labels of answers with scores in a window so far."
        return unknown(signal, most, message)
    bound = _smallest_auc(signal, reference)
    negatives, positives = newest.whole
    auc = Ranks.of(negatives, positives).auc
    alike = session or clustering(newest.negatives, newest.positives)
    low, high = interval(negatives, positives, alike)
    below = auc < bound and _evidence(windows, bound, session) >= threshold
    message = (
        f"The ROC AUC is {auc:.3f} (95 % interval {low:.3f} to {high:.3f}) on {newest.rows} "
        f"labels, {positives.sum()} of them positive; the policy wants at least {bound:.3f}."
    )
    return judged(signal, auc, (low, high), newest.rows, message, below=below)


def _evidence(windows: Sequence[Window], bound: float, session: int | None) -> float:
    """That the AUC is below the bound, in nats."""
    detector, told = RankingDetector(bound), [w for w in windows if w.ranks]
    for window in told:
        detector.update(*window.whole)
    return detector.log_m(session or _alike(told))


def _alike(windows: Sequence[Window]) -> float:
    """How many labels count as one: of each window by itself, as a fall is no clustering."""
    slots, total = PRIOR_SLOTS, PRIOR_SLOTS * BEFORE_HARM
    for window in windows:
        slots += len(window.negatives)
        total += len(window.negatives) * clustering(window.negatives, window.positives)
    return total / slots


def _smallest_auc(signal: Signal, reference: Ranking) -> float:
    """The AUC that the policy asks for: the stricter one of `min` and `maxRelativeDrop`."""
    bounds = [float(signal.min)] if signal.min is not None else []
    if signal.max_relative_drop is not None:
        known = Ranks.of(reference.negatives, reference.positives).auc
        bounds.append(known * (1 - float(signal.max_relative_drop)))
    # What a single row can say is limited by how far the bound is from 0 and 1.
    return min(max([*bounds, 1 - LARGEST_BOUND]), LARGEST_BOUND)
