"""Counters since the monitor started, for Prometheus."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple


class Relayed(NamedTuple):
    """Connections that are passed on unread; the proxy counts them, since it started."""

    open: int
    results: Mapping[str, int]
    bytes: Mapping[str, int]
    """By direction, `in` or `out`."""


class Totals:
    """Plain numbers that only grow; `metrics` gives them their names."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        """By revision and status code."""
        self.latency: defaultdict[str, Counter[int]] = defaultdict(Counter)
        """By revision and latency bin."""
        self.unparsed: Counter[str] = Counter()
        self.feedback: Counter[str] = Counter()
        self.pairs: Counter[str] = Counter()
        self.tokens: Counter[tuple[str, str]] = Counter()
        """By revision and direction, `in` or `out`."""
        self.ends: Counter[tuple[str, str]] = Counter()
        """By revision and why an answer ended."""
        self.first_token: defaultdict[str, Counter[int]] = defaultdict(Counter)
        """Streamed answers by revision and latency bin."""
        self.relayed: Relayed | None = None
        """Absent where requests are counted."""
        self.rows = 0
        self.dropped = 0
