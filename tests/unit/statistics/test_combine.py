import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.statistics import combine, e_bh

evidence = st.lists(st.floats(-50, 50), min_size=1, max_size=6)


@given(evidence)
@settings(deadline=None)
def test_combined_evidence_is_the_weighted_mean_of_e_values(log_e: list[float]) -> None:
    weights = np.arange(1, len(log_e) + 1)
    want = (np.exp(log_e) * weights).sum() / weights.sum()
    assert combine(log_e, weights) == pytest.approx(math.log(want))
    assert combine(log_e, 7 * weights) == pytest.approx(math.log(want))


@given(evidence)
@settings(deadline=None)
def test_combined_evidence_is_never_below_the_union_bound(log_e: list[float]) -> None:
    assert combine(log_e, np.ones(len(log_e))) >= max(log_e) - math.log(len(log_e)) - 1e-9


def test_huge_evidence_does_not_overflow() -> None:
    assert combine([10_000.0, 0.0], [1, 1]) == pytest.approx(10_000 - math.log(2))


@pytest.mark.parametrize("weights", [[1, -1], [0, 0]])
def test_refuses_weights_that_are_no_mean(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        combine([0.0, 0.0], weights)


@pytest.mark.parametrize(
    ("e_values", "want"),
    [
        pytest.param([200, 1, 1], [0], id="one strong"),
        pytest.param([1, 35, 50], [2, 1], id="two that carry each other: 3/(0.05 * 2) = 30"),
        pytest.param([1, 31, 25], [], id="none: 31 < 60 and 25 < 30"),
        pytest.param([21, 22, 23], [2, 1, 0], id="all: 3/(0.05 * 3) = 20"),
    ],
)
def test_blames_by_hand(e_values: list[float], want: list[int]) -> None:
    assert e_bh(np.log(e_values), 0.05).tolist() == want
