from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.fakes import FakeKube
from typing_extensions import override

from tidegate.api.names import LEASE_NAME
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import LEASES, Resource
from tidegate.controllers.leader import LEASE_SECONDS, Leadership

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class LateRenewal(FakeKube):
    """The leader's last renewal, which it has cancelled, arrives after it has read the Lease."""

    is_on_its_way = True

    @override
    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        found = await super().get(resource, namespace, name)
        if found is not None and self.is_on_its_way:
            self.is_on_its_way = False
            spec = {**found["spec"], "renewTime": "2026-11-21T12:00:02.000000Z"}
            await self.replace({**found, "spec": spec})
        return found


def leadership(kube: FakeKube, identity: str, now: datetime = NOW) -> Leadership:
    return Leadership(kube, "tidegate", identity, lambda: now)


def spec(kube: FakeKube) -> dict[str, Any]:
    found: dict[str, Any] = kube.objects[LEASES, "tidegate", LEASE_NAME]["spec"]
    return found


@pytest.mark.parametrize(
    "kind",
    [pytest.param(FakeKube, id="at rest"), pytest.param(LateRenewal, id="while it renews")],
)
async def test_a_leader_that_ends_leaves_the_lease_to_the_next_one(kind: type[FakeKube]) -> None:
    kube = kind()
    first, second = leadership(kube, "a"), leadership(kube, "b")
    await first.acquire()
    await first.release()
    assert spec(kube)["holderIdentity"] == ""
    await second.acquire()
    await first.release()
    assert spec(kube)["holderIdentity"] == "b"


async def test_a_lease_is_taken_when_it_was_not_renewed_for_its_whole_time() -> None:
    kube = FakeKube()
    second = leadership(kube, "b")
    await leadership(kube, "a").acquire()
    assert await second._take(100.0) is None
    await leadership(kube, "a", NOW + timedelta(seconds=2)).acquire()  # renewed
    for seconds in (10.0, 10.0 + LEASE_SECONDS):  # from when that was seen
        assert await second._take(100.0 + seconds) is None
    assert await second._take(110.1 + LEASE_SECONDS) is not None
    assert spec(kube)["holderIdentity"] == "b"
