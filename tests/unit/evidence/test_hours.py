"""Counts by hour: which hour a slot is in, what is kept of a table, and what is refused."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidegate.errors import TerminalError
from tidegate.evidence.hours import DAY, WEEK, Cycle, Hours, HourTable, empty_table, hour_of
from tidegate.evidence.profile import Profile, make_profile, with_hours
from tidegate.evidence.windows import SLOT_SECONDS

RNG = np.random.default_rng(3)


@given(seconds=st.integers(0, 10**10))
def test_an_hour_is_that_of_utc_and_a_week_begins_on_monday(seconds: int) -> None:
    at = datetime.fromtimestamp(seconds, tz=UTC)
    slot = seconds // SLOT_SECONDS
    assert hour_of(slot, DAY) == at.hour
    assert hour_of(slot, WEEK) == 24 * at.weekday() + at.hour


def table(cycle: Cycle = DAY, most: int = 10**6) -> HourTable:
    counts, answers = RNG.integers(0, most, (cycle, 7)), RNG.integers(0, most, (cycle, 2))
    return HourTable(counts, answers, ("no", "yes"))


@pytest.mark.parametrize("cycle", [DAY, WEEK])
def test_a_table_survives_packing_and_json(cycle: Cycle) -> None:
    before = table(cycle)
    after = Hours.from_json(Hours.of(before).to_json()).table()
    assert (after.cycle, after.keys) == (cycle, before.keys)
    assert (after.features == before.features).all()
    assert (after.predictions == before.predictions).all()


def test_packing_the_same_table_gives_the_same_text() -> None:
    """Else the operator would write what has not changed."""
    one = table()
    assert Hours.of(one) == Hours.of(HourTable(one.features.copy(), one.predictions, one.keys))


def test_a_hundred_features_take_some_ten_kilobytes_for_a_day() -> None:
    counts = RNG.poisson(40, (DAY, 1300))
    assert len(Hours.of(HourTable(counts, np.zeros((DAY, 0), np.int64), ())).packed) < 60_000


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"cycle": 25}, id="no day and no week"),
        pytest.param({"bins": 6}, id="other bins than were packed"),
        pytest.param({"bins": 10**7}, id="more than fits"),
        pytest.param({"bins": -7}, id="negative"),
        pytest.param({"packed": "AAAA"}, id="not compressed"),
        pytest.param({"packed": "?"}, id="no base64"),
        pytest.param({"packed": None}, id="none"),
    ],
)
def test_what_is_no_table_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        Hours.from_json(Hours.of(table()).to_json() | change).table()


def test_a_bomb_is_not_unpacked() -> None:
    """It says that it is small, and would be 32 MB."""
    large = Hours.of(HourTable(np.zeros((WEEK, 1000), np.int64), np.zeros((WEEK, 0), np.int64), ()))
    with pytest.raises(ValueError, match="want 4800 bytes"):
        replace(large, cycle=DAY, bins=50).table()


def test_a_table_that_is_too_large_is_not_packed() -> None:
    with pytest.raises(ValueError, match="too many"):
        Hours.of(empty_table(WEEK, 2000))


def test_a_week_folds_into_days() -> None:
    week = table(WEEK)
    day = week.folded(DAY)
    assert (day.features == sum(week.features[d * 24 : d * 24 + 24] for d in range(7))).all()
    assert day.predictions.sum() == week.predictions.sum()
    assert (day.folded(DAY).features == day.features).all()


def test_rows_are_added_to_their_hour_and_predictions_to_their_key() -> None:
    grown = empty_table(DAY, 2).plus(5, np.array([1, 2]), {"yes": 3})
    grown = grown.plus(5, np.array([1, 0]), {"no": 1, "yes": 1}).plus(6, np.array([0, 1]), {})
    assert grown.features[5:7].tolist() == [[2, 2], [0, 1]]
    assert grown.keys == ("yes", "no")
    assert grown.predictions[5].tolist() == [4, 1]
    assert grown.known == 2


def columns(rows: int) -> dict[str, NDArray[Any]]:
    plan = np.array(["basic", None, "pro"], dtype=object)[RNG.integers(0, 3, rows)]
    return {"age": RNG.normal(0, 1, rows), "plan": plan}


def hourly_profile(rows: int, hours: NDArray[np.int64]) -> Profile:
    values = columns(rows)
    answers = np.where(RNG.random(rows) < 0.3, "yes", "no")
    kinds: Any = {"age": "number", "plan": "category"}
    profile = make_profile(values, kinds, answers, "classification", {})
    return with_hours(profile, values, hours, answers, hours)


@pytest.mark.parametrize(("rows", "cycle"), [(12_000, WEEK), (10_000, DAY)])
def test_the_hours_of_a_profile_add_up_to_its_counts(rows: int, cycle: Cycle) -> None:
    profile = hourly_profile(rows, RNG.integers(0, 168, rows))
    assert profile.hours is not None
    found = profile.hours.table()
    assert found.cycle == cycle
    assert found.features.sum(0).tolist() == [n for f in profile.features for n in f.counts]
    assert dict(zip(found.keys, found.predictions.sum(0).tolist(), strict=True)) == dict(
        profile.predictions.counts
    )


def test_rows_are_counted_in_their_own_hour() -> None:
    rows = 5000
    hours = np.repeat(np.arange(100), 50)
    hours[0] = -1
    profile = hourly_profile(rows, hours)
    assert profile.hours is not None
    counted = profile.hours.table().predictions.sum(1)
    of_day = np.bincount(hours[1:] % 24, minlength=24)
    assert counted.tolist() == of_day.tolist()


def test_too_few_rows_make_no_hours() -> None:
    assert hourly_profile(1200, RNG.integers(0, 168, 1200)).hours is None


def test_a_profile_with_hours_survives_json_and_one_without_has_none() -> None:
    profile = hourly_profile(5000, RNG.integers(0, 168, 5000))
    assert Profile.from_json(profile.to_json()) == profile
    plain = replace(profile, hours=None)
    assert "hours" not in plain.to_json()
    assert Profile.from_json(plain.to_json()) == plain


def test_hours_of_other_bins_or_damaged_ones_are_no_profile() -> None:
    profile = hourly_profile(5000, RNG.integers(0, 168, 5000))
    data = profile.to_json() | {"hours": Hours.of(table()).to_json()}
    with pytest.raises(TerminalError, match="hours of 7 bins"):
        Profile.from_json(data)
    data = profile.to_json()
    with pytest.raises(TerminalError, match="counts by hour"):
        Profile.from_json(data | {"hours": data["hours"] | {"packed": "AAAA"}})
