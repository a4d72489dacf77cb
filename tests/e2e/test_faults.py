"""What goes wrong in the middle of a canary: processes die, objects are deleted, wishes change.

The canary holds at half of the requests, and by itself it would hold for ever.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from urllib.request import urlopen

import pytest
from tests.e2e.objects import ACCURACY, ERRORS, canary, model
from tests.e2e.operator import LeaseRequest, Operator
from tests.e2e.place import Place, eventually
from tests.e2e.processes import kill, processes
from tests.e2e.scenes import clients, reached, revision, served, uids
from tests.e2e.store import Store
from tests.integration.apiserver import Manifest

from tidegate.api.meta import parse_timestamp
from tidegate.api.v1alpha1.model_status import MetricStatus, ModelStatus
from tidegate.controllers.leader import LEASE_SECONDS, RETRY_SECONDS
from tidegate.evidence.windows import SLOT_SECONDS

MODEL, MONITOR = "held", "tidegate.sidecar.monitor"
WEIGHT = 50
NOTHING = MetricStatus(name="", verdict="Inconclusive")
DELIVERY = canary(
    {"setWeight": WEIGHT}, {"analysis": {}}, metrics=(ERRORS, ACCURACY), minSamples=100_000
)


class Held:
    """The two revisions of the canary, by name."""

    def __init__(self, place: Place, stable: str, candidate: str) -> None:
        self.place, self.stable, self.candidate = place, stable, candidate

    def pods(self) -> tuple[list[Manifest], list[Manifest]]:
        return self.place.pods_of(self.stable), self.place.pods_of(self.candidate)

    def metrics(self) -> dict[str, MetricStatus]:
        rollout = self.place.model(MODEL).status.rollout
        return {m.name: m for m in rollout.metrics} if rollout else {}

    def weighed(self, moment: float) -> ModelStatus:
        """The status once all that happened up to the moment has been weighed."""

        def holds(status: ModelStatus) -> bool:
            through = status.rollout.evidence_through if status.rollout else ""
            return bool(through) and parse_timestamp(through).timestamp() >= moment

        return reached(self.place, MODEL, holds, "its evidence to be weighed")


@pytest.fixture(scope="module")
def held(operator: Operator, store: Store, artifacts: dict[str, Manifest]) -> Iterator[Held]:
    place = store.place
    with served(place, model(MODEL, artifacts["tree"], DELIVERY)) as stable:
        place.apply(model(MODEL, artifacts["regression"], DELIVERY))
        candidate = revision(MODEL, artifacts["regression"])
        reached(place, MODEL, _has_weight(candidate), "a share for the candidate")
        # The analysis leaves out the slot that it began in.
        begun = time.time() // SLOT_SECONDS
        eventually(lambda: time.time() // SLOT_SECONDS > begun, "the next slot", 2 * SLOT_SECONDS)
        yield Held(place, stable, candidate)


def test_killed_leader_loses_no_evidence(operator: Operator, held: Held) -> None:
    old = operator.leader()
    before, asked = held.metrics(), operator.audit.stat().st_size
    # Slots in which only one arm has counts are not compared: begin and end amid one.
    _wait_for_mid_slot()
    with clients(held.place, MODEL) as load:
        held.weighed(time.time())
        kill(old, "operator", "tidegate.controllers")
        # Else the container is back in two seconds, and goes on as the leader that it was.
        operator.place.delete("pods", old["metadata"]["name"], grace_seconds=0)
        new = eventually(lambda: _another_leader(operator, old), "another leader")
        held.weighed(time.time())
        _wait_for_mid_slot()
    assert new != old["metadata"]["name"]
    _check_takeover(list(operator.lease_requests(asked)), old["metadata"]["name"], new)

    # Labels are counted a slot later than their answers.
    held.weighed(time.time() + SLOT_SECONDS)
    after = held.metrics()

    stable, candidate = map(uids, held.pods())
    assert load.failures == []
    assert _gained(before, after, "errors") == (
        load.answered_by(candidate),
        load.answered_by(stable),
    )
    labelled = load.accepted_from(candidate), load.accepted_from(stable)
    assert _gained(before, after, "accuracy") == labelled
    assert min(labelled) > 0


def test_killed_monitors_fail_no_request_and_count_again(held: Held) -> None:
    pods = [pod for arm in held.pods() for pod in arm]
    with clients(held.place, MODEL, rate=100) as load:
        eventually(lambda: len(load.answers) > 100, "answers")
        before = [processes(pod, "sidecar", MONITOR) for pod in pods]
        for pod in pods:
            kill(pod, "sidecar", MONITOR)
        killed = time.time()

        def back() -> bool:
            now = [processes(pod, "sidecar", MONITOR) for pod in pods]
            return all(new and not new & old for new, old in zip(now, before, strict=True))

        eventually(back, "the monitors")
        held.weighed(killed + SLOT_SECONDS)
        counted = held.metrics()
        status = held.weighed(killed + 3 * SLOT_SECONDS)
    assert load.failures == []
    assert min(_gained(counted, held.metrics(), "errors")) > 0
    assert status.candidate is not None
    assert status.candidate.weight == WEIGHT, "missing evidence is no evidence against it"
    states = [s for arm in held.pods() for s in arm[0]["status"]["initContainerStatuses"]]
    assert {s["restartCount"] for s in states} == {0}, "the proxies have lived on"


def test_rolling_update_fails_no_request(held: Held) -> None:
    old = set.union(*map(uids, held.pods()))
    restart = {"kubectl.kubernetes.io/restartedAt": f"{time.time()}"}
    with clients(held.place, MODEL, rate=100) as load:
        eventually(lambda: len(load.answers) > 100, "answers")
        for revision_ in (held.stable, held.candidate):
            template = {"template": {"metadata": {"annotations": restart}}}
            held.place.patch("deployments", revision_, {"spec": template})
        replaced = partial(_all_replaced, held, old)
        eventually(replaced, "new pods in the place of all")
        eventually(lambda: load.answered_by(set(replaced()), time.time() - 1), "their answers")
    assert load.failures == []


def _wait_for_mid_slot() -> None:
    eventually(lambda: 3 < time.time() % SLOT_SECONDS < 6, "mid-slot")


def _all_replaced(held: Held, old: set[str]) -> set[str]:
    now = set.union(*map(uids, held.pods()))
    return set() if now & old else now


def test_deleted_children_come_back(held: Held) -> None:
    place = held.place
    pods = uids(place.pods_of(held.stable))
    children = [
        ("services", MODEL),
        ("services", held.stable),
        ("services", held.candidate),
        ("configmaps", f"{MODEL}-routing"),
        ("poddisruptionbudgets", MODEL),
        ("controllerrevisions", held.stable),
        ("deployments", held.stable),
    ]
    for child in children:
        old = place.there(*child)
        place.delete(*child)
        again = partial(_another, place, child, old)
        new = eventually(again, f"another {child}")
        assert new["metadata"]["ownerReferences"] == old["metadata"]["ownerReferences"]
    # Until the old pods are gone, the status may be that of the time before.
    eventually(lambda: not pods & uids(place.pods_of(held.stable)), "other pods")
    served_again = reached(place, MODEL, _is_served, "its pods again")
    eventually(partial(_answers, place), "an answer through the Service")
    assert served_again.stable is not None
    assert served_again.stable.revision == held.stable
    reached(place, MODEL, _has_weight(held.candidate), "the canary to go on")
    with clients(place, MODEL) as load:
        eventually(lambda: len(load.answers) > 100, "answers")
    assert load.failures == []


def _answers(place: Place) -> bool:
    """Whether the node's rules for the Service have caught up with its pods."""
    try:
        with urlopen(f"http://{place.address(MODEL)}/v2/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_changed_wish_starts_from_the_new_revision(
    held: Held, store: Store, artifacts: dict[str, Manifest]
) -> None:
    place = held.place
    other = store.republished(artifacts["regression"], "other", {"metrics.json": b"{}"})
    newest = revision(MODEL, other)
    pods = uids(place.pods_of(held.stable))
    with clients(place, MODEL) as load:
        place.apply(model(MODEL, other, DELIVERY))
        reached(place, MODEL, _has_weight(newest), "a share for the new candidate")
        eventually(lambda: not place.pods_of(held.candidate), "the end of the first")
    status = place.model(MODEL).status

    told = [(d.action, d.revision, d.from_weight, d.to_weight) for d in status.decisions[-3:]]
    assert told == [
        ("Supersede", held.candidate, WEIGHT, 0),
        ("Start", newest, 0, 0),
        ("SetWeight", newest, 0, WEIGHT),
    ]
    assert status.rejected == (), "nothing spoke against it"
    assert uids(place.pods_of(held.stable)) == pods
    assert load.failures == []


