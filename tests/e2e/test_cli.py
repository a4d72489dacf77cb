"""`kubectl tidegate` on a real cluster: a rollback is explained, recorded and taken again."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.objects import (
    ACCURACY,
    CREDENTIALS,
    ERRORS,
    TREE,
    canary,
    drift_policy,
    model,
    training,
    training_job,
)
from tests.e2e.operator import Operator
from tests.e2e.place import Place
from tests.e2e.scenes import clients, decided, revision, served, trained
from tests.integration.apiserver import Manifest

from tidegate.evidence.windows import SLOT_SECONDS

MODEL = "explained"
PLUGIN = Path(sys.executable).with_name("kubectl-tidegate")
DELIVERY = canary({"setWeight": 40}, {"analysis": {}}, metrics=(ERRORS, ACCURACY))


@dataclass(frozen=True, slots=True)
class Terminal:
    """A user's terminal, pointed at the cluster."""

    kubeconfig: Path
    place: Place
    system: str

    def ask(self, *question: str) -> str:
        """What the plugin answers, in words."""
        done = self._run(*question)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def data(self, *question: str) -> Any:
        """What it answers to programs."""
        return json.loads(self.ask(*question, "-o", "json"))

    def refusal(self, *question: str) -> tuple[int, str]:
        done = self._run(*question)
        return done.returncode, done.stderr

    def _run(self, *question: str) -> subprocess.CompletedProcess[str]:
        where = ["--kubeconfig", str(self.kubeconfig), "-n", self.place.namespace]
        where += ["--operator-namespace", self.system]
        command = [str(PLUGIN), *question, *where]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def rolled_back(
    operator: Operator, artifacts: dict[str, Manifest], store: Any, kubeconfig: Path
) -> Iterator[Terminal]:
    """A Model whose second version has just been rolled back on its labels; clients are there."""
    place = store.place
    place.apply(training_job("explained-worse", training("corrupted", TREE)))
    worse = trained(place, "explained-worse")
    with (
        served(place, model(MODEL, artifacts["regression"], DELIVERY)),
        clients(place, MODEL, rate=100),
    ):
        place.patch(
            "models", MODEL, {"spec": {"artifact": worse | {"credentialsRef": CREDENTIALS}}}
        )
        decided(place, MODEL, "RollBack", revision(MODEL, worse))
        yield Terminal(kubeconfig, place, operator.place.namespace)


def test_the_rollback_is_explained_with_its_numbers(
    rolled_back: Terminal, artifacts: dict[str, Manifest]
) -> None:
    told = rolled_back.ask("why", MODEL)

    assert "rolled back" in told
    assert "wrong answers in" in told
    assert "on stable in the same minutes" in told
    assert "percentage points lower; tolerance 3." in told
    assert "fewer than 1 of 100 rollouts" in told
    line = next(ln for ln in rolled_back.ask("status").splitlines() if ln.startswith(MODEL))
    assert revision(MODEL, artifacts["regression"]) in line


def test_what_was_recorded_gives_the_same_verdict(rolled_back: Terminal, tmp_path: Path) -> None:
    written = rolled_back.data("record", MODEL, "--out", str(tmp_path))
    assert written["requests"] > 100

    (replayed,) = rolled_back.data("replay", MODEL, "--windows", str(tmp_path))

    assert replayed["same"], replayed
    assert {m["name"]: m["verdict"] for m in replayed["metrics"]}["accuracy"] == "Fail"


def test_another_policy_and_another_analysis_are_tried_on_the_recording(
    rolled_back: Terminal, tmp_path: Path
) -> None:
    windows = tmp_path / "windows"
    rolled_back.ask("record", MODEL, "--out", str(windows))
    looser = model(MODEL, {}, canary({"setWeight": 40}, metrics=(ERRORS,)))
    policy = drift_policy(
        "tried",
        {
            "window": {"size": "10s", "minSamples": 100},
            "signals": [{"name": "inputs", "type": "DataDrift", "breach": "0.3", "share": "0.2"}],
        },
    )
    file = tmp_path / "tried.yaml"
    file.write_text(
        yaml.safe_dump_all(
            [looser | {"spec": looser["spec"] | {"artifact": {"fromTraining": {}}}}, policy]
        )
    )

    drift, trial = rolled_back.data("backtest", "-f", str(file), "--windows", str(windows))

    assert drift["alarms"] == []
    assert "Ok" in {w["level"] for w in drift["windows"]}
    assert trial["recorded"] == "RollBack"
    assert [m["verdict"] for m in trial["metrics"]] != ["Fail"], "without labels nobody finds out"


def test_the_next_rollout_is_foretold_at_the_present_traffic(
    rolled_back: Terminal, tmp_path: Path
) -> None:
    counted = rolled_back.data("record", MODEL, "--out", str(tmp_path))
    plan = rolled_back.data("plan", MODEL, "--sizes", "5")

    first, last = counted["slots"]
    seconds = (last + 1 - first) * SLOT_SECONDS
    assert plan["requestsPerSecond"] == pytest.approx(counted["requests"] / seconds, rel=0.3)
    assert plan["unmeasurable"] == []
    (weight,) = plan["weights"]
    assert {m["name"] for m in weight["metrics"]} == {"errors", "accuracy"}
    assert all(m["secondsToPass"]["median"] for m in weight["metrics"])


def test_a_name_that_is_not_there_is_told(rolled_back: Terminal) -> None:
    code, message = rolled_back.refusal("why", "absent")
    assert code == 2
    assert f"there is no Model absent in namespace {rolled_back.place.namespace}" in message
