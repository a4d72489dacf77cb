"""Seasons: day and night are no drift, drift is still seen, and is never learned away."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec, SignalStatus
from tidegate.evidence.hours import DAY, HOUR_SLOTS, WEEK, Hours, HourTable, hour_of
from tidegate.evidence.profile import Number, Predictions, Profile
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.drift import Current, assess
from tidegate.rollout.season import Learned, learn, season_of

STABLE = "churn-1"
BINS = 8
START = 168 * 10 * HOUR_SLOTS - 72 * HOUR_SLOTS  # a Monday, midnight
LEVEL = np.full(BINS, 1 / BINS)
TILT = np.linspace(-1, 1, BINS)


def shares(hour: int, swing: float = 1.0, shift: float = 0.0) -> NDArray[np.float64]:
    """A feature's shares: those of the whole, tilted by the time of day and by a drift."""
    p = LEVEL * np.exp((swing * np.sin(2 * np.pi * hour / 24) + shift) * TILT)
    return np.asarray(p / p.sum())


def profile(rows: int = 24_000, *, hours: bool = False, swing: float = 1.0) -> Profile:
    """Two features that follow the day; what was counted is exactly what is expected."""
    table = np.rint([rows / 24 * shares(h, swing) for h in range(24)]).astype(np.int64)
    table = np.hstack([table, np.zeros((24, 3), np.int64)])
    whole = tuple(table.sum(0).tolist())
    features = tuple(
        Number(n, tuple(float(e) for e in range(BINS - 1)), -10.0, 10.0, whole) for n in ("a", "b")
    )
    yes = np.rint(rows / 24 * shares_of_yes(swing)).astype(np.int64)
    answers = np.column_stack([np.int64(rows // 24) - yes, yes])
    predictions = Predictions(
        "category",
        levels=("no", "yes"),
        counts=dict(zip(("no", "yes"), answers.sum(0).tolist(), strict=True)),
    )
    made = Profile("classification", rows, features, predictions)
    if not hours:
        return made
    packed = Hours.of(HourTable(np.hstack([table, table]), answers, ("no", "yes")))
    return replace(made, hours=packed)


def shares_of_yes(swing: float) -> NDArray[np.float64]:
    return np.asarray(0.3 + 0.2 * swing * np.sin(2 * np.pi * np.arange(24) / 24))


def spec(seasonality: str = "HourOfDay", **changes: Any) -> DriftPolicySpec:
    signals = [
        {"name": "inputs", "type": "DataDrift", "breach": "0.1"},
        {"name": "answers", "type": "PredictionDrift", "breach": "0.06"},
    ]
    return DriftPolicySpec.model_validate(
        {
            "window": {"size": "1h", "minSamples": 300},
            "reference": {"seasonality": seasonality},
            "signals": signals,
            **changes,
        }
    )


class Traffic:
    """A Model's traffic, hour after hour; `rows` an hour."""

    def __init__(self, of: Profile, rows: int = 2000, seed: int = 1) -> None:
        self.profile = of
        self.rows = rows
        self.rng = np.random.default_rng(seed)
        self.hours = 0
        self.windows: dict[BlockKey, Counts] = {}

    def hour(self, *, swing: float = 1.0, shift: float = 0.0, lost: float = 0.0) -> Current:
        """One more hour; all that the pods still know after it."""
        of_day, first = self.hours % 24, START + self.hours * HOUR_SLOTS
        for part in range(4):
            n = self.rows // 4
            yes = int(self.rng.binomial(n, shares_of_yes(swing)[of_day]))
            missing = int(self.rng.binomial(n, lost))
            rows = [self.rng.multinomial(n - missing, shares(of_day, swing, s)) for s in (shift, 0)]
            special = [(missing, 0, 0)] * 2
            self.windows[BlockKey(first + part * 90, 1, STABLE)] = Counts(
                requests=n,
                rows=n,
                features=tuple((*map(int, r), *s) for r, s in zip(rows, special, strict=True)),
                predictions={"yes": yes, "no": n - yes},
            )
        self.hours += 1
        end = START + self.hours * HOUR_SLOTS
        self.windows = {k: c for k, c in self.windows.items() if k.slot >= end - HOUR_SLOTS}
        return Current(STABLE, self.profile, self.windows, {}, end - 1)

    def learned(self, days: int, policy: DriftPolicySpec, **world: float) -> Learned:
        found: Learned | None = None
        for _ in range(24 * days):
            found = learn(policy, self.hour(**world), found) or found
        assert found is not None
        return found


def judged(
    policy: DriftPolicySpec, current: Current, learned: Learned | None = None
) -> dict[str, SignalStatus]:
    seen, _ = season_of(policy, current, learned)
    return {s.name: s for s in assess(policy, seen).signals}


def levels_of_a_day(policy: DriftPolicySpec, of: Profile, **world: float) -> list[tuple[str, str]]:
    traffic = Traffic(of)
    found = [judged(policy, traffic.hour(**world)) for _ in range(24)]
    return [(f["inputs"].level, f["answers"].level) for f in found]


def test_a_day_is_drift_from_the_whole_reference_and_none_from_that_of_its_hours() -> None:
    dated = profile(hours=True)
    whole = levels_of_a_day(spec("None"), dated)
    assert sum(inputs == "Breach" for inputs, _ in whole) >= 8
    assert sum(answers == "Breach" for _, answers in whole) >= 4
    assert set(levels_of_a_day(spec(), dated)) == {("Ok", "Ok")}


def test_drift_is_seen_at_every_hour() -> None:
    """At some hours the shift only makes good what the time of day takes."""
    found = levels_of_a_day(spec(), profile(hours=True), shift=1.0)
    assert [inputs for inputs, _ in found] == ["Breach"] * 24


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(0, 1), seed=st.integers(0, 99), rows=st.integers(1000, 5000))
def test_hours_that_are_alike_give_the_result_of_the_whole_reference(
    shift: float, seed: int, rows: int
) -> None:
    dated = profile(hours=True, swing=0.0)
    current = Traffic(dated, rows=rows, seed=seed).hour(swing=0.0, shift=shift)
    assert judged(spec(), current) == judged(spec("None"), current)


@pytest.mark.parametrize("rows", [60 * 24, 24_000])
def test_an_hour_that_is_known_from_few_rows_is_no_reason_to_alarm(rows: int) -> None:
    """Ten training sets, drawn; a day in which nothing happens, beside each."""
    rng = np.random.default_rng(4)
    policy = spec(signals=[{"name": "inputs", "type": "DataDrift", "breach": "0.02"}])
    alarms = 0
    for seed in range(10):
        drawn = np.array([rng.multinomial(rows // 24, shares(h)) for h in range(24)])
        table = np.hstack([drawn, np.zeros((24, 3), np.int64)])
        exact = profile(rows)
        features = tuple(replace(f, counts=tuple(table.sum(0).tolist())) for f in exact.features)
        hours = Hours.of(HourTable(np.hstack([table, table]), np.zeros((24, 0), np.int64), ()))
        traffic = Traffic(replace(exact, features=features, hours=hours), seed=seed)
        for _ in range(24):
            alarms += judged(policy, traffic.hour())["inputs"].level == "Breach"
    assert alarms == 0


def test_a_window_across_two_hours_is_compared_with_both() -> None:
    """At seven minutes, windows do not fit into hours: the one across is half of each."""
    early, late = HourTable(*_steep()), "HourOfDay"
    signals = [{"name": "inputs", "type": "DataDrift", "breach": "0.1"}]
    policy = spec(late, window={"size": "7m", "minSamples": 300}, signals=signals)
    size = 42
    newest = START // size + 60  # any window that contains the start of an hour
    while newest * size // HOUR_SLOTS == (newest * size + size - 1) // HOUR_SLOTS:
        newest += 1
    windows = {}
    for slot in range(newest * size, newest * size + size):
        row = (50, 0, 0, 0, 0) if hour_of(slot, DAY) % 2 else (0, 50, 0, 0, 0)
        windows[BlockKey(slot, 1, STABLE)] = Counts(requests=50, rows=50, features=(row,))
    one = Number("a", (0.0,), -10.0, 10.0, tuple(early.features.sum(0).tolist()))
    of = Profile("classification", 24_000, (one,), Predictions("category"), hours=Hours.of(early))
    current = Current(STABLE, of, windows, {}, newest * size + size - 1)
    found = judged(policy, current)["inputs"]
    assert (found.level, found.value) == ("Ok", "0.000")


def _steep() -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]:
    """Odd hours see the first bin only, even ones the second."""
    rows = [[1000, 0, 0, 0, 0] if h % 2 else [0, 1000, 0, 0, 0] for h in range(24)]
    return np.array(rows), np.zeros((24, 0), np.int64), ()


def test_a_week_of_the_profile_serves_a_policy_by_hours_of_the_day() -> None:
    dated = profile(hours=True)
    assert dated.hours is not None
    day = dated.hours.table()
    week = HourTable(np.tile(day.features, (7, 1)), np.tile(day.predictions, (7, 1)), day.keys)
    _, told = season_of(spec(), Traffic(replace(dated, hours=Hours.of(week))).hour(), None)
    assert told is not None
    assert (told.source, told.known, told.of, told.provisional) == ("Profile", 24, 24, False)


def test_learned_hours_are_as_good_as_those_of_the_training_data() -> None:
    traffic = Traffic(profile())
    learned = traffic.learned(7, spec())
    found = [judged(spec(), traffic.hour(), learned) for _ in range(24)]
    assert {(f["inputs"].level, f["answers"].level) for f in found} == {("Ok", "Ok")}
    moved = [judged(spec(), traffic.hour(shift=1.0), learned)["inputs"] for _ in range(24)]
    assert {m.level for m in moved} == {"Breach"}
    assert {m.top[0].feature for m in moved} == {"a"}


def test_hours_are_provisional_until_a_week_of_days_is_known_and_fixed_from_then_on() -> None:
    policy, traffic = spec(), Traffic(profile())
    learned: Learned | None = None
    told = []
    for _ in range(24 * 8):
        current = traffic.hour()
        season = season_of(policy, current, learned)[1]
        assert season is not None
        told.append((season.known, season.provisional))
        learned = learn(policy, current, learned) or learned
    assert told[0] == (0, True)
    assert told[5] == (5, True)
    assert told[24] == (24, True)
    assert told[24 * 7 - 2] == (24, True)
    assert told[24 * 7 - 1 :] == [(24, False)] * 25
    assert learned is not None
    assert learned.through + 1 == START + 7 * 24 * HOUR_SLOTS


def test_before_a_day_is_known_windows_are_compared_with_the_whole_reference() -> None:
    policy, traffic = spec(), Traffic(profile())
    learned = None
    for hour in range(7):
        current = traffic.hour()
        assert judged(policy, current, learned) == judged(spec("None"), current), hour
        learned = learn(policy, current, learned) or learned


def test_until_a_week_is_known_hours_of_the_week_are_those_of_the_day() -> None:
    policy, traffic = spec("HourOfWeek"), Traffic(profile())
    learned = traffic.learned(2, policy)
    seen, told = season_of(policy, traffic.hour(), learned)
    assert seen.hours is not None
    assert seen.hours.cycle == DAY
    assert told is not None
    assert (told.known, told.of) == (48, 168)
    assert told.message.endswith("windows are compared by the hours of the day.")
    learned = traffic.learned(7, policy)
    seen, told = season_of(policy, traffic.hour(), learned)
    assert seen.hours is not None
    assert seen.hours.cycle == WEEK


def test_until_a_week_is_known_the_training_datas_hours_of_the_day_serve() -> None:
    policy, dated = spec("HourOfWeek"), profile(hours=True)
    traffic = Traffic(dated)
    assert dated.hours is not None
    first, told = season_of(policy, traffic.hour(), None)
    assert told is not None
    assert told.message.startswith(
        "No hour is known yet; windows are compared by the hours of the day"
    )
    learned = traffic.learned(2, policy)
    later, _ = season_of(policy, traffic.hour(), learned)
    for seen in (first, later):
        assert seen.hours is not None
        assert (seen.hours.features == dated.hours.table().features).all()


def test_an_hour_is_counted_once() -> None:
    policy, traffic = spec(), Traffic(profile())
    current = traffic.hour()
    learned = learn(policy, current, None)
    assert learned is not None
    assert learned.hours.table().features.sum() == 2 * 2000
    assert learn(policy, current, learned) is None
    later = replace(current, closed_through=current.closed_through + 30)
    assert learn(policy, later, learned) is None


def test_only_the_stable_revision_teaches() -> None:
    current = Traffic(profile()).hour()
    others = {k._replace(revision="churn-2"): c for k, c in current.windows.items()}
    mixed = replace(current, windows={**current.windows, **others})
    learned = learn(spec(), mixed, None)
    assert learned is not None
    assert learned.hours.table().features.sum() == 2 * 2000
    assert learn(spec(), replace(current, windows=others), None) is None


def test_an_hour_without_requests_or_with_lost_values_teaches_nothing() -> None:
    policy, traffic = spec(), Traffic(profile())
    assert learn(policy, traffic.hour(lost=0.5), None) is None
    assert learn(policy, replace(traffic.hour(), windows={}), None) is None


def test_answers_to_payloads_that_name_no_feature_are_learned() -> None:
    current = Traffic(profile()).hour()
    bare = {k: replace(c, features=()) for k, c in current.windows.items()}
    learned = learn(spec(), replace(current, windows=bare), None)
    assert learned is not None
    assert learned.hours.table().features.sum() == 0
    assert learned.hours.table().predictions.sum() == 2000


def test_other_bins_are_learned_anew() -> None:
    policy, traffic = spec(), Traffic(profile())
    learned = traffic.learned(1, policy)
    current = traffic.hour()
    retrained = replace(
        current.profile,
        features=tuple(replace(f, name=f"{f.name}2") for f in current.profile.features),
    )
    anew = learn(policy, replace(current, profile=retrained), learned)
    assert anew is not None
    assert anew.since == START + 24 * HOUR_SLOTS
    assert anew.hours.table().features.sum() == 2 * 2000
    _, told = season_of(policy, replace(current, profile=retrained), learned)
    assert told is not None
    assert told.known == 0


def test_the_same_bins_with_other_counts_go_on() -> None:
    """A model that was trained again on the same table: nothing has to be learned anew."""
    policy, traffic = spec(), Traffic(profile())
    learned = traffic.learned(1, policy)
    current = replace(traffic.hour(), revision=STABLE, profile=profile(rows=48_000))
    more = learn(policy, current, learned)
    assert more is not None
    assert more.since == START


def test_a_drift_while_hours_are_learned_is_not_learned_away() -> None:
    """It comes in the middle of the week, and stays: the shape of the day is learned all the same,
    and the reference is still that of the training data."""
    policy, traffic = spec(), Traffic(profile())
    learned = traffic.learned(3, policy)
    for _ in range(24 * 4):
        learned = learn(policy, traffic.hour(shift=1.0), learned) or learned
    moved = [judged(policy, traffic.hour(shift=1.0), learned)["inputs"] for _ in range(24)]
    assert {m.level for m in moved} == {"Breach"}
    back = [judged(policy, traffic.hour(), learned) for _ in range(24)]
    assert {(f["inputs"].level, f["answers"].level) for f in back} == {("Ok", "Ok")}


def test_a_slow_drift_from_the_first_day_on_is_not_learned_away() -> None:
    policy, traffic = spec(), Traffic(profile())
    learned: Learned | None = None
    days = 10
    for hour in range(24 * (days - 1)):
        learned = learn(policy, traffic.hour(shift=1.5 * hour / (24 * days)), learned) or learned
    found = [judged(policy, traffic.hour(shift=1.4), learned)["inputs"].level for _ in range(24)]
    assert set(found) == {"Breach"}


def test_what_was_learned_survives_json_and_what_is_damaged_is_refused() -> None:
    learned = Traffic(profile()).learned(1, spec())
    assert Learned.from_json(json.loads(json.dumps(learned.to_json()))) == learned
    changes: list[dict[str, Any]] = [{"version": 2}, {"hours": {}}, {"since": "x"}]
    for change in changes:
        with pytest.raises((ValueError, KeyError, TypeError)):
            Learned.from_json(learned.to_json() | change)


def test_damaged_counts_are_told_and_learned_anew() -> None:
    policy, traffic = spec(), Traffic(profile())
    learned = traffic.learned(1, policy)
    damaged = replace(learned, hours=replace(learned.hours, packed="AAAA"))
    current = traffic.hour()
    seen, told = season_of(policy, current, damaged)
    assert seen.hours is None
    assert told is not None
    assert "delete its ConfigMap" in told.message
    anew = learn(policy, current, damaged)
    assert anew is not None
    assert anew.since == START + 24 * HOUR_SLOTS


def test_a_profile_that_is_too_wide_is_told_and_not_learned() -> None:
    one = profile().features[0]
    wide = replace(profile(), features=tuple(replace(one, name=f"f{i}") for i in range(120)))
    current = Current(STABLE, wide, {}, {}, START + HOUR_SLOTS - 1)
    _, told = season_of(spec("HourOfWeek"), current, None)
    assert told is not None
    assert "1322 bins and predictions are too many" in told.message
    assert "at most 1190" in told.message
    assert learn(spec("HourOfWeek"), current, None) is None


def test_a_policy_without_seasons_learns_nothing() -> None:
    current = Traffic(profile()).hour()
    assert learn(spec("None"), current, None) is None
    assert season_of(spec("None"), current, None) == (current, None)
