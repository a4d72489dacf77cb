"""Log-spaced latency bins: eight to a doubling, from 0.1 ms to 105 s, so that histograms add up."""

from math import log
from typing import Final

BINS_PER_DOUBLING: Final = 8
FLOOR_SECONDS: Final = 1e-4
_BINS_PER_NAT: Final = BINS_PER_DOUBLING / log(2)  # in a factor of e
BINS: Final = 161  # 20 doublings, and one bin for everything slower
GROWTH = 2 ** (1 / BINS_PER_DOUBLING)  # 1.0905: each bin is 9 % wider than the one before


def latency_bin(seconds: float) -> int:
    """The index of the bin that a latency falls in.

    >>> latency_bin(0.00005), latency_bin(0.001), latency_bin(1e6)
    (0, 26, 160)
    """
    if seconds <= FLOOR_SECONDS:
        return 0
    return min(int(_BINS_PER_NAT * log(seconds / FLOOR_SECONDS)), BINS - 1)


def bin_upper_seconds(index: int) -> float:
    """The upper bound of a bin, in seconds."""
    return float(FLOOR_SECONDS * GROWTH ** (index + 1))
