import asyncio

import pytest
from tests.fakes import FakeKube

from tidegate.clients.kube import Manifest
from tidegate.clients.resources import CONFIG_MAPS, MODELS
from tidegate.controllers.inbox import Inbox
from tidegate.controllers.store import Store
from tidegate.controllers.sweep import Place, Sweep
from tidegate.controllers.workqueue import WorkQueue
from tidegate.errors import TransientError

PLACES: tuple[Place, ...] = ((MODELS, None, ""), (CONFIG_MAPS, None, "app=tidegate"))


def obj(kind: str, name: str) -> Manifest:
    version = "v1" if kind == "ConfigMap" else "tidegate.dev/v1alpha1"
    meta = {"namespace": "growth", "name": name, "labels": {"app": "tidegate"}}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": {"x": 1}}


class World:
    def __init__(self) -> None:
        self.kube = FakeKube()
        self.store = Store((resource, space) for resource, space, _ in PLACES)
        self.queue = WorkQueue(asyncio.get_running_loop().time, lambda: 0.5)
        inbox = Inbox(self.store, self.queue)
        self.sweep = Sweep(self.kube, PLACES, inbox, self.store, self.queue)

    async def check(self) -> None:
        for place in PLACES:
            await self.sweep.check(*place)


@pytest.fixture
async def world() -> World:
    return World()


async def test_the_first_load_brings_the_custom_resources(world: World) -> None:
    await world.kube.apply(obj("Model", "churn"))
    world.kube.failures.append(TransientError("starting"))
    await world.sweep.load()
    assert world.store.get(MODELS, "growth", "churn") is not None
    assert world.queue.depth == 1
    assert not world.store.synced  # the children come with their reflectors


async def test_finds_what_was_created_changed_and_deleted_unseen(world: World) -> None:
    await world.kube.apply(obj("ConfigMap", "changed"))
    await world.kube.apply(obj("ConfigMap", "deleted"))
    await world.check()
    await world.kube.apply(obj("ConfigMap", "changed") | {"spec": {"x": 2}})
    world.kube.vanish(CONFIG_MAPS, "growth", "deleted")
    await world.kube.apply(obj("ConfigMap", "created"))
    await world.check()
    found = {o["metadata"]["name"]: o["spec"]["x"] for o in world.store.list(CONFIG_MAPS)}
    assert found == {"changed": 2, "created": 1}


async def test_has_every_custom_resource_looked_at_again(world: World) -> None:
    await world.kube.apply(obj("Model", "churn"))
    await world.kube.apply(obj("Model", "spam"))
    await world.check()
    assert world.queue.depth == 2


async def test_writes_nothing(world: World) -> None:
    await world.kube.apply(obj("Model", "churn"))
    world.kube.writes.clear()
    await world.check()
    assert world.kube.writes == []
