"""Features that have lost their values: broken data upstream, no drift to learn from."""

from collections.abc import Iterable, Iterator, Sequence

from tidegate.evidence.encode import INVALID, MISSING, SPECIAL_BINS
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import Counts

LOST_SHARE = 0.05  # more missing or invalid values than this, over the reference, is a fault
NAMED = 5


def lost_values(profile: Profile, blocks: Iterable[Counts], least_rows: int) -> str:
    """Which features have lost values since training, and how many; empty if none has.

    What lies outside the reference is a value all the same. Too few rows say nothing.
    """
    sizes = [len(f.counts) for f in profile.features]
    fitting = [b for b in blocks if b.rows and [len(f) for f in b.features] == sizes]
    rows = sum(b.rows for b in fitting)
    if rows < least_rows:
        return ""
    lost = list(_lost(profile, fitting, rows))
    more = [f"and {len(lost) - NAMED} more"] if len(lost) > NAMED else []
    return ", ".join(lost[:NAMED] + more)


def _lost(profile: Profile, blocks: Sequence[Counts], rows: int) -> Iterator[str]:
    without = map(sum, zip(*([_without_value(f) for f in b.features] for b in blocks), strict=True))
    for feature, lost in zip(profile.features, without, strict=True):
        share = lost / rows
        before = _without_value(feature.counts) / max(sum(feature.counts), 1)
        if share - before > LOST_SHARE:
            yield f"{feature.name} ({share:.0%} missing or invalid)"


def _without_value(counts: tuple[int, ...]) -> int:
    return counts[MISSING - SPECIAL_BINS] + counts[INVALID - SPECIAL_BINS]
