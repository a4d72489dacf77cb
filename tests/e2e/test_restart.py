"""The operator dies in the middle of a canary: evidence is neither lost nor counted twice."""

import time

import pytest
from tests.e2e.objects import ACCURACY, ERRORS, canary, model
from tests.e2e.operator import Operator
from tests.e2e.place import Place, eventually
from tests.e2e.processes import kill
from tests.e2e.scenes import clients, decision, reached, served, uids
from tests.integration.apiserver import Manifest

from tidegate.api.meta import parse_timestamp
from tidegate.api.v1alpha1.model import ModelStatus
from tidegate.evidence.windows import SLOT_SECONDS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

MODEL = "restarted"
TAKEN_OVER_SECONDS = 60
# More than the clients send: the step holds until the test has compared the counts.
ENDLESS = 100_000
DELIVERY = canary(
    {"setWeight": 50}, {"analysis": {}}, metrics=(ERRORS, ACCURACY), minSamples=ENDLESS
)


def test_leader_killed_in_a_canary_loses_no_evidence(
    operator: Operator, delivery: Place, artifacts: dict[str, Manifest]
) -> None:
    with served(delivery, model(MODEL, artifacts["tree"], DELIVERY)) as stable:
        delivery.apply(model(MODEL, artifacts["regression"], DELIVERY))
        candidate = _analysed(delivery)
        old = operator.leader()
        with clients(delivery, MODEL) as load:
            _weighed_past(delivery, time.time())
            kill(old, "operator", "tidegate.controllers")
            new = eventually(lambda: _other(operator, old), "another leader", TAKEN_OVER_SECONDS)
            _weighed_past(delivery, time.time())
            # Slots in which only one arm has counts are not compared: end amid one.
            eventually(lambda: 3 < time.time() % SLOT_SECONDS < 8, "mid-slot", SLOT_SECONDS)
        ended = time.time()
        assert new != old["metadata"]["name"]

        status = _weighed_past(delivery, ended, lag=10)

        assert load.failures == []
        assert status.rollout is not None
        metrics = {m.name: m for m in status.rollout.metrics}
        ours, theirs = (uids(delivery.pods_of(r)) for r in (candidate, stable))
        assert metrics["errors"].samples == load.answered_by(ours)
        assert metrics["errors"].stable_samples == load.answered_by(theirs)
        assert metrics["accuracy"].samples == load.accepted_from(ours) > 0
        assert metrics["accuracy"].stable_samples == load.accepted_from(theirs) > 0
        assert decision(status, "RollBack", candidate) is None


def _analysed(place: Place) -> str:
    """The candidate, once the analysis has begun and its first slot is over."""
    status = reached(
        place, MODEL, lambda s: s.rollout is not None and bool(s.rollout.cursor), "an analysis"
    )
    assert status.rollout is not None
    begun = time.time() // SLOT_SECONDS
    eventually(lambda: time.time() // SLOT_SECONDS > begun, "the next slot", 2 * SLOT_SECONDS)
    return status.rollout.revision


def _weighed_past(place: Place, moment: float, *, lag: float = 0) -> ModelStatus:
    """The status once all that happened up to the moment has been weighed."""

    def holds(status: ModelStatus) -> bool:
        through = status.rollout.evidence_through if status.rollout else ""
        return bool(through) and parse_timestamp(through).timestamp() >= moment + lag

    return reached(place, MODEL, holds, "its evidence weighed", 90)


def _other(operator: Operator, old: Manifest) -> str | None:
    lease = operator.place.there("leases", "tidegate-operator")
    holder = str(lease["spec"].get("holderIdentity") or "")
    return holder if holder and holder != old["metadata"]["name"] else None
