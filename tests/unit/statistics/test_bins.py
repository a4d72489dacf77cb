import json
import math

import numpy as np
import pytest
from tests.unit.statistics.tables import histograms

from tidegate.statistics import BinsTest


def rows(test: BinsTest, *slots: tuple[list[int], list[int]]) -> BinsTest:
    for k1, k0 in slots:
        test.update(k1, k0)
    return test


@pytest.mark.parametrize("past", [None, ([4, 0, 1], [3, 9, 8]), ([0, 9, 0], [9, 0, 9])])
@pytest.mark.parametrize(("totals", "n1"), [((3, 2, 2), 3), ((5, 0, 4), 2), ((1, 6, 1), 5)])
def test_expected_e_value_is_at_most_one_under_random_routing(
    totals: tuple[int, ...], n1: int, past: tuple[list[int], list[int]] | None
) -> None:
    """Whatever the past made the bet look like; the evidence of the past itself is divided out."""
    seen = [past] * 20 if past else []
    before = rows(BinsTest(3, restart=0.0), *seen).log_e()
    expected = sum(
        p
        * math.exp(
            rows(BinsTest(3, restart=0.0), *seen, (k1.tolist(), k0.tolist())).log_e() - before
        )
        for p, k1, k0 in histograms(totals, n1)
    )
    assert expected <= 1 + 1e-9


def test_late_starts_keep_the_expectation() -> None:
    expected = 0.0
    for p, k1, k0 in histograms((3, 2, 2), 3):
        for q, j1, j0 in histograms((2, 4, 1), 2):
            test = BinsTest(3, restart=0.6, horizon=3)
            test.update(k1, k0)
            test.update(j1, j0)
            expected += p * q * math.exp(test.log_e())
    assert expected <= 1 + 1e-9


def test_first_row_by_hand() -> None:
    """Before any past the bet is the pooled share itself, and a single row gains nothing."""
    test = rows(BinsTest(2, restart=0.0), ([1, 0], [1, 2]))
    assert float(test.log_e()) == pytest.approx(0, abs=1e-12)
    two = rows(BinsTest(2, restart=0.0), ([2, 0], [0, 2]))  # DirMult: (10/20)(11/21) / (1/2)^2
    assert math.exp(two.log_e()) == pytest.approx(10 / 20 * 11 / 21 / 0.25)


def test_empty_arms_change_nothing() -> None:
    test = rows(BinsTest(3), ([1, 2, 3], [4, 5, 6]))
    before = test.to_state()
    rows(test, ([0, 0, 0], [1, 2, 3]), ([1, 2, 3], [0, 0, 0]))
    assert test.to_state() == before


def test_features_are_tested_independently() -> None:
    rng = np.random.default_rng(8)
    k1, k0 = rng.integers(0, 9, (2, 12, 5, 4))
    together = BinsTest(4, lead=(5,))
    alone = [BinsTest(4) for _ in range(5)]
    for a, b in zip(k1, k0, strict=True):
        together.update(a, b)
        for feature, test in enumerate(alone):
            test.update(a[feature], b[feature])
    assert np.allclose(together.log_e(), [t.log_e() for t in alone])


def test_an_empty_feature_beside_others_stays_neutral() -> None:
    test = BinsTest(2, lead=(2,))
    for _ in range(20):
        test.update([[30, 10], [0, 0]], [[100, 200], [5, 5]])
    assert test.log_e()[0] > math.log(100)
    assert test.log_e()[1] == pytest.approx(0, abs=1e-9)


def test_a_bin_that_only_the_candidate_has_is_found() -> None:
    test = rows(BinsTest(3), *[([20, 20, 4], [200, 200, 0])] * 10)
    assert test.log_e() > math.log(100)


def test_equal_shares_are_not_found() -> None:
    rng = np.random.default_rng(9)
    test = BinsTest(10)
    for _ in range(100):
        p = rng.dirichlet(np.full(10, 5.0))  # the world may change in every slot
        test.update(rng.multinomial(60, p), rng.multinomial(540, p))
    assert test.log_e() < math.log(20)


def test_a_restored_test_goes_on_bit_for_bit() -> None:
    rng = np.random.default_rng(1)
    test = BinsTest(4, lead=(2, 3), restart=0.2, horizon=3)
    for k1, k0 in rng.integers(0, 9, (5, 2, 2, 3, 4)):
        test.update(k1, k0)
    restored = BinsTest.from_state(json.loads(json.dumps(test.to_state())))
    more = rng.integers(0, 9, (2, 2, 3, 4))
    for t in (test, restored):
        t.update(*more)
    assert restored.to_state() == test.to_state()
    assert (restored.log_e() == test.log_e()).all()


def test_refuses_counts_of_another_shape() -> None:
    with pytest.raises(ValueError, match="want counts"):
        BinsTest(3).update([1, 2], [1, 2])
