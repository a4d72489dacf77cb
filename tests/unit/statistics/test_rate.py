import json
import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from tidegate.statistics.rate import RateTest

LOOKS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=12)


def after(
    *slots: tuple[int, int], tol: float = 0.1, dispersion: float | Literal["auto"] = 1.0
) -> RateTest:
    test = RateTest(tol, dispersion=dispersion)
    for k, n in slots:
        test.update(k, n)
    return test


@pytest.mark.parametrize("dispersion", [1.0, 5.0, "auto"])
@pytest.mark.parametrize("tol", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("inside", [1.0, 0.7, 0.1])
def test_expected_evidence_is_at_most_one_in_the_null(
    tol: float, inside: float, dispersion: float | Literal["auto"]
) -> None:
    """Every outcome of two slots, weighed exactly by its probability."""
    n = 12
    k = np.arange(n + 1)
    fine, bad = tol * inside, 1 - (1 - tol) * inside
    worse = good = 0.0
    for first in k:
        for second in k:
            test = after((int(first), n), (int(second), n), tol=tol, dispersion=dispersion)
            for rate, is_null_of_worse in ((fine, True), (bad, False)):
                weight = float(binom.pmf(first, n, rate) * binom.pmf(second, n, rate))
                if is_null_of_worse:
                    worse += weight * math.exp(test.log_e_worse())
                else:
                    good += weight * math.exp(test.log_e_good())
    assert worse <= 1 + 1e-9
    assert good <= 1 + 1e-9
    if inside == 1.0 and dispersion == 1.0:
        assert worse == pytest.approx(1)
        assert good == pytest.approx(1)


def test_by_hand() -> None:
    test = RateTest(0.5, restart=0.0, dispersion=1.0)
    test.update(1, 2)
    # Odds 3 means 3/4: the pair (event, none) is 3/16 as likely as under 1/2 it is 1/4.
    pairs = [o / (1 + o) ** 2 / 0.25 for o in (1.2, 1.5, 2, 3, 5, 10, 30)]
    assert test.log_e_worse() == pytest.approx(math.log(sum(pairs) / 7))


def test_silence_proves_nothing() -> None:
    test = after((0, 0))
    assert test.log_e_good() == pytest.approx(0)
    assert test.log_e_worse() == pytest.approx(0)
    assert (test.estimate(), test.interval()) == (None, (0.0, 1.0))


@given(slots=LOOKS, dispersion=st.sampled_from([1.0, 4.0, "auto"]))
def test_a_restored_test_goes_on_bit_for_bit(
    slots: list[tuple[int, int]], dispersion: float | Literal["auto"]
) -> None:
    test = after(*((min(a, b), max(a, b)) for a, b in slots), dispersion=dispersion)
    restored = RateTest.from_state(json.loads(json.dumps(test.to_state())))
    for each in (test, restored):
        each.update(3, 20)
    assert restored.to_state() == test.to_state()
    assert restored.log_e_worse() == test.log_e_worse()


@given(k=st.integers(0, 200), more=st.integers(0, 200))
def test_the_interval_holds_the_estimate(k: int, more: int) -> None:
    test = after((k, k + more))
    low, high = test.interval(0.01)
    assert 0 <= low <= (test.estimate() or 0.0) <= high <= 1
    wide = after((k, k + more), dispersion=4.0).interval(0.01)
    assert wide[0] <= low <= high <= wide[1]


@given(k=st.integers(0, 99))
@settings(max_examples=30)
def test_one_more_event_is_never_better(k: int) -> None:
    fewer, more = after((k, 100)), after((k + 1, 100))
    assert more.log_e_worse() > fewer.log_e_worse()
    assert more.log_e_good() < fewer.log_e_good()


def test_the_interval_covers_the_rate_at_every_look() -> None:
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(100):
        test = RateTest(0.1, dispersion=1.0)
        always = True
        for k in rng.binomial(100, 0.06, 15):
            test.update(int(k), 100)
            low, high = test.interval(0.1)
            always &= low <= 0.06 <= high
        missed += not always
    assert missed <= 10


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_a_rate_on_either_side_is_told(rate: float) -> None:
    rng = np.random.default_rng(6)
    test = after(*((int(k), 50) for k in rng.binomial(50, rate, 20)))
    harm, safety = test.log_e_worse(), test.log_e_good()
    assert (harm > math.log(100), safety > math.log(20)) == (rate > 0.1, rate < 0.1)


def test_what_begins_late_is_found_nearly_as_fast() -> None:
    test = after(*[(2, 50)] * 100)
    slots = 0
    while test.log_e_worse() < math.log(100):
        test.update(15, 50)
        slots += 1
    assert slots < 8


@pytest.mark.parametrize(
    "wrong", [{"tol": 0.0}, {"tol": 1.0}, {"tol": 0.1, "restart": 1.0}, {"tol": 0.1, "horizon": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        RateTest(**wrong)  # type: ignore[arg-type]  # some are whole numbers


def test_more_events_than_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        RateTest(0.1).update(3, 2)
    with pytest.raises(ValueError, match="dispersion"):
        RateTest(0.1, dispersion=0.5)


def test_bursts_are_seen_for_what_they_are() -> None:
    """Sessions of ten differ as a whole, 8 % of them: the rate is below the tolerance."""
    rng = np.random.default_rng(7)
    taken_in = {"known": 0, "auto": 0, "ignored": 0}
    for _ in range(100):
        bursts = [10 * int(k) for k in rng.binomial(5, 0.08, 40)]
        for name, dispersion in (("known", 10.0), ("auto", "auto"), ("ignored", 1.0)):
            test = RateTest(0.1, dispersion=dispersion)  # type: ignore[arg-type]  # each is one
            worst = -math.inf
            for k in bursts:
                test.update(k, 50)
                worst = max(worst, test.log_e_worse())
            taken_in[name] += worst > math.log(20)
    assert taken_in["known"] <= 5
    assert taken_in["auto"] <= 10
    assert taken_in["ignored"] > 30
