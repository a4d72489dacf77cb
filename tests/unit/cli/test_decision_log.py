"""`why` and `replay` from a copy of the decision log."""

from pathlib import Path

import pytest
from tests.unit.cli.scenes import recording_of, rollout
from tests.unit.controllers.model.scenes import NEW, OLD

from tidegate.api.meta import ObjectMeta
from tidegate.api.v1alpha1.model_status import DecisionStatus
from tidegate.cli.__main__ import main
from tidegate.cli.answer import DONE
from tidegate.cli.decision_log import decisions, why_logged
from tidegate.cli.replay import replayed
from tidegate.errors import TerminalError
from tidegate.rollout.decision_line import key_of, line_of

STORY = rollout({OLD.name: 0.001, NEW.name: 0.2}, looks=8)
TAKEN = STORY.model.status.decisions


@pytest.fixture
def log(tmp_path: Path) -> str:
    """A copy of the log of two Models of one name, in two namespaces."""
    for namespace, taken in (("growth", TAKEN), ("play", TAKEN[:1])):
        about = ObjectMeta(name="churn", namespace=namespace, uid="0a1b")
        for decision in reversed(taken):
            path = tmp_path / key_of(about, decision)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(line_of(about, decision))
    return str(tmp_path)


def test_a_rollback_of_a_model_that_is_gone_is_explained(
    log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "churn", "-n", "growth", "--log", log]) == DONE
    text = capsys.readouterr().out
    assert f"rolled back {NEW.name}, 10 % to 0 % (MetricBreached)" in text
    assert "on stable in the same minutes" in text
    newest = why_logged(log, "growth", "churn", last=1)
    assert [d["id"] for d in newest.data] == [TAKEN[-1].id]


def test_logged_decisions_are_taken_again(log: str) -> None:
    recording = recording_of(STORY)
    answer = replayed(recording, None, decisions(log, "growth", "churn"))
    assert answer.code == DONE
    assert len(answer.data) == sum(d.evidence is not None for d in TAKEN)


def test_decisions_come_in_their_order_with_all_their_numbers(log: str) -> None:
    found: list[DecisionStatus] = decisions(log, "growth", "churn")
    assert tuple(found) == TAKEN


@pytest.mark.parametrize(
    ("namespace", "model", "message"),
    [
        (None, "churn", "churn is in growth, play; choose one with -n"),
        ("other", "churn", "no decision about other/churn"),
        (None, "fraud", "no decision about fraud"),
    ],
)
def test_a_model_that_is_not_there_is_named(
    log: str, namespace: str | None, model: str, message: str
) -> None:
    with pytest.raises(TerminalError, match=message):
        decisions(log, namespace, model)


def test_a_folder_that_is_no_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="there is no such folder"):
        decisions(str(tmp_path / "absent"), None, "churn")
    (tmp_path / "half.jsonl").write_text('{"namespace": "gro')
    with pytest.raises(TerminalError, match=r"half\.jsonl: no line of a decision log"):
        decisions(str(tmp_path), None, "churn")
