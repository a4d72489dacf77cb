"""Who is answered by the candidate before and while it has a share: copies, testers, sessions."""

import json
import urllib.request
from collections import defaultdict

from hack.demo.world import tables
from tests.e2e.load import cases
from tests.e2e.objects import ERRORS, canary, model
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import clients, decided, reached, revision, served, uids
from tests.integration.apiserver import Manifest

from tidegate.api.meta import parse_timestamp
from tidegate.api.names import HEADER_ID
from tidegate.evidence.ids import parse

MODEL = "routed"
AGREEMENT: Manifest = {
    "name": "agreement",
    "source": "PairedDisagreement",
    "maxRate": "0.4",
    "onBreach": "Rollback",
}


def by_steps() -> Manifest:
    """Copies first, then every second session, until the test ends."""
    made = canary(
        {"shadow": {"percent": 100, "minSamples": 200}},
        {"setWeight": 50},
        {"pause": {"duration": "1h"}},
        metrics=(ERRORS, AGREEMENT),
        maxRequestsPerSession=10,
    )
    made["strategy"]["canary"] |= {
        "sticky": {"header": "x-patient"},
        "match": [{"header": "x-tester", "value": "yes"}],
    }
    return made


def answered_by(place: Place, **headers: str) -> str:
    """The uid of the pod that answers a request with these headers."""
    body = next(cases(tables.held_out())).body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named["content-type"] = "application/json"
    url = f"http://{place.address(MODEL)}/v2/models/{MODEL}/infer"
    asked = urllib.request.Request(url, body, named, method="POST")  # our own URL
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert json.load(answer)["outputs"]
        id_ = parse(answer.headers[HEADER_ID])
    assert id_ is not None
    return id_.member


def test_copies_testers_and_sessions(delivery: Place, artifacts: dict[str, Manifest]) -> None:
    place = delivery
    candidate = revision(MODEL, artifacts["regression"])
    with (
        served(place, model(MODEL, artifacts["tree"], by_steps())) as stable,
        clients(place, MODEL, rate=100) as load,
    ):
        place.apply(model(MODEL, artifacts["regression"], by_steps()))
        reached(
            place,
            MODEL,
            lambda s: s.rollout is not None and s.rollout.step.text == "1/3 shadow 100",
            "copies for the candidate",
        )
        # The step begins before there are pods for it.
        theirs = eventually(lambda: uids(place.pods_of(candidate)), "the candidate's pods")
        eventually(lambda: answered_by(place, x_tester="yes") in theirs, "a tester's answer")
        assert answered_by(place, x_tester="no") in uids(place.pods_of(stable))

        proven = decided(place, MODEL, "Advance", candidate)

        agreement = next(m for m in proven.metrics if m.name == "agreement")
        assert (proven.reason, agreement.verdict) == ("AnalysisPassed", "Pass")
        assert agreement.samples >= 200
        assert agreement.estimate is not None
        assert 0 < float(agreement.estimate) < 0.3, "they are two models, and both are good"
        until_then = [a for a in load.answers if a.at < parse_timestamp(proven.at).timestamp()]
        assert len(until_then) >= 200
        assert not {a.pod for a in until_then} & theirs, "no client has met the candidate"
        eventually(lambda: load.answered_by(theirs), "a client's answer of the candidate")
        met = defaultdict(set)
        for patient in range(12):
            for _ in range(4):
                met[patient].add(answered_by(place, x_patient=str(patient)) in theirs)
        assert all(len(arms) == 1 for arms in met.values()), "a patient stays with one model"
        assert set().union(*met.values()) == {True, False}
        load.stop()
        assert load.failures == []
