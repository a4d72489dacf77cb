"""From looks to a level: by an AUC beyond the bound, with evidence, in enough of the looks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.v1alpha1.drift_policy import (
    DriftPolicySpec,
    FeatureValue,
    Look,
    Signal,
    Sustain,
)
from tidegate.rollout.multivariate_drift import look_threshold, multivariate_drift

SIGNAL = Signal.model_validate(
    {"name": "together", "type": "MultivariateDrift", "warn": "0.55", "breach": "0.6"}
)
THRESHOLD = math.log(30)
ONCE, TWICE = Sustain(breaches=1, of=1), Sustain(breaches=2, of=3)


def look(auc: float | None, samples: int = 1000, **more: object) -> Look:
    given: dict[str, object] = {
        "signal": "together",
        "revision": "churn-old",
        "through": "2026-11-21T00:00:00Z",
        "auc": None if auc is None else f"{auc:.4f}",
        "samples": samples,
        **more,
    }
    return Look.model_validate(given)


@pytest.mark.parametrize(
    ("looks", "want"),
    [
        pytest.param([look(0.5)], "Ok", id="chance"),
        pytest.param([look(0.62)], "Warn", id="beyond the breach, too little evidence for it"),
        pytest.param([look(0.66)], "Breach", id="beyond the breach"),
        pytest.param([look(0.66, samples=100)], "Ok", id="too few rows"),
        pytest.param([look(0.66, clustering="10")], "Ok", id="rows that are alike"),
        pytest.param([look(None, message="no log")], "Unknown", id="a look that failed"),
        pytest.param([], "Unknown", id="no look"),
    ],
)
def test_level_of_a_single_look(looks: list[Look], want: str) -> None:
    assert multivariate_drift(SIGNAL, looks, THRESHOLD, ONCE).level == want


@pytest.mark.parametrize(
    ("aucs", "want"),
    [
        ([0.7], "Ok"),
        ([0.7, 0.5], "Ok"),
        ([0.7, 0.5, 0.7], "Breach"),
        ([0.7, None, 0.7], "Breach"),
        ([0.7, 0.57, 0.5], "Ok"),
        ([0.7, 0.61, 0.5], "Warn"),
        ([0.7, 0.7, 0.5, 0.5], "Ok"),
        ([0.5, None], "Unknown"),
    ],
)
def test_a_level_is_sustained_over_looks(aucs: list[float | None], want: str) -> None:
    looks = [look(auc) for auc in aucs]
    assert multivariate_drift(SIGNAL, looks, THRESHOLD, TWICE).level == want


def test_tells_value_interval_rows_and_features() -> None:
    top = (FeatureValue(feature="age", value="0.120"), FeatureValue(feature="income", value="0.1"))
    status = multivariate_drift(SIGNAL, [look(0.71, top=top)], THRESHOLD, ONCE)
    assert (status.value, status.samples, status.top) == ("0.710", 1000, top)
    assert status.lower is not None
    assert status.upper is not None
    assert 0.6 < float(status.lower) < 0.71 < float(status.upper) < 0.8
    assert status.message.endswith("most by age, income.")


def test_looks_of_other_signals_do_not_count() -> None:
    other = look(0.9, signal="others")
    assert multivariate_drift(SIGNAL, [other], THRESHOLD, ONCE).level == "Unknown"


@given(hours=st.integers(1, 168), per_model=st.integers(1, 30), streams=st.integers(1, 500))
def test_all_looks_of_a_month_together_keep_the_signals_part_of_the_budget(
    hours: int, per_model: int, streams: int
) -> None:
    signal = SIGNAL.model_copy(update={"interval": f"{hours}h"})
    spec = DriftPolicySpec.model_validate(
        {"signals": [SIGNAL.to_api()], "falseAlarms": {"perModel": per_model, "in": "30d"}}
    )
    looks = 30 * 24 / hours
    false_alarms = looks * math.exp(-look_threshold(spec, signal, streams))
    assert false_alarms <= max(per_model, looks) / streams * (1 + 1e-9)
    assert false_alarms <= per_model / streams * (1 + 1e-9) or per_model > looks
