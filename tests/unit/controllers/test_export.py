"""The export: what the collector has gathered, over a real connection on the loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from tests.fakes import FakeSidecars
from tests.ports import free_port
from typing_extensions import override

from tidegate.api.meta import ObjectKey
from tidegate.controllers.collector import Collector, Gathered
from tidegate.controllers.export import Export
from tidegate.controllers.sampler import Sampled, Sampler
from tidegate.evidence.recording import Recording
from tidegate.evidence.values import ValueKey
from tidegate.evidence.windows import BlockKey, Counts, Labels

KNOWN = Gathered(
    windows={BlockKey(slot, 1, "churn-1"): Counts(requests=slot) for slot in range(1, 7)},
    labels={BlockKey(slot, 1, "churn-1"): Labels(slot, 0) for slot in range(1, 7)},
    closed_through=5,
    labels_closed_through=2,
)
VALUES = {ValueKey(2, "q", "churn-1"): 0.25, ValueKey(2, "q", "churn-2"): None}


class Knowing(Collector):
    """A collector that has gathered `KNOWN` of one Model."""

    @override
    def gathered(self, key: ObjectKey) -> Gathered:
        return KNOWN if key == ("Model", "growth", "churn") else Gathered()


class Sampling(Sampler):
    """A sampler that has asked about the same Model."""

    @override
    def sampled(self, key: ObjectKey) -> Sampled:
        return Sampled(VALUES, 7) if key == ("Model", "growth", "churn") else Sampled()


@asynccontextmanager
async def exporting(*, leads: bool = True) -> AsyncIterator[str]:
    port = free_port()
    collector = Knowing(FakeSidecars(), lambda: 0.0, lambda _: None)
    sampler = Sampling(None, lambda: 0.0, lambda _: None)
    export = Export(collector, sampler, lambda: leads)
    await export.start(port)
    try:
        yield f"http://127.0.0.1:{port}/evidence"
    finally:
        await export.close()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def part(url: str) -> Recording:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return Recording.from_json(await answer.json())


async def test_tells_what_is_closed_and_newer() -> None:
    async with exporting() as url:
        whole = await part(f"{url}/growth/churn")
        newer = await part(f"{url}/growth/churn?after=3&labelsAfter=4")
    assert [k.slot for k in whole.windows] == [1, 2, 3, 4, 5]
    assert [k.slot for k in whole.labels] == [1, 2, 3, 4, 5, 6]
    assert (whole.closed_through, whole.labels_closed_through) == (5, 2)
    # A value may come later than the windows that it is about: all that are known are told.
    assert whole.values == newer.values == VALUES
    assert whole.values_closed_through == 7
    assert [k.slot for k in newer.windows] == [4, 5]
    assert [k.slot for k in newer.labels] == [5, 6]


async def test_of_an_unknown_model_nothing_is_known() -> None:
    async with exporting() as url:
        assert (await part(f"{url}/growth/fraud")).slots is None


async def test_a_replica_that_does_not_lead_says_so() -> None:
    async with exporting(leads=False) as url:
        status, text = await get(f"{url}/growth/churn")
    assert (status, text) == (503, "this replica does not lead")


@pytest.mark.parametrize("query", ["after=now", "labelsAfter=-"])
async def test_a_slot_that_is_no_number_is_refused(query: str) -> None:
    async with exporting() as url:
        status, _ = await get(f"{url}/growth/churn?{query}")
    assert status == 400


async def test_only_the_loopback_is_served() -> None:
    async with exporting() as url, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{url}/growth/churn".replace("127.0.0.1", "127.0.0.2"))
