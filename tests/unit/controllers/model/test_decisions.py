"""What a status keeps of decisions: the newest in full, and never more than it can hold."""

import json

from tests.unit.controllers.model.scenes import NEW
from tests.unit.rollout.test_analysis import ANALYSIS, World, simulate

from tidegate.api.v1alpha1.model_status import DecisionStatus, ModelStatus, RolloutStatus
from tidegate.controllers.model.decisions import remembered
from tidegate.rollout.analysis import Arms, start, weigh

WEIGHED = weigh(ANALYSIS, start(ANALYSIS, 0), Arms("m-old", "m-new"), simulate(World(), 60, seed=1))


def decision(number: int, *, weighed: bool) -> DecisionStatus:
    return DecisionStatus(
        id=f"d-{number:04d}",
        at="2026-11-21T12:00:00Z",
        action="Advance" if weighed else "SetWeight",
        revision=NEW.name,
        reason="AnalysisPassed" if weighed else "WeightSet",
        message="Every metric passed." if weighed else "The candidate gets 10 % of the requests.",
        from_weight=10,
        to_weight=10,
        metrics=WEIGHED.results if weighed else (),
        evidence=WEIGHED.evidence if weighed else None,
    )


def test_the_newest_keep_their_numbers_and_all_their_sentence() -> None:
    decisions = tuple(decision(n, weighed=n % 2 == 0) for n in range(1, 41))
    kept = remembered(decisions)
    assert [d.id for d in kept] == [d.id for d in decisions[-20:]]
    assert [d.id for d in kept if d.metrics] == ["d-0032", "d-0034", "d-0036", "d-0038", "d-0040"]
    assert [d.id for d in kept if d.evidence] == [d.id for d in kept if d.metrics]
    assert all(d.message for d in kept)


def test_remembering_twice_changes_nothing() -> None:
    kept = remembered(tuple(decision(n, weighed=True) for n in range(1, 31)))
    assert remembered(kept) == kept


def test_a_status_stays_below_twenty_kilobytes() -> None:
    rollout = RolloutStatus(
        revision=NEW.name,
        state="Stepping",
        metrics=WEIGHED.results,
        evidence=WEIGHED.evidence,
        cursor=WEIGHED.cursor,
    )
    decisions = remembered(tuple(decision(n, weighed=n % 2 == 0) for n in range(1, 41)))
    status = ModelStatus(rollout=rollout, decisions=decisions)
    assert len(json.dumps(status.to_api(), separators=(",", ":"))) < 20_000
