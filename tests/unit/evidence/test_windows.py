import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.evidence.ranked import counted
from tidegate.evidence.windows import BlockKey, Counts, Labels, Report, merged, merged_labels

NUMBERS = st.integers(0, 1000)
NAMED = st.dictionaries(st.sampled_from(["a", "b", "5xx"]), NUMBERS)
COUNTS = st.builds(
    Counts,
    requests=NUMBERS,
    errors=NAMED,
    latency=NAMED,
    rows=NUMBERS,
    features=st.one_of(st.just(()), st.tuples(st.tuples(NUMBERS, NUMBERS), st.tuples(NUMBERS))),
    predictions=NAMED,
    unparsed=NAMED,
    dropped=NUMBERS,
    pairs=NAMED,
)
RANKED = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), max_size=5).map(counted)
LABELS = st.builds(Labels, labelled=NUMBERS, wrong=NUMBERS, ranked=RANKED)
KEYS = st.builds(BlockKey, st.integers(0, 3), st.integers(0, 1), st.sampled_from(["r1", "r2"]))
PARTS = st.lists(st.dictionaries(KEYS, COUNTS, max_size=4), max_size=4)


@given(a=COUNTS, b=COUNTS, c=COUNTS)
def test_counts_add_up_in_any_order(a: Counts, b: Counts, c: Counts) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert (a + b).requests == a.requests + b.requests
    assert (a + b).failed == a.failed + b.failed


@given(parts=PARTS)
def test_merging_loses_and_invents_nothing(parts: list[dict[BlockKey, Counts]]) -> None:
    whole = merged(parts)
    assert whole == merged(reversed(parts))
    assert sum(n.rows for n in whole.values()) == sum(n.rows for p in parts for n in p.values())


@given(parts=st.lists(st.dictionaries(KEYS, LABELS, max_size=4), max_size=4))
def test_merging_labels(parts: list[dict[BlockKey, Labels]]) -> None:
    whole = merged_labels(parts)
    assert whole == merged_labels(reversed(parts))
    assert sum(n.wrong for n in whole.values()) == sum(n.wrong for p in parts for n in p.values())
    told = [row for p in parts for n in p.values() for row in n.ranked]
    ranked = [row for n in whole.values() for row in n.ranked]
    assert sum(p for *_, p in ranked) == sum(p for *_, p in told)


@given(
    windows=st.dictionaries(KEYS, COUNTS, max_size=4),
    labels=st.dictionaries(KEYS, LABELS, max_size=4),
    refused=NAMED,
)
def test_a_report_survives_json(
    windows: dict[BlockKey, Counts], labels: dict[BlockKey, Labels], refused: dict[str, int]
) -> None:
    report = Report("pod", "r1", 3, 1, 2, 1, windows, labels, refused)
    assert Report.from_json(report.to_json()) == report


def test_labels_of_an_older_sidecar_have_no_ranks() -> None:
    key = BlockKey(1, 1, "r1")
    told = Report("pod", "r1", 3, 1, 2, 1, labels={key: Labels(3, 1, ((2, 1, 1),))}).to_json()
    assert told["ranked"] == [[1, 1, "r1", ((2, 1, 1),)]]
    del told["ranked"]
    assert Report.from_json(told).labels == {key: Labels(3, 1)}


@pytest.mark.parametrize("bins", [[[1, 2]], [[1, -1, 0]], [["x", 1, 1]], [3], 3, [[1, None, 1]]])
def test_refuses_ranks_that_are_no_counts(bins: object) -> None:
    report = Report("pod", "r1", 3, 1, 2, 1).to_json()
    with pytest.raises((TypeError, ValueError)):
        Report.from_json({**report, "ranked": [[1, 1, "r1", bins]]})


@pytest.mark.parametrize("counts", [[1.0, 2], ["1"], [None], [[1]], 3, "12"])
def test_refuses_features_that_are_no_counts(counts: object) -> None:
    report = Counts(requests=1, rows=1, features=((1,),)).to_json()
    with pytest.raises(TypeError):
        Counts.from_json({**report, "features": [counts]})
