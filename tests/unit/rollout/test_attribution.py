"""The matrix, row by row: what has happened, whose fault it is, and what follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.v1alpha1.drift_policy import Signal, SignalStatus
from tidegate.rollout.attribution import (
    Candidate,
    Cause,
    Inputs,
    Quality,
    Remedy,
    Seen,
    attribute,
    of_candidate,
    of_world,
)
from tidegate.rollout.verdict import Summary, Verdict

ANYTHING = st.builds(
    Seen,
    candidate=st.sampled_from(Candidate),
    inputs=st.sampled_from(Inputs),
    quality=st.sampled_from(Quality),
    skewed=st.sampled_from(["", "age"]),
    broken=st.sampled_from(["", "age (40% missing)"]),
)
STEADY, DRIFTED = Inputs.STEADY, Inputs.DRIFTED


@pytest.mark.parametrize(
    ("seen", "candidate", "world"),
    [
        pytest.param(
            Seen(Candidate.ALIKE, STEADY, Quality.GOOD),
            (Cause.HEALTHY, Remedy.GO_ON),
            (Cause.HEALTHY, Remedy.GO_ON),
            id="steady, equal, good: healthy",
        ),
        pytest.param(
            Seen(Candidate.DIFFERS, STEADY),
            (Cause.DIFFERENT_CANDIDATE, Remedy.HOLD),
            (Cause.HEALTHY, Remedy.GO_ON),
            id="steady, differs, no labels: another behaviour",
        ),
        pytest.param(
            Seen(Candidate.WORSE, STEADY, Quality.GOOD),
            (Cause.BAD_CANDIDATE, Remedy.ROLL_BACK),
            (Cause.HEALTHY, Remedy.GO_ON),
            id="the candidate is worse",
        ),
        pytest.param(
            Seen(Candidate.ALIKE, STEADY, Quality.GOOD, skewed="age"),
            (Cause.ROUTING_SKEW, Remedy.HOLD),
            (Cause.HEALTHY, Remedy.GO_ON),
            id="inputs differ between the arms: routing skew",
        ),
        pytest.param(
            Seen(Candidate.WORSE, STEADY, skewed="age"),
            (Cause.ROUTING_SKEW, Remedy.HOLD),
            (Cause.HEALTHY, Remedy.GO_ON),
            id="worse answers to other questions are no comparison",
        ),
        pytest.param(
            Seen(Candidate.FAILING, STEADY, skewed="age", broken="age"),
            (Cause.BAD_CANDIDATE, Remedy.ROLL_BACK),
            (Cause.BROKEN_DATA, Remedy.NOTIFY),
            id="errors count whatever was asked",
        ),
        pytest.param(
            Seen(Candidate.ALIKE, DRIFTED, Quality.GOOD),
            (Cause.HEALTHY, Remedy.GO_ON),
            (Cause.SHARED_DRIFT, Remedy.NOTIFY),
            id="drifted, equal, good: shared drift",
        ),
        pytest.param(
            Seen(Candidate.ALIKE, DRIFTED),
            (Cause.HEALTHY, Remedy.GO_ON),
            (Cause.SHARED_DRIFT, Remedy.NOTIFY),
            id="drifted, equal, no labels: shared drift",
        ),
        pytest.param(
            Seen(Candidate.FAILING, DRIFTED),
            (Cause.BAD_CANDIDATE, Remedy.ROLL_BACK),
            (Cause.SHARED_DRIFT, Remedy.NOTIFY),
            id="the world moves and the candidate is bad",
        ),
        pytest.param(
            Seen(Candidate.ALIKE, STEADY, Quality.FALLEN),
            (Cause.HEALTHY, Remedy.GO_ON),
            (Cause.CONCEPT_DRIFT, Remedy.RETRAIN),
            id="steady, equal, both worse: concept drift",
        ),
        pytest.param(
            Seen(Candidate.ALIKE, DRIFTED, Quality.FALLEN),
            (Cause.HEALTHY, Remedy.GO_ON),
            (Cause.DECAY, Remedy.RETRAIN),
            id="drifted, equal, both worse: decay",
        ),
        pytest.param(
            Seen(Candidate.ALIKE, DRIFTED, Quality.FALLEN, broken="age (40% missing)"),
            (Cause.BROKEN_DATA, Remedy.HOLD),
            (Cause.BROKEN_DATA, Remedy.NOTIFY),
            id="broken upstream data: nothing is trained on it",
        ),
        pytest.param(
            Seen(),
            (Cause.INCONCLUSIVE, Remedy.WAIT),
            (Cause.INCONCLUSIVE, Remedy.WAIT),
            id="too little evidence",
        ),
    ],
)
def test_matrix(seen: Seen, candidate: tuple[Cause, Remedy], world: tuple[Cause, Remedy]) -> None:
    found = attribute(seen)
    assert (found.candidate.cause, found.candidate.remedy) == candidate
    assert (found.world.cause, found.world.remedy) == world


@given(ANYTHING)
def test_the_world_never_rolls_a_candidate_back(seen: Seen) -> None:
    found = attribute(seen).candidate
    if found.remedy is Remedy.ROLL_BACK:
        assert seen.candidate in (Candidate.WORSE, Candidate.FAILING)


@given(ANYTHING)
def test_only_labels_retrain_and_never_on_broken_data(seen: Seen) -> None:
    if attribute(seen).world.remedy is Remedy.RETRAIN:
        assert seen.quality is Quality.FALLEN
        assert not seen.broken


@given(ANYTHING)
def test_only_a_pass_goes_on(seen: Seen) -> None:
    if attribute(seen).candidate.remedy is Remedy.GO_ON:
        assert seen.candidate is Candidate.ALIKE


def test_what_is_broken_or_skewed_is_named() -> None:
    assert "age (40% missing)" in attribute(Seen(broken="age (40% missing)")).world.message
    assert "income" in attribute(Seen(skewed="income")).candidate.message


@pytest.mark.parametrize(
    ("summary", "candidate"),
    [
        (Summary(Verdict.PASS), Candidate.ALIKE),
        (Summary(), Candidate.UNKNOWN),
        (Summary(Verdict.FAIL), Candidate.DIFFERS),
        (Summary(Verdict.FAIL, rollback=True), Candidate.WORSE),
        (Summary(Verdict.FAIL, rollback=True, regardless=True), Candidate.FAILING),
    ],
)
def test_the_metrics_together_say_how_the_candidate_stands(
    summary: Summary, candidate: Candidate
) -> None:
    assert of_candidate(summary) is candidate


SIGNALS = (
    Signal(name="inputs", type="DataDrift", breach="0.25"),
    Signal(name="scores", type="PredictionDrift", breach="0.15"),
    Signal(name="quality", type="Performance", min="0.8"),
)


@pytest.mark.parametrize(
    ("levels", "world"),
    [
        (("Ok", "Ok", "Ok"), (Inputs.STEADY, Quality.GOOD)),
        (("Warn", "Unknown", "Unknown"), (Inputs.STEADY, Quality.UNKNOWN)),
        (("Ok", "Breach", "Ok"), (Inputs.DRIFTED, Quality.GOOD)),
        (("Unknown", "Unknown", "Breach"), (Inputs.UNKNOWN, Quality.FALLEN)),
    ],
)
def test_the_signals_together_say_how_stable_stands(
    levels: tuple[str, ...], world: tuple[Inputs, Quality]
) -> None:
    results = [
        SignalStatus.model_validate({"name": s.name, "level": level})
        for s, level in zip(SIGNALS, levels, strict=True)
    ]
    assert of_world(SIGNALS, results) == world
