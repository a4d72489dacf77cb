"""A decision as a line: it says all that the status says, and lies where it always lies."""

import json

import pytest

from tidegate.api.meta import ObjectMeta
from tidegate.api.v1alpha1.model_status import DecisionStatus, EvidenceStatus, MetricStatus
from tidegate.rollout.decision_line import Logged, key_of, line_of, parsed

CHURN = ObjectMeta(name="churn", namespace="growth", uid="0a1b")
DECISION = DecisionStatus(
    id="d-0042",
    at="2026-11-21T23:59:58Z",
    action="RollBack",
    revision="churn-7d21b",
    reason="MetricBreached",
    message="“errors”: 31 of 812\nagainst 4 of 7,340",
    from_weight=10,
    to_weight=0,
    metrics=(MetricStatus(name="errors", source="ErrorRate", verdict="Fail", samples=812),),
    evidence=EvidenceStatus(
        stable="churn-5f7c9", after=1, through=9, labels_through=7, digest="sha256:1", analysis="2"
    ),
)


def test_a_line_has_everything_and_is_read_again() -> None:
    line = line_of(CHURN, DECISION)
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "namespace": "growth", "model": "churn", "uid": "0a1b", **DECISION.to_api()
    }  # fmt: skip
    assert list(parsed([line.decode()])) == [Logged("growth", "churn", DECISION)]


def test_a_decision_has_one_place_whoever_writes_it() -> None:
    assert key_of(CHURN, DECISION) == (
        "namespace=growth/model=churn/date=2026-11-21/20261121T235958Z-d-0042-0a1b.jsonl"
    )
    elsewhere = DECISION.model_copy(update={"at": "2026-11-22T01:59:58+02:00"})
    assert key_of(CHURN, elsewhere) == key_of(CHURN, DECISION)


@pytest.mark.parametrize("line", ["", "{}", '{"namespace": "growth", "model": "churn"}', "[1]"])
def test_what_is_no_decision_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no line of a decision log"):
        list(parsed([line]))
