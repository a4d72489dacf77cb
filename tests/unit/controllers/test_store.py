import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.patience import DEADLINE_SECONDS

from tidegate.api.names import LABEL_MODEL
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import MODELS, SERVICES
from tidegate.controllers.store import Store


def service(
    name: str = "churn",
    *,
    version: int = 1,
    uid: str = "u1",
    owner: str | None = None,
    model: str | None = None,
    namespace: str = "growth",
) -> Manifest:
    meta: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "resourceVersion": str(version),
        "managedFields": [{"manager": "tidegate"}],
    }
    if owner is not None:
        meta["ownerReferences"] = [
            {"uid": "bystander", "kind": "Model", "name": "x"},
            {"uid": owner, "kind": "Model", "name": "churn", "controller": True},
        ]
    if model is not None:
        meta["labels"] = {LABEL_MODEL: model}
    return {"metadata": meta, "spec": {"version": version}}


def names(found: tuple[Manifest, ...]) -> list[str]:
    return [o["metadata"]["name"] for o in found]


def test_keeps_objects_with_their_type_and_without_managed_fields() -> None:
    store = Store()
    given_ = service()
    store.put(SERVICES, given_)
    found = store.get(SERVICES, "growth", "churn")
    assert found is not None
    assert found["kind"] == "Service"
    assert "managedFields" not in found["metadata"]
    assert "managedFields" in given_["metadata"]


def test_an_older_or_equal_state_changes_nothing() -> None:
    store = Store()
    assert len(store.put(SERVICES, service(version=5))) == 1
    assert store.put(SERVICES, service(version=5)) == ()
    assert store.put(SERVICES, service(version=4)) == ()
    found = store.get(SERVICES, "growth", "churn")
    assert found is not None
    assert found["spec"] == {"version": 5}


def test_removing_a_predecessor_leaves_the_object_that_took_its_name() -> None:
    store = Store()
    store.put(SERVICES, service(uid="new", version=9))
    assert store.remove(SERVICES, service(uid="old", version=8)) == ()
    assert store.get(SERVICES, "growth", "churn") is not None


def test_finds_by_owner_and_label_and_forgets_what_changed() -> None:
    store = Store()
    store.put(SERVICES, service("b", owner="m1", model="churn"))
    store.put(SERVICES, service("a", uid="u2", owner="m1", model="churn"))
    assert names(store.owned_by(SERVICES, "m1")) == ["a", "b"]
    assert names(store.labelled(SERVICES, "growth", LABEL_MODEL, "churn")) == ["a", "b"]
    store.put(SERVICES, service("b", version=2, owner="m2", model="other"))
    assert names(store.owned_by(SERVICES, "m1")) == ["a"]
    assert names(store.owned_by(SERVICES, "m2")) == ["b"]
    assert names(store.labelled(SERVICES, "growth", LABEL_MODEL, "other")) == ["b"]
    assert store.owned_by(SERVICES, "bystander") == ()


def test_refuses_a_label_without_an_index() -> None:
    with pytest.raises(ValueError, match="no index"):
        Store().labelled(SERVICES, "growth", "tier", "prod")


def test_a_full_list_removes_what_vanished_unseen() -> None:
    store = Store()
    store.put(SERVICES, service("gone", version=3))
    store.put(SERVICES, service("same", uid="u2", version=3))
    store.put(SERVICES, service("elsewhere", uid="u3", version=3, namespace="other"))
    changed = store.replace(
        SERVICES,
        "growth",
        [service("same", uid="u2", version=3), service("new", uid="u4", version=7)],
        "8",
    )
    assert names(changed) == ["gone", "new"]
    assert names(store.list(SERVICES)) == ["new", "same", "elsewhere"]


def test_a_full_list_keeps_what_appeared_after_it() -> None:
    store = Store()
    store.put(SERVICES, service("late", version=12))
    assert store.replace(SERVICES, None, [], "10") == ()
    assert names(store.list(SERVICES)) == ["late"]


async def test_is_synced_when_everything_expected_was_listed() -> None:
    store = Store([(SERVICES, None), (MODELS, "growth")])
    store.replace(SERVICES, None, [], "1")
    assert not store.synced
    store.replace(MODELS, "growth", [], "1")
    async with asyncio.timeout(DEADLINE_SECONDS):
        await store.wait_synced()
    assert store.synced


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "remove"]),
            st.sampled_from("abc"),
            st.sampled_from(["m1", "m2", None]),
            st.sampled_from(["churn", "spam", None]),
        ),
        max_size=30,
    )
)
def test_the_indexes_agree_with_the_objects(
    steps: list[tuple[str, str, str | None, str | None]],
) -> None:
    store = Store()
    for version, (step, name, owner, model) in enumerate(steps, start=1):
        obj = service(name, uid=name, version=version, owner=owner, model=model)
        (store.put if step == "put" else store.remove)(SERVICES, obj)
    everything = store.list(SERVICES)
    for owner in ("m1", "m2"):
        expected = [o for o in everything if (_owner := o["metadata"].get("ownerReferences"))
                    and _owner[1]["uid"] == owner]  # fmt: skip
        assert list(store.owned_by(SERVICES, owner)) == expected
    for model in ("churn", "spam"):
        labelled = [o for o in everything if o["metadata"].get("labels") == {LABEL_MODEL: model}]
        assert list(store.labelled(SERVICES, "growth", LABEL_MODEL, model)) == labelled
    assert all(store._index.values()), "an index keeps no empty entries"
