"""The mean of a bounded metric on the candidate against stable's, by betting."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.statistics import MeanTest
from tidegate.statistics.mean import STAKES

Pair = tuple[float, float]
unit = st.floats(0, 1)
ALPHA = 0.01
e = math.exp


@dataclass(frozen=True)
class Question:
    """What is tolerated, of values in which range."""

    change: float
    low: float = 0.0
    high: float = 1.0
    relative: bool = False

    def test(self, *, restart: float = 0.3, dispersion: float = 1.0) -> MeanTest:
        return MeanTest(
            self.change,
            self.low,
            self.high,
            relative=self.relative,
            restart=restart,
            horizon=5,
            dispersion=dispersion,
        )

    def after(self, pairs: Iterable[Pair], *, dispersion: float = 1.0) -> MeanTest:
        test = self.test(dispersion=dispersion)
        for candidate, stable in pairs:
            test.update(candidate, stable)
        return test

    def harm(self, pair: Pair) -> float:
        """By how much a pair is beyond the tolerance."""
        stable = pair[1] * (1 + self.change) if self.relative else pair[1] + self.change
        return math.copysign(1.0, self.change) * (pair[0] - stable)

    def pair(self, at: Pair) -> Pair:
        """A pair of the range, from shares of it."""
        return (
            self.low + at[0] * (self.high - self.low),
            self.low + at[1] * (self.high - self.low),
        )


QUESTIONS = (
    Question(-0.1),
    Question(0.25, low=-1.0, high=1.0),
    Question(-0.05, relative=True),
    Question(0.5, low=0.2, relative=True),
)
questions = st.sampled_from(QUESTIONS)


def said(test: MeanTest) -> tuple[object, ...]:
    """All that a test says."""
    return test.log_e_worse(), test.log_e_good(), test.interval(), test.estimate(), test.means()


def on_the_edge(question: Question, pairs: Sequence[Pair]) -> list[tuple[float, Pair]]:
    """Probabilities at which the pairs, one on each side of the tolerance, just keep it."""
    first, second = (question.harm(p) for p in pairs)
    share = second / (second - first)
    return [(share, pairs[0]), (1 - share, pairs[1])]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_on_the_edge_both_e_values_expect_exactly_one_after_any_number_of_pairs(
    question: Question,
) -> None:
    """By every sequence of the most extreme pairs: no bet gains anything from a fair coin."""
    rises = question.change > 0
    extremes = [question.pair((1.0, 0.0)), question.pair((0.0, 1.0))]
    coin = on_the_edge(question, extremes if rises else extremes[::-1])
    mild = on_the_edge(
        question, [question.pair((0.9, 0.1)), question.pair((0.1, 0.6))][:: 1 if rises else -1]
    )
    outcomes = [(p / 2, pair) for p, pair in [*coin, *mild]]
    for rounds in range(1, 5):
        worse = good = 0.0
        for drawn in product(outcomes, repeat=rounds):
            probability = math.prod(p for p, _ in drawn)
            test = question.after(pair for _, pair in drawn)
            worse += probability * math.exp(test.log_e_worse())
            good += probability * math.exp(test.log_e_good())
        assert worse == pytest.approx(1, rel=1e-9)
        assert good == pytest.approx(1, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    questions,
    st.lists(st.tuples(unit, unit), max_size=6),
    st.lists(st.tuples(unit, unit), min_size=2, max_size=2),
    st.sampled_from([1.0, 3.0]),
)
def test_whatever_has_happened_before_a_pair_within_the_null_expects_no_gain(
    question: Question, past: list[Pair], pairs: list[Pair], dispersion: float
) -> None:
    past, pairs = [question.pair(p) for p in past], [question.pair(p) for p in pairs]
    harms = [question.harm(p) for p in pairs]
    before = question.after(past, dispersion=dispersion)
    then = [question.after([*past, p], dispersion=dispersion) for p in pairs]
    for share in np.linspace(0, 1, 5).tolist():
        mean = share * harms[0] + (1 - share) * harms[1]
        if mean <= 0:
            gained = share * e(then[0].log_e_worse()) + (1 - share) * e(then[1].log_e_worse())
            assert gained <= e(before.log_e_worse()) * (1 + 1e-9)
        if mean >= 0:
            gained = share * e(then[0].log_e_good()) + (1 - share) * e(then[1].log_e_good())
            assert gained <= e(before.log_e_good()) * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(questions, st.lists(st.tuples(unit, unit), min_size=1, max_size=12), st.data())
def test_more_harm_is_never_less_evidence_of_it(
    question: Question, shares: list[Pair], data: st.DataObject
) -> None:
    pairs = [question.pair(s) for s in shares]
    index = data.draw(st.integers(0, len(pairs) - 1))
    other = question.pair(data.draw(st.tuples(unit, unit)))
    worse, better = sorted([pairs[index], other], key=question.harm, reverse=True)

    def with_(pair: Pair) -> MeanTest:
        return question.after([*pairs[:index], pair, *pairs[index + 1 :]])

    assert with_(worse).log_e_worse() >= with_(better).log_e_worse() - 1e-9
    assert with_(worse).log_e_good() <= with_(better).log_e_good() + 1e-9


@settings(max_examples=30, deadline=None)
@given(questions, st.lists(st.tuples(unit, unit), max_size=12), st.integers(0, 12))
def test_a_restored_test_goes_on_bit_for_bit(
    question: Question, shares: list[Pair], cut: int
) -> None:
    pairs = [question.pair(s) for s in shares]
    test = question.after(pairs[:cut])
    test = MeanTest.from_state(json.loads(json.dumps(test.to_state())))
    for candidate, stable in pairs[cut:]:
        test.update(candidate, stable)
    assert said(test) == said(question.after(pairs))


def test_the_state_is_small() -> None:
    state = QUESTIONS[0].after([(0.3, 0.4)] * 9).to_state()
    assert len(json.dumps(state)) < 2048


def drawn(seed: int, pairs: int, mean1: float, mean0: float, sd: float = 0.05) -> list[Pair]:
    """Values that share their ups and downs."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.1, pairs)
    own = rng.normal(0, sd, (2, pairs))
    return [
        (float(a), float(b))
        for a, b in zip(mean1 + shared + own[0], mean0 + shared + own[1], strict=True)
    ]


