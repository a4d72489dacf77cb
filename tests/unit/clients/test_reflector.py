import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.fakes import FakeKube
from tests.patience import DEADLINE_SECONDS
from typing_extensions import override

from tidegate.clients import reflector as reflector_module
from tidegate.clients.kube import GoneError, Manifest
from tidegate.clients.reflector import Reflector
from tidegate.clients.resources import CONFIG_MAPS, Resource
from tidegate.errors import TerminalError, TransientError


class Copy:
    """A sink that keeps names, and how often it was given a whole list."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.lists = 0

    def put(self, resource: Resource, obj: Manifest) -> None:
        self.names.add(obj["metadata"]["name"])

    def remove(self, resource: Resource, obj: Manifest) -> None:
        self.names.discard(obj["metadata"]["name"])

    def replace(
        self, resource: Resource, namespace: str | None, objects: list[Manifest], version: str
    ) -> None:
        self.lists += 1
        self.names = {o["metadata"]["name"] for o in objects}


def config_map(name: str) -> Manifest:
    meta = {"namespace": "growth", "name": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


class World:
    def __init__(self) -> None:
        self.kube = FakeKube()
        self.copy = Copy()
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        reflector = Reflector(self.kube, CONFIG_MAPS, "growth", "", self.copy)
        self.task = asyncio.create_task(reflector.run())

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not holds():  # noqa: ASYNC110 - what is waited for is the copy's own state
                await asyncio.sleep(0)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(reflector_module, "BACKOFF_SECONDS", (0.0,))
    made = World()
    yield made
    if made.task is not None:
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)


async def test_lists_then_watches(world: World) -> None:
    await world.kube.apply(config_map("a"))
    world.start()
    await world.until(lambda: world.copy.names == {"a"})
    await world.kube.apply(config_map("b"))
    world.kube.vanish(CONFIG_MAPS, "growth", "a")
    await world.until(lambda: world.copy.names == {"b"})
    assert world.copy.lists == 1


async def test_lists_again_when_its_version_is_gone(world: World) -> None:
    for name in "ab":
        await world.kube.apply(config_map(name))
    world.start()
    await world.until(lambda: world.copy.names == {"a", "b"})
    world.kube.vanish(CONFIG_MAPS, "growth", "a")
    world.kube.compact()
    await world.until(lambda: world.copy.names == {"b"} and world.copy.lists == 2)


async def test_outlives_an_api_server_that_fails(world: World) -> None:
    await world.kube.apply(config_map("a"))
    world.kube.failures += [TransientError("starting")] * 3
    world.start()
    await world.until(lambda: world.copy.names == {"a"})


class Ending(FakeKube):
    """Its watches end as soon as they have begun, without an event."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self._error = error
        self.watches = 0

    @override
    async def watch(
        self, resource: Resource, namespace: str | None, *, labels: str, resource_version: str
    ) -> AsyncIterator[tuple[str, Manifest]]:
        self.watches += 1
        if self._error is not None:
            raise self._error
        for event in list[tuple[str, Manifest]]():
            yield event


@pytest.mark.parametrize(
    ("error", "pause", "most"),
    [
        pytest.param(None, 60.0, 2, id="a server that hangs up"),
        pytest.param(GoneError("1"), 60.0, 2, id="a server whose own version is too old"),
        pytest.param(TransientError("429", retry_after=60.0), 0.0, 1, id="a server that says when"),
    ],
)
async def test_a_server_that_ends_every_watch_is_not_asked_in_a_hurry(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception | None, pause: float, most: int
) -> None:
    monkeypatch.setattr(reflector_module, "BACKOFF_SECONDS", (pause,))
    world.kube = kube = Ending(error)
    world.start()
    for _ in range(1000):
        await asyncio.sleep(0)
    assert 1 <= kube.watches <= most
    assert world.copy.lists <= most


async def test_missing_rights_end_it(world: World) -> None:
    world.kube.failures.append(TerminalError("Forbidden", "configmaps is forbidden"))
    world.start()
    assert world.task is not None
    with pytest.raises(TerminalError):
        await world.task
