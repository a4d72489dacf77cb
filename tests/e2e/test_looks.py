"""Features lose their relations, which no single one of them shows: a Job sees it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from hack.demo.world import tables
from tests.e2e.objects import BUCKET, CREDENTIALS, ERRORS, canary, drift_policy, model
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import served
from tests.e2e.store import Store
from tests.integration.apiserver import Manifest

from tidegate.api.v1alpha1.drift_policy import SignalStatus
from tidegate.sidecar.monitor.prediction_log.lines import Answer, lines
from tidegate.sidecar.monitor.prediction_log.parts import Parts

NAME = "related"
INTERVAL = timedelta(minutes=10)
ROWS = 600
POLICY: Manifest = {
    "mode": "Advise",
    "signals": [
        {"name": "together", "type": "MultivariateDrift", "breach": "0.6", "interval": "10m"}
    ],
    "window": {"size": "10s", "minSamples": 300},
    "sustain": {"breaches": 1, "of": 1},
}


def test_lost_relations_are_seen_by_a_job(store: Store, artifacts: dict[str, Manifest]) -> None:
    place = store.place
    log = {"uri": f"s3://{BUCKET}/looks/", "percent": 100, "credentialsRef": CREDENTIALS}
    manifest = model(
        NAME,
        artifacts["regression"],
        canary({"setWeight": 50}, metrics=(ERRORS,)),
        monitoring={"driftPolicyRef": {"name": NAME}},
    )
    manifest["spec"]["serving"]["sidecar"]["log"] = log
    with served(place, manifest) as revision:
        _write(store, revision)
        place.apply(drift_policy(NAME, POLICY))
        try:
            found = eventually(lambda: _found(place), "a finding")
        finally:
            place.delete("driftpolicies", NAME)
    assert found.level == "Breach", found.message
    assert found.value is not None
    assert float(found.value) > 0.9
    assert {t.feature for t in found.top} <= set(tables.training().columns)


def _write(store: Store, revision: str) -> None:
    """What a sidecar would have logged: each column has its values, in an order of its own."""
    rng = np.random.default_rng(1)
    frame = tables.stored()["all.csv"].drop(columns="malignant")
    frame = pd.concat([frame, frame]).sample(ROWS, random_state=1)
    frame = frame.apply(lambda column: rng.permutation(column.to_numpy()))
    now = datetime.now(UTC)
    epoch = datetime.fromtimestamp(0, UTC)
    end = epoch + (now - epoch) // INTERVAL * INTERVAL
    parts = Parts(f"looks/model={NAME}/revision={revision}/", "pod")
    for number, row in enumerate(frame.to_dict("records")):
        # Either of the two last intervals may be the newest one whose lines must be there by now.
        for begin in (end - INTERVAL, end - 2 * INTERVAL):
            at = (begin + INTERVAL * number / ROWS).timestamp()
            named = {str(k): v for k, v in row.items()}
            id_ = f"{begin:%H%M}-{number}"
            answer = Answer(at, id_, None, NAME, revision, "stable", [named], ["no"])
            parts.add(lines(answer), at, now=0.0)
    parts.close_older_than(float("inf"))
    for part in iter(parts.take, None):
        store.put_bytes(part.key, part.body)


def _found(place: Place) -> SignalStatus | None:
    """What the signal says, once a Job has answered."""
    for drift in place.policy(NAME).status.models:
        for signal in drift.signals:
            if any(look.auc or look.message for look in drift.looks):
                return signal
    return None
