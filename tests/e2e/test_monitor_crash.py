"""The monitors of serving pods are killed under load: only evidence suffers, for a moment."""

import time

import pytest
from tests.e2e.objects import ERRORS, canary, model
from tests.e2e.place import Place, eventually
from tests.e2e.processes import kill, processes
from tests.e2e.scenes import clients, reached, served
from tests.integration.apiserver import Manifest

from tidegate.api.meta import parse_timestamp
from tidegate.api.v1alpha1.model import ModelStatus

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

MODEL, MONITOR = "watched", "tidegate.sidecar.monitor"
BACK_SECONDS = 20
DELIVERY = canary({"setWeight": 50}, {"analysis": {}}, metrics=(ERRORS,), minSamples=100_000)


def test_killed_monitors_fail_no_request_and_count_again(
    delivery: Place, artifacts: dict[str, Manifest]
) -> None:
    with served(delivery, model(MODEL, artifacts["tree"], DELIVERY)) as stable:
        delivery.apply(model(MODEL, artifacts["regression"], DELIVERY))
        with clients(delivery, MODEL, rate=100) as load:
            status = reached(delivery, MODEL, lambda s: _samples(s) > 0, "samples")
            assert status.rollout is not None
            candidate = status.rollout.revision
            pods = [*delivery.pods_of(stable), *delivery.pods_of(candidate)]
            before = [processes(pod, "sidecar", MONITOR) for pod in pods]
            for pod in pods:
                kill(pod, "sidecar", MONITOR)
            killed = time.time()

            def back() -> bool:
                now = [processes(pod, "sidecar", MONITOR) for pod in pods]
                return all(new and not new & old for new, old in zip(now, before, strict=True))

            eventually(back, "the monitors", BACK_SECONDS)
            counted = _samples(delivery.model(MODEL).status)
            again = reached(
                delivery,
                MODEL,
                lambda s: _through(s) >= killed + 20 and _samples(s) > counted,
                "new evidence",
            )
        assert load.failures == []
        assert again.candidate is not None
        assert again.candidate.weight == 50, "missing evidence is no evidence against it"
        for revision in (stable, candidate):
            states = delivery.pods_of(revision)[0]["status"]["initContainerStatuses"]
            assert [s["restartCount"] for s in states] == [0, 0], "the proxy has lived on"


def _samples(status: ModelStatus) -> int:
    return sum(m.samples for m in status.rollout.metrics) if status.rollout else 0


def _through(status: ModelStatus) -> float:
    text = status.rollout.evidence_through if status.rollout else ""
    return parse_timestamp(text).timestamp() if text else 0.0
