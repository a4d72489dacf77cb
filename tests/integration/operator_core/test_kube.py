import asyncio

import pytest
from tests.integration.apiserver import Manifest
from tests.integration.operator_core.objects import OURS, config_map, deployment, model
from tests.patience import DEADLINE_SECONDS

from tidegate.clients import kube as kube_module
from tidegate.clients.kube import GoneError, Kube
from tidegate.clients.resources import CONFIG_MAPS, DEPLOYMENTS, MODELS, PODS
from tidegate.errors import TerminalError, TransientError

pytestmark = pytest.mark.apiserver


async def test_what_is_not_there_is_none(kube: Kube, namespace: str) -> None:
    assert await kube.get(CONFIG_MAPS, namespace, "nothing") is None
    await kube.delete(CONFIG_MAPS, namespace, "nothing")


async def test_applying_the_whole_intent_gives_up_what_it_lacks(kube: Kube, namespace: str) -> None:
    await kube.apply(config_map(namespace, "a", x="1", y="2"))
    applied = await kube.apply(config_map(namespace, "a", x="1"))
    assert applied["data"] == {"x": "1"}
    found = await kube.get(CONFIG_MAPS, namespace, "a")
    assert found is not None
    assert found["data"] == {"x": "1"}


async def test_applying_the_same_again_makes_no_new_version(kube: Kube, namespace: str) -> None:
    first = await kube.apply(deployment(namespace, "web"))
    second = await kube.apply(deployment(namespace, "web"))
    assert second["metadata"]["generation"] == first["metadata"]["generation"]


async def test_creates_once(kube: Kube, namespace: str) -> None:
    assert await kube.create(config_map(namespace, "a", x="1")) is not None
    assert await kube.create(config_map(namespace, "a", x="2")) is None


async def test_replaces_only_the_version_that_it_was_given(kube: Kube, namespace: str) -> None:
    old = await kube.create(config_map(namespace, "a", x="1"))
    assert old is not None
    assert await kube.replace({**old, "data": {"x": "2"}}) is not None
    assert await kube.replace({**old, "data": {"x": "3"}}) is None


async def test_deletes_only_the_object_that_was_meant(kube: Kube, namespace: str) -> None:
    made = await kube.apply(config_map(namespace, "a"))
    with pytest.raises(TransientError):
        await kube.delete(CONFIG_MAPS, namespace, "a", uid="00000000-0000-0000-0000-000000000000")
    assert await kube.get(CONFIG_MAPS, namespace, "a") is not None
    await kube.delete(CONFIG_MAPS, namespace, "a", uid=made["metadata"]["uid"])
    assert await kube.get(CONFIG_MAPS, namespace, "a") is None


async def test_lists_in_chunks_with_types(
    kube: Kube, namespace: str, monkeypatch: pytest.MonkeyPatch, answers: list[tuple[str, str, int]]
) -> None:
    monkeypatch.setattr(kube_module, "CHUNK", 2)
    for number in range(5):
        await kube.create(config_map(namespace, f"a{number}", x="1"))
    found, version = await kube.list(CONFIG_MAPS, namespace, labels=OURS)
    assert [o["metadata"]["name"] for o in found] == [f"a{n}" for n in range(5)]
    assert {(o["apiVersion"], o["kind"]) for o in found} == {("v1", "ConfigMap")}
    assert int(version) > 0
    assert answers.count(("list", "configmaps", 200)) == 3


async def test_lists_metadata_only(kube: Kube, namespace: str) -> None:
    await kube.create(config_map(namespace, "a", x="1"))
    (found,), _ = await kube.list(CONFIG_MAPS, namespace, labels=OURS, metadata_only=True)
    assert found["metadata"]["name"] == "a"
    assert "data" not in found


async def test_watches_from_a_version_on(kube: Kube, namespace: str) -> None:
    _, version = await kube.list(CONFIG_MAPS, namespace, labels=OURS)
    await kube.apply(config_map(namespace, "a", x="1"))
    await kube.apply(config_map(namespace, "a", x="2"))
    await kube.delete(CONFIG_MAPS, namespace, "a")
    seen: list[tuple[str, Manifest]] = []
    async for event in kube.watch(CONFIG_MAPS, namespace, labels=OURS, resource_version=version):
        seen.append(event)
        if event[0] == "DELETED":
            break
    assert [(kind, obj["data"]["x"]) for kind, obj in seen] == [
        ("ADDED", "1"),
        ("MODIFIED", "2"),
        ("DELETED", "2"),
    ]


@pytest.mark.usefixtures("crds")
async def test_a_version_that_is_too_old_is_gone(kube: Kube, namespace: str) -> None:
    # The server has watched Models only since their CRD came: of version 1 it can't know, not even
    # on a cluster that has just begun.
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(GoneError):
            await watch_once_served(kube, namespace)


async def watch_once_served(kube: Kube, namespace: str) -> None:
    """Watch Models from version 1, as soon as the server has made itself ready for the kind."""
    while True:
        try:
            async for _ in kube.watch(MODELS, namespace, labels="", resource_version="1"):
                pass
        except TransientError:
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("crds")
async def test_the_status_is_a_thing_of_its_own(kube: Kube, namespace: str) -> None:
    await kube.apply(model(namespace))
    await kube.apply_status(MODELS, namespace, "churn", {"observedGeneration": 3})
    found = await kube.get(MODELS, namespace, "churn")
    assert found is not None
    assert found["status"] == {"observedGeneration": 3}
    assert found["metadata"]["generation"] == 1


@pytest.mark.usefixtures("crds")
async def test_what_the_schema_refuses_is_terminal(kube: Kube, namespace: str) -> None:
    broken = model(namespace)
    del broken["spec"]["artifact"]["digest"]
    with pytest.raises(TerminalError, match="digest") as caught:
        await kube.apply(broken)
    assert caught.value.reason == "Invalid"


async def test_a_missing_namespace_is_worth_another_try(kube: Kube) -> None:
    with pytest.raises(TransientError):
        await kube.apply(config_map("no-such-namespace", "a"))


async def test_no_connection_is_worth_another_try(kube: Kube) -> None:
    kube._api.configuration.host = "https://127.0.0.1:1"
    with pytest.raises(TransientError):
        await kube.list(PODS, "default")
    with pytest.raises(TransientError):
        async for _ in kube.watch(DEPLOYMENTS, None, labels="", resource_version="0"):
            pass
