"""Drift signals: what counts as drift, what is too little to say, and what never alarms."""

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tidegate.api.v1alpha1.drift_policy import DriftPolicySpec
from tidegate.evidence.profile import Number, Profile, make_profile
from tidegate.evidence.windows import BlockKey, Counts, Labels
from tidegate.rollout.drift import Current, assess, broken, newest_window

RNG = np.random.default_rng(7)
NAMES = ("age", "income", "visits")
PROFILE = make_profile(
    {n: RNG.normal(0, 1, 5000) for n in NAMES},
    dict.fromkeys(NAMES, "number"),
    predictions=["yes" if x else "no" for x in RNG.random(5000) < 0.3],
    task="classification",
    metrics={"accuracy": 0.9},
)
SPEC: dict[str, Any] = {
    "window": {"size": "1m", "minSamples": 300},
    "signals": [
        {"name": "inputs", "type": "DataDrift", "warn": "0.1", "breach": "0.25"},
        {"name": "scores", "type": "PredictionDrift", "warn": "0.05", "breach": "0.15"},
        {"name": "quality", "type": "Performance", "min": "0.82", "minLabelled": 200},
    ],
}
LAST = 600  # six slots to a window: windows end at slots 5, 11, …, 599


def spec(**changes: Any) -> DriftPolicySpec:
    return DriftPolicySpec.model_validate({**SPEC, **changes})


def current(
    *,
    rows: int = 100,
    shift: float = 0.0,
    positive: float = 0.3,
    wrong: float = 0.1,
    missing: float = 0.0,
    since: int = 0,
    seed: int = 1,
    profile: Profile = PROFILE,
) -> Current:
    """Twelve minutes of traffic; from slot `since` on the world is as described."""
    rng = np.random.default_rng(seed)
    windows, labels = {}, {}
    for slot in range(LAST - 80, LAST + 1):
        moved = slot >= since
        ages = rng.normal(shift if moved else 0, 1, rows)
        ages[rng.random(rows) < (missing if moved else 0)] = np.nan
        columns = {"age": ages, **{n: rng.normal(0, 1, rows) for n in NAMES[1:]}}
        encoded = profile.encode(columns)
        yes = int(rng.binomial(rows, positive if moved else 0.3))
        key = BlockKey(slot, 1, "m-old")
        windows[key] = Counts(
            requests=rows,
            rows=rows,
            features=tuple(tuple(int(n) for n in counts) for counts in encoded),
            predictions={"yes": yes, "no": rows - yes},
        )
        labels[key] = Labels(rows, int(rng.binomial(rows, wrong if moved else 0.1)))
    return Current("m-old", profile, windows, labels, LAST)


def levels(seen: Current, **changes: Any) -> dict[str, str]:
    return {s.name: s.level for s in assess(spec(**changes), seen).signals}


QUALITY = [{"name": "data", "type": "DataQuality", "warn": "0.02", "breach": "0.1"}]


def test_values_that_go_missing_are_a_rate_of_their_own() -> None:
    assert levels(current(), signals=QUALITY) == {"data": "Ok"}
    assert levels(current(missing=0.05), signals=QUALITY) == {"data": "Warn"}
    found = assess(spec(signals=QUALITY), current(missing=0.3, since=LAST - 30)).signals[0]
    assert found.level == "Breach"
    assert found.message.startswith("age: ")
    assert "% missing, in the reference 0.0%" in found.message
    assert found.top[0].feature == "age missing"


def test_values_beyond_the_reference_are_a_rate_too() -> None:
    found = assess(spec(signals=QUALITY), current(shift=9.0, since=LAST - 30)).signals[0]
    assert found.level == "Breach"
    assert "outside the reference" in found.message


def test_no_false_alarm_of_data_quality_in_30_steady_worlds() -> None:
    signals = [{**QUALITY[0], "warn": "0.005", "breach": "0.01"}]
    for seed in range(30):
        assert levels(current(rows=60, seed=seed), signals=signals) == {"data": "Ok"}


def test_a_feature_is_shown_in_several_measures_with_an_interval_and_its_rows() -> None:
    shown = assess(spec(), current(shift=1.0, missing=0.1)).signals[0].top[0]
    assert (shown.feature, shown.samples) == ("age", 600)
    assert shown.lower is not None
    assert shown.upper is not None
    assert float(shown.lower) < float(shown.value) < float(shown.upper)
    assert float(shown.kolmogorov_smirnov or 0) == pytest.approx(0.38, abs=0.08)
    assert float(shown.jensen_shannon or 0) == pytest.approx(0.35, abs=0.08)
    assert float(shown.wasserstein or 0) == pytest.approx(2.5, abs=0.5)
    assert float(shown.missing or 0) == pytest.approx(0.1, abs=0.04)


