"""While pods are replaced under load no request fails, and each one is counted or told as lost."""

import re
from collections.abc import Iterator
from functools import partial
from urllib.request import urlopen

import pytest
from tests.e2e.objects import ERRORS, canary, model
from tests.e2e.operator import Operator
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import clients, decided, revision, served, uids
from tests.e2e.store import Store
from tests.integration.apiserver import Manifest

MODEL, PORT = "counted", 8085
DELIVERY = canary({"setWeight": 40}, {"pause": {"duration": "5s"}}, metrics=(ERRORS,))
SERIES = re.compile(
    rf'tidegate_evidence_(lost_)?requests{{model="{MODEL}",namespace="[^"]*"}} ([0-9.e+]+)'
)


@pytest.fixture(scope="module")
def counted(operator: Operator, store: Store, artifacts: dict[str, Manifest]) -> Iterator[str]:
    with served(store.place, _wish(artifacts["tree"])) as stable:
        # What was lost shows only from a first report on.
        eventually(lambda: len(_counts(operator)) == 2, "the operator's counts")
        yield stable


def test_every_request_of_replaced_pods_is_counted(
    operator: Operator, counted: str, store: Store, artifacts: dict[str, Manifest]
) -> None:
    place, before = store.place, sum(_counts(operator).values())
    with clients(place, MODEL, rate=100) as load:
        eventually(lambda: len(load.answers) > 100, "answers")
        old = uids(place.pods_of(counted))
        place.apply(_wish(artifacts["tree"], memory="144Mi"))
        # The Deployment's own rolling update; its old pods end while they answer.
        replaced = partial(_all_replaced, place, counted, old)
        eventually(replaced, "new pods in the place of all")
        place.apply(_wish(artifacts["regression"], memory="144Mi"))
        promoted = revision(MODEL, artifacts["regression"])
        decided(place, MODEL, "Promote", promoted)
        eventually(lambda: not place.pods_of(counted), "the end of the pods before")
        begun = len(load.answers)
        eventually(lambda: len(load.answers) > begun + 100, "answers of the new ones only")
    assert load.failures == []

    def all_counted() -> bool:
        return sum(_counts(operator).values()) >= before + len(load.answers)

    eventually(all_counted, f"{len(load.answers)} requests to be counted, after {before}")
    counts = _counts(operator)
    assert sum(counts.values()) == before + len(load.answers), counts
    assert counts["lost"] == 0, "no process died: all could be told"


def _wish(artifact: Manifest, memory: str = "128Mi") -> Manifest:
    made = model(MODEL, artifact, DELIVERY)
    made["spec"]["serving"]["resources"]["requests"]["memory"] = memory
    return made


def _all_replaced(place: Place, revision_: str, old: set[str]) -> bool:
    now = uids(place.pods_of(revision_))
    return bool(now) and not now & old


def _counts(operator: Operator) -> dict[str, int]:
    """The requests that the pods told of, and those that they lost, as users see them."""
    address = operator.leader()["status"]["podIP"]
    with urlopen(f"http://{address}:{PORT}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {"lost" if lost else "told": round(float(n)) for lost, n in SERIES.findall(text)}