def _check_takeover(asked: list[LeaseRequest], old: str, new: str) -> None:
    """By the API server's clock, and by how often the new leader looked, however slow that was."""
    renewed = max(r.at for r in asked if (r.pod, r.verb) == (old, "update"))
    taken = min(r.at for r in asked if (r.pod, r.verb) == (new, "update"))
    looks = [r.at for r in asked if (r.pod, r.verb) == (new, "get") and renewed < r.at < taken]
    # It may have begun to look just before the last renewal.
    assert taken - renewed > LEASE_SECONDS - RETRY_SECONDS
    expired = [at for at in looks if at > looks[0] + LEASE_SECONDS + RETRY_SECONDS / 2]
    assert len(expired) <= 1, "it takes the Lease when it finds that it has expired"


def _another_leader(operator: Operator, old: Manifest) -> str | None:
    lease = operator.place.there("leases", "tidegate-operator")
    holder = str(lease["spec"].get("holderIdentity") or "")
    return holder if holder and holder != old["metadata"]["name"] else None


def _gained(
    before: dict[str, MetricStatus], after: dict[str, MetricStatus], metric: str
) -> tuple[int, int]:
    """How many samples of the candidate and of stable a metric has got."""
    old, new = before.get(metric, NOTHING), after[metric]
    return new.samples - old.samples, new.stable_samples - old.stable_samples


def _another(place: Place, child: tuple[str, str], old: Manifest) -> Manifest | None:
    found = place.get(*child)
    return found if found and found["metadata"]["uid"] != old["metadata"]["uid"] else None


def _is_served(status: ModelStatus) -> bool:
    return status.stable is not None and status.stable.ready_replicas == 1


def _has_weight(candidate: str) -> Callable[[ModelStatus], bool]:
    def holds(status: ModelStatus) -> bool:
        found = status.candidate
        return found is not None and found.revision == candidate and found.weight > 0

    return holds
