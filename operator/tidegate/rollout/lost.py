"""Features that have lost their values: broken data upstream, no drift to learn from."""

from collections.abc import Iterable, Iterator, Sequence

from tidegate.evidence.encode import INVALID, MISSING, SPECIAL_BINS
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import Counts

LOST_SHARE = 0.05  # more missing or invalid values than this, over the reference, is a fault
NAMED = 5
_MISSING, _INVALID = MISSING - SPECIAL_BINS, INVALID - SPECIAL_BINS  # counted from the end


def lost_values(profile: Profile, blocks: Iterable[Counts], least_rows: int) -> str:
    """Which features have lost values since training, and how many; empty if none has.

    What lies outside the reference is a value all the same. Too few rows say nothing.
    """
    sizes = tuple(len(f.counts) for f in profile.features)
    fitting = [b for b in blocks if b.rows and tuple(map(len, b.features)) == sizes]
    rows = sum(b.rows for b in fitting)
    if rows < least_rows:
        return ""
    lost = list(_lost(profile, fitting, rows))
    more = [f"and {len(lost) - NAMED} more"] if len(lost) > NAMED else []
    return ", ".join(lost[:NAMED] + more)


def _lost(profile: Profile, blocks: Sequence[Counts], rows: int) -> Iterator[str]:
    by_block = ([f[_MISSING] + f[_INVALID] for f in b.features] for b in blocks)
    without = map(sum, zip(*by_block, strict=True))
    for feature, lost in zip(profile.features, without, strict=True):
        share = lost / rows
        counts = feature.counts
        before = (counts[_MISSING] + counts[_INVALID]) / max(sum(counts), 1)
        if share - before > LOST_SHARE:
            yield f"{feature.name} ({share:.0%} missing or invalid)"