@pytest.mark.parametrize(
    ("question", "mean1", "mean0"),
    [
        pytest.param(Question(-0.05), 0.35, 0.5, id="falls"),
        pytest.param(Question(0.05), 0.65, 0.5, id="rises"),
        pytest.param(Question(-0.1, relative=True), 0.35, 0.5, id="falls by a share"),
        pytest.param(Question(0.1, relative=True), 0.65, 0.5, id="rises by a share"),
    ],
)
def test_harm_is_found_and_good_ones_pass(question: Question, mean1: float, mean0: float) -> None:
    bad = question.after(drawn(1, 120, mean1, mean0))
    assert bad.log_e_worse() > -math.log(ALPHA)
    assert bad.log_e_good() < 0
    good = question.after(drawn(2, 120, mean0, mean0))
    assert good.log_e_good() > -math.log(0.05)
    assert good.log_e_worse() < 0


def test_a_late_fall_is_found() -> None:
    question = Question(-0.05)
    test = MeanTest(-0.05, 0, 1, horizon=720)
    pairs = drawn(3, 120, 0.5, 0.5) + drawn(4, 120, 0.3, 0.5)
    for pair in pairs:
        test.update(*pair)
    assert test.log_e_worse() > -math.log(ALPHA)
    assert question.after(pairs[:120]).log_e_worse() < 0


@pytest.mark.parametrize("question", [Question(-0.05), Question(-0.05, relative=True)], ids=str)
def test_the_interval_holds_the_truth_and_narrows(question: Question) -> None:
    truth = -0.2 if question.relative else -0.1
    widths = []
    for pairs in (30, 120, 480):
        test = question.after(drawn(5, pairs, 0.4, 0.5))
        low, high = test.interval(0.05)
        estimate = test.estimate()
        assert estimate is not None
        assert low <= truth <= high
        assert low <= estimate <= high
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]
    assert widths[2] < 0.2


def test_intervals_miss_the_truth_no_more_often_than_they_say() -> None:
    """Looked at after every pair; coins are the hardest values to be sure of."""
    rng = np.random.default_rng(6)
    missed = 0
    for _ in range(60):
        test = MeanTest(-0.1, 0, 1)
        out = False
        for a, b in rng.random((60, 2)).tolist():
            test.update(float(a < 0.5), float(b < 0.6))
            low, high = test.interval(0.2)
            out = out or not low <= -0.1 <= high
        missed += out
    assert missed <= 60 * 0.2


def test_before_the_first_pair_anything_is_possible() -> None:
    test = Question(-0.05).test()
    assert test.interval() == (-1.0, 1.0)
    assert (test.estimate(), test.means()) == (None, None)
    assert test.log_e_worse() == pytest.approx(0, abs=1e-12)
    low, high = Question(0.1, low=0.2, relative=True).test().interval()
    assert [low, high] == pytest.approx([-0.8, 4.0])


def test_there_is_no_share_of_nothing() -> None:
    assert Question(-0.05, relative=True).after([(0.0, 0.0)]).estimate() is None


def test_values_beyond_the_range_count_as_its_bound() -> None:
    question = Question(-0.1)
    beyond, bound = question.after([(-3.0, 7.0)]), question.after([(0.0, 1.0)])
    assert said(beyond) == said(bound)


def test_a_session_in_many_pairs_counts_as_one() -> None:
    question, pairs = Question(-0.05), drawn(7, 40, 0.3, 0.5)
    alone, together = question.test(restart=0), question.test(restart=0, dispersion=4.0)
    for pair in pairs:
        alone.update(*pair)
        together.update(*pair)
    assert 0 < together.log_e_worse() < alone.log_e_worse()
    assert together.interval()[1] > alone.interval()[1]


def test_a_quiet_metric_takes_about_as_many_pairs_as_the_docs_say() -> None:
    """`ln(1/beta)` times the range by the tolerance, and the price of not knowing the stake."""
    test = MeanTest(-0.05, 0, 1)
    pairs = 0
    while test.log_e_good() < math.log(20):
        test.update(0.5, 0.5)
        pairs += 1
    assert math.log(20) / 0.05 < pairs < 1.6 * math.log(20) / 0.05
    assert STAKES[0] < 1


@pytest.mark.parametrize(
    ("change", "low", "high", "relative", "message"),
    [
        (0.0, 0.0, 1.0, False, "want low < high and a change"),
        (0.1, 1.0, 1.0, False, "want low < high and a change"),
        (-1.5, 0.0, 1.0, False, "leaves the range"),
        (0.3, 0.5, 0.6, True, "leaves the range"),
        (-0.1, -1.0, 1.0, True, "at least 0"),
        (-1.0, 0.0, 1.0, True, "at least 0"),
    ],
)
def test_questions_without_an_answer_are_refused(
    change: float, low: float, high: float, relative: bool, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MeanTest(change, low, high, relative=relative)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="two numbers"):
        Question(-0.1).test().update(value, 0.5)
