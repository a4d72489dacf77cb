"""Windows of a metric server's values: which there are, and which of them compare the arms."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.v1alpha1.analysis import Metric, Range
from tidegate.evidence.values import Compared, Question, Traffic, ValueKey, question_of
from tidegate.evidence.windows import UNDRAWN, BlockKey, Counts

QUESTION = Question("q", "x{revision='{{revision}}'}", 3)
slots = st.integers(0, 400)
lengths = st.integers(1, 90)


def metric(**fields: object) -> Metric:
    return Metric.model_validate(
        {"name": "m", "source": "Prometheus", "onBreach": "Hold", "query": "x", **fields}
    )


@given(slots, st.integers(0, 200), lengths)
def test_windows_lie_side_by_side_and_are_the_same_for_everybody(
    after: int, more: int, length: int
) -> None:
    question = Question("q", "x", length)
    ends = list(question.ends(after, after + more))
    assert ends == [s for s in range(after + 1, after + more + 1) if (s + 1) % length == 0]
    assert question.next_end(after) > after
    assert (question.next_end(after) + 1) % length == 0


@given(slots, lengths)
def test_the_first_window_begins_after_the_slot_and_no_other_does_earlier(
    after: int, length: int
) -> None:
    first = Question("q", "x", length).first_end(after) - length + 1
    assert first % length == 0
    assert after < first <= after + length


def test_the_query_is_filled_in() -> None:
    asked = metric(query='avg(c{n="{{namespace}}",r="{{revision}}"}[{{window}}])', window="2m")
    question = question_of(asked)
    assert question is not None
    assert question.slots == 12
    assert question.about("growth", "churn-1") == 'avg(c{n="growth",r="churn-1"}[120s])'


def test_a_question_is_known_by_its_query_and_window() -> None:
    base, same = question_of(metric()), question_of(metric(maxAbsoluteDrop="0.1", window="60s"))
    assert base == same
    others = [metric(query="y"), metric(window="30s")]
    assert all(question_of(o) != base for o in others)
    assert base is not None
    assert all((q := question_of(o)) is not None and q.id != base.id for o in others)


def test_other_sources_ask_nothing() -> None:
    errors = Metric(name="e", source="ErrorRate", max_absolute_increase="0.1", on_breach="Hold")
    assert question_of(errors) is None


def test_a_range_is_read_as_decimals() -> None:
    assert metric(range={"min": "0", "max": "0.5"}).range == Range(min="0", max="0.5")


def compared(requests: dict[tuple[int, int, str], int]) -> Compared | None:
    windows = {BlockKey(*at): Counts(requests=n) for at, n in requests.items()}
    values = {ValueKey(5, "q", "new"): 0.5, ValueKey(5, "q", "old"): None}
    return Traffic(windows, "old", "new").compared(QUESTION, 5, values)


def test_a_window_has_the_requests_of_its_slots() -> None:
    both = {(3, 7, "new"): 2, (3, 7, "old"): 20, (5, 7, "new"): 1, (5, 7, "old"): 30}
    outside = {(2, 7, "new"): 100, (6, 7, "old"): 100}
    elsewhere = {(4, UNDRAWN, "new"): 100, (4, 8, "older"): 100}
    assert compared(both | outside | elsewhere) == Compared(0.5, None, 3, 50)


def test_a_window_in_which_the_routing_changed_is_not_compared() -> None:
    both = {(3, 7, "new"): 2, (3, 7, "old"): 20}
    assert compared(both | {(5, 8, "old"): 20}) is None
    assert compared(both | {(5, 8, "old"): 0}) is not None


def test_a_window_in_which_an_arm_had_no_requests_is_not_compared() -> None:
    assert compared({(3, 7, "old"): 20}) is None
    assert compared({(3, 7, "old"): 20, (3, 7, "new"): 0}) is None
    assert compared({}) is None
