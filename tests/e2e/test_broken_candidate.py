"""A candidate whose pods never get ready never gets a request, and is given up with its reason."""

import pytest
from tests.e2e.objects import ERRORS, canary, model
from tests.e2e.place import Place
from tests.e2e.scenes import clients, decided, revision, served
from tests.e2e.store import Store
from tests.integration.apiserver import Manifest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

MODEL = "broken"
DELIVERY = canary({"setWeight": 50}, {"analysis": {}}, metrics=(ERRORS,)) | {
    "progressDeadline": "40s"
}


def test_crash_looping_candidate_never_gets_weight(
    delivery: Place, store: Store, artifacts: dict[str, Manifest]
) -> None:
    # The digest is right, so that the pod fetches it: only the server finds that it can't load it.
    broken = store.republished(artifacts["tree"], "broken", {"model.skops": b"no model at all"})
    with served(delivery, model(MODEL, artifacts["tree"], DELIVERY)) as stable:
        with clients(delivery, MODEL, rate=20) as load:
            delivery.apply(model(MODEL, broken, DELIVERY))
            taken = decided(delivery, MODEL, "RollBack", revision(MODEL, broken))
        status = delivery.model(MODEL).status

        assert taken.reason == "CandidateNotReady"
        assert "model.skops" in taken.message, "the message says why"
        assert [(r.revision, r.reason) for r in status.rejected] == [
            (taken.revision, "CandidateNotReady")
        ]
        about_it = [d for d in status.decisions if d.revision == taken.revision]
        assert [(d.action, d.to_weight) for d in about_it] == [("RollBack", 0)]
        assert status.stable is not None
        assert (status.stable.revision, status.stable.weight) == (stable, 100)
        assert load.failures == []
