"""Whether both arms get the same kind of requests, and which features say that they don't."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tidegate.api.v1alpha1.analysis import Analysis
from tidegate.evidence.profile import Profile, make_profile
from tidegate.evidence.windows import BlockKey, Counts
from tidegate.rollout.analysis import Arms, Evidence, start, weigh
from tidegate.rollout.skew import MOST_FEATURES, Skew, layout_of

RNG = np.random.default_rng(7)
PLANS = ("basic", "pro", "max")


def trained_on(rng: np.random.Generator, center: float = 0.0) -> Profile:
    return make_profile(
        {"age": rng.normal(center, 1, 3000), "plan": rng.choice(PLANS, 3000).tolist()},
        {"age": "number", "plan": "category"},
        predictions=["yes", "no"] * 1500,
        task="classification",
        metrics={},
    )


OLD, RETRAINED = trained_on(RNG), trained_on(RNG, center=0.5)


def counts(
    profile: Profile,
    rng: np.random.Generator,
    rows: int,
    *,
    older: float = 0.0,
    lost: float = 0.0,
    batch: int = 1,
) -> Counts:
    """What a pod with this profile counts of requests of `batch` equal rows each."""
    ages = rng.normal(older, 1, rows // batch)
    ages[rng.random(rows // batch) < lost] = np.nan
    plans = rng.choice(PLANS, rows // batch)
    encoded = profile.encode({"age": np.repeat(ages, batch), "plan": np.repeat(plans, batch)})
    features = tuple(tuple(int(n) for n in found) for found in encoded)
    return Counts(requests=rows // batch, rows=rows, features=features)


def after(
    slots: int, candidate: Profile = OLD, *, batch: int = 1, seed: int = 1, **candidates: float
) -> Skew:
    layout = layout_of(candidate, OLD)
    assert layout is not None
    skew, rng = Skew(layout), np.random.default_rng(seed)
    for _ in range(slots):
        skew.fold(
            counts(candidate, rng, 60 * batch, batch=batch, **candidates),
            counts(OLD, rng, 540 * batch, batch=batch),
        )
    return skew


@pytest.mark.parametrize("candidate", [OLD, RETRAINED], ids=["same bins", "other bins"])
def test_a_random_sample_is_not_skewed(candidate: Profile) -> None:
    assert not any(after(40, candidate, seed=seed).in_words() for seed in range(30))


def test_other_users_are_found_where_the_bins_are_the_same() -> None:
    assert after(10, older=1.0).in_words().startswith("age: ")
    assert "in one part of its range" in after(10, older=1.0).in_words()


@pytest.mark.parametrize("candidate", [OLD, RETRAINED], ids=["same bins", "other bins"])
def test_values_that_only_the_candidate_misses_are_found(candidate: Profile) -> None:
    told = after(10, candidate, lost=0.3).in_words()
    assert "missing" in told
    assert "age" in told
    assert "plan" not in told


def test_other_bins_hide_what_cannot_be_compared() -> None:
    assert after(10, RETRAINED, older=1.0).in_words() == ""


def test_rows_of_one_request_are_one() -> None:
    assert not any(after(20, batch=20, seed=seed).in_words() for seed in range(20))


def test_a_hair_is_not_worth_a_hold() -> None:
    told = [after(400, lost=0.01, seed=seed).in_words() for seed in range(3)]
    assert told == ["", "", ""]


def test_a_restored_check_goes_on_bit_for_bit() -> None:
    skew, rng = after(5, older=0.3), np.random.default_rng(3)
    restored = Skew.from_state(json.loads(json.dumps(skew.to_state())))
    for s, seed in ((skew, 4), (restored, 4)):
        rng = np.random.default_rng(seed)
        s.fold(counts(OLD, rng, 100), counts(OLD, rng, 900))
    assert restored.to_state() == skew.to_state()


def test_profiles_without_a_common_feature_have_no_layout() -> None:
    other = replace(OLD, features=tuple(replace(f, name=f.name + "2") for f in OLD.features))
    assert layout_of(OLD, other) is None
    assert layout_of(None, OLD) is None


def test_counts_over_other_bins_than_the_profiles_are_passed_over() -> None:
    skew = after(3)
    before = skew.to_state()
    skew.fold(Counts(requests=9, rows=9), Counts(requests=9, rows=9, features=((9,),)))
    assert skew.to_state() == before


def test_a_wide_model_keeps_a_small_state() -> None:
    wide = replace(OLD, features=tuple(replace(OLD.features[0], name=f"f{i}") for i in range(1000)))
    layout = layout_of(wide, wide)
    assert layout is not None
    assert len(layout.features) == MOST_FEATURES
    assert len(json.dumps(Skew(layout).to_state()["test"])) < 10_000


def test_the_analysis_says_it_and_remembers_it() -> None:
    analysis, arms, rng = Analysis(), Arms("old", "new"), np.random.default_rng(5)
    windows = {}
    for slot in range(1, 13):
        windows[BlockKey(slot, 7, "new")] = counts(OLD, rng, 100, older=1.0)
        windows[BlockKey(slot, 7, "old")] = counts(OLD, rng, 900)
    layout = layout_of(OLD, OLD)
    first = weigh(analysis, start(analysis, 0), arms, Evidence(windows, {}, 6, None, layout))
    whole = weigh(analysis, first.cursor, arms, Evidence(windows, {}, 12, None))
    assert "age" in whole.skewed
    assert {r.verdict for r in whole.results} == {"Inconclusive"}
    at_once = weigh(analysis, start(analysis, 0), arms, Evidence(windows, {}, 12, None, layout))
    assert at_once.cursor == whole.cursor
