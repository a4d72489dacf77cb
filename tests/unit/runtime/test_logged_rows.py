from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tidegate.clients.objectstore import Entry
from tidegate.runtime.logged_rows import (
    BYTES_LIMIT,
    PARTS_LIMIT,
    LoggedRow,
    _Sample,
    _spread,
)

rows = st.lists(st.integers(0, 30), max_size=200).map(
    lambda ids: [LoggedRow("2026-11-21T10:00:00Z", f"r{i}", {"n": n}) for n, i in enumerate(ids)]
)


@given(rows=rows, limit=st.integers(1, 50))
def test_a_sample_has_all_rows_of_a_request_or_none_and_hardly_more_than_asked_for(
    rows: list[LoggedRow], limit: int
) -> None:
    sample = _Sample(limit)
    for row in rows:
        sample.add(row)
    kept, logged = Counter(r.request for r in sample.rows()), Counter(r.request for r in rows)
    assert all(kept[request] == logged[request] for request in kept)
    assert kept.total() >= min(limit, len(rows))
    assert kept.total() < limit + max(logged.values(), default=0)


@given(rows=rows, limit=st.integers(1, 50), seed=st.randoms(use_true_random=False))
def test_which_requests_are_kept_does_not_depend_on_the_order_of_the_parts(
    rows: list[LoggedRow], limit: int, seed: object
) -> None:
    other = list(rows)
    seed.shuffle(other)  # type: ignore[attr-defined] # hypothesis gives it no type
    found = []
    for order in (rows, other):
        sample = _Sample(limit)
        for row in order:
            sample.add(row)
        found.append({r.request for r in sample.rows()})
    assert found[0] == found[1]


@given(sizes=st.lists(st.integers(0, 2 << 20) | st.just(1 << 30), max_size=2000))
def test_parts_are_bounded_in_number_and_spread_over_the_interval(sizes: list[int]) -> None:
    parts = [Entry(f"{n:04d}", size) for n, size in enumerate(sizes)]
    chosen = _spread(parts)
    assert len(chosen) <= PARTS_LIMIT
    assert chosen or not parts
    if sum(sizes) <= BYTES_LIMIT and len(parts) <= PARTS_LIMIT:
        assert chosen == parts
