"""What a Model's reconcile makes of the pods that EndpointSlices list."""

from typing import Any

import pytest
from tests.unit.controllers.model.scenes import OLD

from tidegate.api.names import LABEL_REVISION
from tidegate.controllers.model.observe import _pods
from tidegate.controllers.model.state import Pod

OF_REVISION = {LABEL_REVISION: OLD.name}


def slice_of(labels: dict[str, str], endpoints: object) -> dict[str, Any]:
    return {"metadata": {"name": "s", "labels": labels}, "endpoints": endpoints}


def endpoint(uid: str, *, ready: bool) -> dict[str, Any]:
    return {"addresses": ["10.0.0.9"], "conditions": {"ready": ready}, "targetRef": {"uid": uid}}


def pod(uid: str) -> Pod:
    return Pod(uid, "10.0.0.9", OLD.name)


def test_pods_behind_a_revisions_service_are_ready_or_not() -> None:
    found = _pods(
        [
            slice_of(OF_REVISION, [endpoint("a", ready=True), endpoint("b", ready=False), {}]),
            slice_of(OF_REVISION, None),
            slice_of({}, [endpoint("c", ready=True)]),
        ]
    )
    assert found == ((pod("a"),), (pod("b"),))


def test_a_pod_that_was_told_to_end_is_known() -> None:
    ending = endpoint("a", ready=False)
    ending["conditions"]["terminating"] = True
    _, (found,) = _pods([slice_of(OF_REVISION, [ending])])
    assert found.ending


@pytest.mark.parametrize("order", [(True, False), (False, True), (True, True)])
def test_an_endpoint_in_two_slices_is_one_pod(order: tuple[bool, bool]) -> None:
    slices = [slice_of(OF_REVISION, [endpoint("a", ready=ready)]) for ready in order]
    assert _pods(slices) == ((pod("a"),), ())


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert Pod("a", "fd00::7", OLD.name).at(8081) == "[fd00::7]:8081"
    assert pod("a").at(8081) == "10.0.0.9:8081"
