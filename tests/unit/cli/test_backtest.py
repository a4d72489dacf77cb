"""`backtest`: a policy meets recorded windows and decides as the operator would."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.unit.cli.scenes import drifting
from tests.unit.controllers.model.scenes import model

from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.cli.backtest import backtested
from tidegate.cli.comparison import compared
from tidegate.cli.drift_report import reported
from tidegate.cli.recordings import save
from tidegate.errors import TerminalError
from tidegate.evidence.profile import make_profile
from tidegate.evidence.recording import Recording
from tidegate.evidence.windows import BlockKey, Counts

POLICY: dict[str, Any] = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "DriftPolicy",
    "metadata": {"name": "clinic"},
    "spec": {
        "mode": "Enforce",
        "window": {"size": "1m", "minSamples": 300},
        "signals": [
            {"name": "inputs", "type": "DataDrift", "breach": "0.25"},
            {"name": "quality", "type": "Performance", "min": "0.8", "minLabelled": 100},
        ],
        "sustain": {"breaches": 2, "of": 3},
        "actions": [
            {"when": {"signals": ["quality"]}, "do": "Retrain"},
            {"when": {"signals": ["inputs"]}, "do": "Notify"},
        ],
        "retrain": {"cooldown": "30m"},
    },
}


def policy(**spec: Any) -> DriftPolicy:
    return DriftPolicy.model_validate({**POLICY, "spec": {**POLICY["spec"], **spec}})


def write(path: Path, **spec: Any) -> str:
    path.write_text(yaml.safe_dump({**POLICY, "spec": {**POLICY["spec"], **spec}}))
    return str(path)


def test_a_calm_world_alarms_nobody() -> None:
    found = backtested(policy(), drifting(minutes=20, since=99))
    assert len(found.evaluations) == 20
    assert found.alarms == ()
    assert {e.level for e in found.evaluations[-10:]} == {"Ok"}


def test_a_drift_alarms_once_and_soon_after_it_began() -> None:
    found = backtested(policy(), drifting(minutes=20, since=10))
    assert [a.action.do for a in found.alarms] == ["Notify"]
    after = (found.alarms[0].at - found.evaluations[0].at).total_seconds() / 60
    assert 10 <= after <= 12
    assert "inputs" in found.alarms[0].action.message


def test_decay_retrains_once_within_the_cooldown() -> None:
    recording = drifting(minutes=20, since=5, shift=0.0, wrong=0.5)
    trainable = model(
        training={
            "template": {
                "spec": {
                    "data": {"inputs": [{"name": "t", "uri": "s3://lake/t.csv"}], "target": "y"},
                    "trainer": {"sklearn": {"estimator": "sklearn.tree.DecisionTreeClassifier"}},
                    "output": {"uri": "s3://lake/m/"},
                }
            }
        }
    )
    found = backtested(policy(), replace(recording, snapshots=(trainable,)))
    assert found.alarms[0].action.reason == "RetrainStarted"
    assert sum(a.action.reason == "RetrainStarted" for a in found.alarms) == 1


def test_a_looser_policy_is_seen_beside_the_stricter_one(tmp_path: Path) -> None:
    windows = tmp_path / "windows"
    save(drifting(minutes=20, since=10, shift=0.8), str(windows))
    strict = write(tmp_path / "strict.yaml")
    loose = [
        {"name": "inputs", "type": "DataDrift", "breach": "2.5"},
        {"name": "quality", "type": "Performance", "min": "0.5", "minLabelled": 100},
    ]
    answer = compared(
        [strict, write(tmp_path / "loose.yaml", signals=loose)], str(windows), None, None
    )
    assert [len(p["alarms"]) for p in answer.data] == [1, 0]
    assert "clinic (strict.yaml) on churn: 1 alarm in 20 windows." in answer.text
    assert "clinic (loose.yaml) on churn: no alarm in 20 windows." in answer.text
    json.dumps(answer.data)


@pytest.mark.parametrize("name", ["drift.svg", "drift.html"])
def test_the_picture_has_a_panel_for_each_signal_and_tells_of_alarms(
    tmp_path: Path, name: str
) -> None:
    windows, picture = tmp_path / "windows", tmp_path / name
    save(drifting(minutes=20, since=10), str(windows))
    compared([write(tmp_path / "p.yaml")], str(windows), None, str(picture))
    drawn = picture.read_text()
    assert ">inputs<" in drawn
    assert ">quality<" in drawn
    assert "stroke-dasharray" in drawn
    assert "features left the reference" in drawn


def test_a_revision_without_a_profile_is_unknown_and_said() -> None:
    recording = drifting(minutes=5, since=99)
    found = backtested(policy(), replace(recording, profiles={}))
    assert {e.level for e in found.evaluations} == {"Unknown"}
    assert "no recorded reference profile" in found.evaluations[0].signals[0].message


def test_levels_are_counted_for_each_signal() -> None:
    text = reported([backtested(policy(), drifting(minutes=20, since=10))]).text
    assert text.splitlines()[0].split() == [
        "POLICY", "MODEL", "SIGNAL", "BREACH", "WARN", "OK", "UNKNOWN", "ALARMS",
    ]  # fmt: skip
    assert any(line.split()[:3] == ["clinic", "churn", "inputs"] for line in text.splitlines())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: Deployment\n", "no Model or DriftPolicy"),
        ("{", "is no YAML"),
        ("kind: DriftPolicy\nmetadata: {name: p}\nspec: {signals: 3}\n", r"spec\.signals"),
    ],
)
def test_a_file_that_does_not_fit_names_the_fault(
    tmp_path: Path, content: str, message: str
) -> None:
    windows, file = tmp_path / "windows", tmp_path / "p.yaml"
    save(drifting(minutes=2, since=99), str(windows))
    file.write_text(content)
    with pytest.raises(TerminalError, match=message):
        compared([str(file)], str(windows), None, None)


def test_a_picture_needs_a_name_that_says_its_form(tmp_path: Path) -> None:
    save(drifting(minutes=2, since=99), str(tmp_path))
    with pytest.raises(TerminalError, match="--plot"):
        compared([write(tmp_path / "p.yaml")], str(tmp_path), None, str(tmp_path / "drift.png"))


def swinging(days: int) -> Recording:
    """A block every ten minutes; the mean of an input swings by a standard deviation a day."""
    rng, windows = np.random.default_rng(2), {}
    for block in range(days * 144):
        values = rng.normal(np.sin(2 * np.pi * block / 144), 1, 600)
        features = tuple(tuple(c.tolist()) for c in SWINGS.encode({"age": values}))
        counted = Counts(requests=600, rows=600, features=features)
        windows[BlockKey(block * 60, 1, "churn-old")] = counted
    return Recording("growth", "churn", days * 8640 - 1, None, windows, {}, {"churn-old": SWINGS})


SWINGS = make_profile(
    {
        "age": np.concatenate(
            [np.random.default_rng(1).normal(np.sin(x), 1, 500) for x in range(60)]
        )
    },
    {"age": "number"},
    predictions=np.zeros(30_000),
    task="regression",
    metrics={},
)


def test_a_season_is_learned_from_the_recording_as_from_traffic() -> None:
    signals = [{"name": "inputs", "type": "DataDrift", "breach": "0.1"}]
    hourly = {"window": {"size": "1h", "minSamples": 300}, "signals": signals, "actions": []}
    recording = swinging(days=3)
    breaches = {}
    for seasonality in ("None", "HourOfDay"):
        asked = policy(**hourly, reference={"seasonality": seasonality}, retrain=None)
        found = backtested(asked, recording).evaluations[24:]
        breaches[seasonality] = sum(e.level == "Breach" for e in found)
    assert breaches["None"] > 24
    assert breaches["HourOfDay"] == 0