def test_predictions_of_sessions_do_not_alarm() -> None:
    """One answer to each session of fifty rows: a window of 600 has twelve of them."""
    signals = [{"name": "scores", "type": "PredictionDrift", "breach": "0.05"}]
    for seed in range(30):
        rng = np.random.default_rng(seed)
        windows = {}
        for slot in range(LAST - 80, LAST + 1):
            yes = 50 * int(rng.binomial(2, 0.3))
            windows[BlockKey(slot, 1, "m-old")] = Counts(
                requests=100, rows=100, predictions={"yes": yes, "no": 100 - yes}
            )
        seen = Current("m-old", PROFILE, windows, {}, LAST)
        assert levels(seen, signals=signals) == {"scores": "Ok"}


def test_a_world_that_stays_is_ok() -> None:
    assert levels(current()) == {"inputs": "Ok", "scores": "Ok", "quality": "Ok"}


def test_a_shifted_input_is_drift_and_is_named() -> None:
    found = assess(spec(), current(shift=1.0, since=LAST - 30))
    inputs = found.signals[0]
    assert inputs.level == "Breach"
    assert inputs.top[0].feature == "age"
    assert "age" in inputs.message


def test_a_small_shift_warns() -> None:
    assert levels(current(shift=0.42, since=LAST - 80))["inputs"] == "Warn"


def test_shifted_predictions_are_prediction_drift() -> None:
    assert levels(current(positive=0.7, since=LAST - 30))["scores"] == "Breach"


def test_lost_accuracy_is_a_breach_of_performance_alone() -> None:
    found = levels(current(wrong=0.3, since=LAST - 30))
    assert found == {"inputs": "Ok", "scores": "Ok", "quality": "Breach"}


def test_accuracy_comes_with_an_interval_and_the_number_of_labels() -> None:
    quality = assess(spec(), current(wrong=0.3, since=LAST - 30)).signals[2]
    assert quality.lower is not None
    assert quality.upper is not None
    assert float(quality.lower) < 0.7 < float(quality.upper)
    assert quality.samples == 600


def test_a_few_late_labels_do_not_hide_the_many_before_them() -> None:
    seen = current(wrong=0.6, since=LAST - 30)
    late = {k: Labels(1, 0) if k.slot % 2 else Labels() for k in seen.labels if k.slot >= LAST - 6}
    found = assess(spec(), replace(seen, labels={**seen.labels, **late})).signals[2]
    assert (found.level, found.samples) == ("Breach", 600)


def test_too_few_labels_everywhere_are_unknown_and_counted() -> None:
    seen = current()
    few = {k: Labels(10, 1) for k in seen.labels if k.slot < LAST - 6}
    found = assess(spec(), replace(seen, labels=few)).signals[2]
    assert (found.level, found.samples) == ("Unknown", 60)


def test_a_model_that_was_never_right_in_its_reference_is_no_bug() -> None:
    signals = [{"name": "quality", "type": "Performance", "maxRelativeDrop": "0.05"}]
    hopeless = replace(PROFILE, metrics={"accuracy": 0.0})
    assert levels(current(wrong=0.9, profile=hopeless), signals=signals)["quality"] == "Ok"


def test_a_drop_against_the_reference_needs_the_references_accuracy() -> None:
    signals = [{"name": "quality", "type": "Performance", "maxRelativeDrop": "0.05"}]
    assert levels(current(wrong=0.3, since=LAST - 30), signals=signals)["quality"] == "Breach"
    blind = Profile("classification", 1, PROFILE.features, PROFILE.predictions, {})
    assert levels(current(wrong=0.3, profile=blind), signals=signals)["quality"] == "Unknown"


@pytest.mark.parametrize("rows", [0, 10])
def test_too_few_rows_say_nothing(rows: int) -> None:
    found = levels(current(rows=rows, shift=3.0, wrong=0.9, positive=1.0))
    assert set(found.values()) == {"Unknown"}


def test_the_share_asks_for_more_features_than_one() -> None:
    signals = [{"name": "inputs", "type": "DataDrift", "breach": "0.25", "share": "0.5"}]
    assert levels(current(shift=1.0, since=LAST - 30), signals=signals)["inputs"] == "Ok"


def test_excluded_features_are_not_looked_at() -> None:
    features = {"exclude": ["age"]}
    signals = [{"name": "inputs", "type": "DataDrift", "breach": "0.25", "features": features}]
    assert levels(current(shift=2.0, since=LAST - 30), signals=signals)["inputs"] == "Ok"


def test_only_included_features_are_looked_at() -> None:
    def level(feature: str) -> str:
        signal = {"name": "inputs", "type": "DataDrift", "breach": "0.25"}
        signals = [{**signal, "features": {"include": [feature]}}]
        return levels(current(shift=2.0, since=LAST - 30), signals=signals)["inputs"]

    assert (level("age"), level("income")) == ("Breach", "Ok")


def test_a_smaller_budget_of_false_alarms_asks_for_more_evidence() -> None:
    def level(alarms: int) -> str:
        signals = [{"name": "inputs", "type": "DataDrift", "breach": "0.1"}]
        budget = {"perModel": alarms, "in": "720h"}
        seen = current(shift=0.6, since=LAST - 6)
        return levels(seen, signals=signals, falseAlarms=budget)["inputs"]

    assert (level(1), level(1000)) == ("Ok", "Breach")


