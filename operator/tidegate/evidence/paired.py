"""Pairs: one request, answered by stable and, as a shadow copy, by the candidate too.

Both revisions had the same input, so that nothing but they themselves can make the answers differ:
a pair says more than two answers to different requests. The unit is the request, also where it asks
for many rows: rows of one request are no independent evidence.
"""

from collections.abc import Mapping
from enum import StrEnum


class Pair(StrEnum):
    """What came of a copy."""

    AGREED = "agreed"
    DIFFERED = "differed"
    """At least one row was predicted otherwise, or the candidate's answer has no predictions."""
    FAILED = "failed"
    """The candidate gave an error, or no answer in time; stable had given one."""
    DROPPED = "dropped"
    """There was no room for the copy: it was never sent, or never compared."""
    UNREAD = "unread"
    """Stable's own answer could not be decoded."""


def compared(pairs: Mapping[str, int]) -> int:
    """Requests of which is known whether the revisions agree."""
    return pairs.get(Pair.AGREED, 0) + disagreed(pairs)


def disagreed(pairs: Mapping[str, int]) -> int:
    """Those of which they do not; no answer is another answer."""
    return pairs.get(Pair.DIFFERED, 0) + pairs.get(Pair.FAILED, 0)
