"""What is deleted comes back; of a wish that changes in mid-rollout, the newest counts."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from tests.e2e.objects import ERRORS, canary, model
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import clients, reached, revision, served, uids
from tests.e2e.store import Store
from tests.integration.apiserver import Manifest

from tidegate.api.v1alpha1.model import ModelStatus

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

MODEL = "repaired"
REPAIRED_SECONDS = 30
DELIVERY = canary({"setWeight": 50}, {"analysis": {}}, metrics=(ERRORS,), minSamples=100_000)


@pytest.fixture(scope="module")
def stable(store: Store, artifacts: dict[str, Manifest]) -> Iterator[str]:
    with served(store.place, model(MODEL, artifacts["tree"], DELIVERY)) as running:
        yield running


def test_deleted_children_come_back(delivery: Place, stable: str) -> None:
    children = [
        ("services", MODEL),
        ("services", stable),
        ("configmaps", f"{MODEL}-routing"),
        ("poddisruptionbudgets", MODEL),
        ("controllerrevisions", stable),
        ("deployments", stable),
    ]
    before = {child: delivery.there(*child) for child in children}
    for child in children:
        delivery.delete(*child)

    for child, old in before.items():
        another = partial(_another, delivery, child, old)
        new = eventually(another, f"another {child}", REPAIRED_SECONDS)
        assert new["metadata"]["ownerReferences"] == old["metadata"]["ownerReferences"]
    served_again = reached(
        delivery,
        MODEL,
        lambda s: s.stable is not None and s.stable.ready_replicas == 1,
        "its pods again",
    )
    assert served_again.stable is not None
    assert served_again.stable.revision == stable
    with clients(delivery, MODEL) as load:
        eventually(lambda: len(load.answers) > 50, "answers", 30)
    assert load.failures == []


def test_spec_changed_in_mid_rollout_starts_from_the_new_revision(
    delivery: Place, store: Store, stable: str, artifacts: dict[str, Manifest]
) -> None:
    first = artifacts["regression"]
    second = store.republished(first, "second", {"metrics.json": b"{}"})
    outrun, newest = (revision(MODEL, a) for a in (first, second))
    pods = uids(delivery.pods_of(stable))
    with clients(delivery, MODEL) as load:
        delivery.apply(model(MODEL, first, DELIVERY))
        reached(delivery, MODEL, _has_weight(outrun), "weight of the first candidate")

        delivery.apply(model(MODEL, second, DELIVERY))
        reached(delivery, MODEL, _has_weight(newest), "weight of the second candidate")
        eventually(lambda: not delivery.pods_of(outrun), "the end of the first", 60)

        status = delivery.model(MODEL).status
        told = [(d.action, d.revision, d.to_weight) for d in status.decisions[-5:]]
        assert told == [
            ("Start", outrun, 0),
            ("SetWeight", outrun, 50),
            ("Supersede", outrun, 0),
            ("Start", newest, 0),
            ("SetWeight", newest, 50),
        ]
        assert status.rejected == (), "nothing spoke against it"
        assert uids(delivery.pods_of(stable)) == pods
    assert load.failures == []


def _another(place: Place, child: tuple[str, str], old: Manifest) -> Manifest | None:
    found = place.get(*child)
    return found if found and found["metadata"]["uid"] != old["metadata"]["uid"] else None


def _has_weight(revision: str) -> Callable[[ModelStatus], bool]:
    def holds(status: ModelStatus) -> bool:
        candidate = status.candidate
        return candidate is not None and candidate.revision == revision and candidate.weight > 0

    return holds
