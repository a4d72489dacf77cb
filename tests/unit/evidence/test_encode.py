from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.evidence.encode import (
    INVALID,
    MISSING,
    OUTSIDE,
    SPECIAL_BINS,
    count_categories,
    count_labels,
    count_numbers,
    label_text,
    numbers,
    prediction_keys,
)

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=3))
ANYTHING = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.just({"a": 1}), st.just(10**400))


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (True, "true"),
        (np.True_, "true"),
        (False, "false"),
        (1, "1"),
        (np.int8(3), "3"),
        (1.0, "1"),
        (np.float32(2.0), "2"),
        (0.5, "0.5"),
        (float("inf"), "inf"),
        ("1.0", "1.0"),
        ("", ""),
        (np.str_("a"), "a"),
        (None, None),
        (float("nan"), None),
    ],
)
def test_labels_as_text(value: object, want: str | None) -> None:
    assert label_text(value) == want


def test_what_is_no_label() -> None:
    with pytest.raises(TypeError):
        label_text([1])


@given(values=st.lists(ANYTHING, max_size=30))
def test_every_row_falls_in_exactly_one_bin_whatever_it_holds(values: list[Any]) -> None:
    assert count_numbers([0.0, 1.0], -1.0, 2.0, values).sum() == len(values)
    assert count_categories(["a", "1"], ["true"], values).sum() == len(values)


@given(values=st.lists(st.one_of(st.none(), st.floats(), st.integers(-9, 9)), max_size=30))
def test_numbers_one_by_one_are_what_they_are_together(values: list[Any]) -> None:
    together, _ = numbers(values)
    apart, invalid = numbers([*values, "x"])
    np.testing.assert_array_equal(together, apart[:-1])
    assert invalid.tolist() == [False] * len(values) + [True]


def test_a_number_on_an_edge_belongs_above_it() -> None:
    assert count_numbers([0.0, 1.0], -5.0, 5.0, [-1, 0, 0.5, 1, 2])[:3].tolist() == [1, 2, 2]


def test_special_bins_of_numbers() -> None:
    values: list[Any] = [None, float("nan"), 6, -6, float("inf"), "1", "old", [1], {}]
    special = count_numbers([], -5.0, 5.0, values)[-SPECIAL_BINS:]
    assert special[[MISSING, OUTSIDE, INVALID]].tolist() == [2, 3, 3]


def test_nested_rows_are_invalid_and_no_second_dimension() -> None:
    assert count_numbers([], 0.0, 9.0, [[1, 2], [3, 4]]).tolist() == [0, 0, 0, 2]


def test_bins_of_categories() -> None:
    values = ["a", "a", "b", "rare", "new", None, float("nan"), ["a"], 1]
    assert count_categories(["a", "b"], ["rare"], values).tolist() == [2, 1, 1, 2, 2, 1]


@given(values=st.lists(st.sampled_from(["a", "b", "c"]), max_size=30))
def test_arrays_and_lists_count_the_same(values: list[str]) -> None:
    assert count_labels(np.array(values, dtype=str)) == count_labels(values)
    assert count_labels(np.array(values, dtype=object)) == count_labels(values)


def test_true_and_one_are_told_apart() -> None:
    assert count_labels([True, 1, 1.0])[0] == Counter({"1": 2, "true": 1})


def test_keys_of_predictions() -> None:
    assert prediction_keys([1, 1.0, True, "a", None, [1]], None) == [
        "1",
        "1",
        "true",
        "a",
        "invalid",
        "invalid",
    ]
    assert prediction_keys([-1, 0, 5, None, "x"], [0.0, 1.0]) == ["0", "1", "2", *["invalid"] * 2]