def test_lost_values_are_broken_data() -> None:
    assert broken(spec(), current()) == ""
    assert "age" in broken(spec(), current(missing=0.3, since=LAST - 30))


def test_only_complete_windows_count() -> None:
    assert newest_window(spec(), 599) == 99
    assert newest_window(spec(), 600) == 99
    assert newest_window(spec(), 605) == 100


def test_another_revisions_rows_are_not_the_stable_ones() -> None:
    seen = current(shift=3.0)
    other = {k._replace(revision="m-new"): c for k, c in seen.windows.items()}
    blind = Current("m-old", PROFILE, other, {}, LAST)
    assert set(levels(blind).values()) == {"Unknown"}


def test_no_false_alarm_in_50_steady_worlds() -> None:
    for seed in range(50):
        found = levels(current(rows=60, seed=seed))
        assert "Breach" not in found.values()


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"type": "PredictionDrift", "breach": "0.9"}, id="beyond all distances"),
        pytest.param({"type": "PredictionDrift", "warn": "0", "breach": "0.1"}, id="no tolerance"),
        pytest.param({"type": "DataDrift", "breach": "-1"}, id="a negative tolerance"),
        pytest.param({"type": "DataDrift", "breach": "0.2", "share": "2"}, id="two of one"),
        pytest.param({"type": "Performance", "min": "0"}, id="no accuracy"),
        pytest.param({"type": "Performance", "maxRelativeDrop": "1.5"}, id="a drop below nothing"),
    ],
)
def test_a_bound_stored_under_an_older_schema_makes_its_signal_unknown(bad: dict[str, Any]) -> None:
    good = {"name": "quality", "type": "Performance", "min": "0.82"}
    seen = current(shift=3.0, positive=1.0, wrong=0.9, since=LAST - 30)
    found = assess(spec(signals=[{"name": "bad", **bad}, good]), seen).signals
    assert [s.level for s in found] == ["Unknown", "Breach"]
    assert "must be" in found[0].message


def test_a_window_of_no_length_stored_under_an_older_schema_is_one_slot() -> None:
    assert levels(current(), window={"size": "0s", "minSamples": 10})["inputs"] == "Ok"


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        pytest.param(replace(PROFILE, features=()), "no feature", id="no features"),
        pytest.param(replace(PROFILE, features=PROFILE.features * 2), "profile", id="other ones"),
        pytest.param(
            replace(PROFILE, features=tuple(replace(f, counts=(1, 1)) for f in PROFILE.features)),
            "profile",
            id="other bins",
        ),
        pytest.param(
            replace(
                PROFILE, features=tuple(replace(f, counts=(0,) * 13) for f in PROFILE.features)
            ),
            "no feature",
            id="an empty reference",
        ),
    ],
)
def test_features_that_cannot_be_compared_are_unknown_and_said_to_be(
    profile: Profile, told: str
) -> None:
    found = assess(spec(), replace(current(), profile=profile)).signals[0]
    assert found.level == "Unknown"
    assert told in found.message


def test_predictions_without_a_reference_are_unknown() -> None:
    blank = replace(PROFILE, predictions=replace(PROFILE.predictions, counts={}))
    found = assess(spec(), replace(current(), profile=blank)).signals[1]
    assert found.level == "Unknown"
    assert "reference" in found.message


def test_a_constant_feature_that_vanishes_is_drift() -> None:
    constant = Number("k", edges=(), low=1.0, high=1.0, counts=(2000, 0, 0, 0))
    seen = replace(current(), profile=replace(PROFILE, features=(constant,)))
    for there, level in ((0, "Breach"), (100, "Ok")):
        feature = (there, 100 - there, 0, 0)
        windows = {k: replace(c, features=(feature,)) for k, c in seen.windows.items()}
        assert levels(replace(seen, windows=windows))["inputs"] == level


def test_a_thousand_classes_do_not_take_a_gigabyte() -> None:
    """The alternatives that a detector weighs grow with the square of its bins."""
    classes = {f"c{i:03}": 5 for i in range(600)}
    many = replace(PROFILE, predictions=replace(PROFILE.predictions, counts=classes))
    seen = current()
    few = {k: replace(c, predictions={"c000": 100}) for k, c in seen.windows.items()}
    tracemalloc.start()
    try:
        found = assess(spec(), replace(seen, profile=many, windows=few)).signals[1]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.level == "Breach"
    assert most < 20e6


def test_broken_features_are_named_up_to_a_handful() -> None:
    wide = replace(PROFILE, features=PROFILE.features * 20)
    seen = current()
    windows = {
        k: replace(c, features=((0,) * 10 + (100, 0, 0),) * 60) for k, c in seen.windows.items()
    }
    told = broken(spec(), replace(seen, profile=wide, windows=windows))
    assert told.endswith("and 55 more")
    assert len(told) < 300
