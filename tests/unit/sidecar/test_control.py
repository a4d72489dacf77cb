"""The control port of a real sidecar: which routing documents are taken, who may read."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.unit.sidecar.harness import (
    KEY,
    Reply,
    Sidecar,
    eventually,
    get,
    once,
    post,
    routing,
    sidecar,
)
from tests.unit.sidecar.upstream import upstream

from tidegate.sidecar.settings import ENV_SOCKET
from tidegate.traffic.signing import mint_token, seal

pytestmark = pytest.mark.asyncio(loop_scope="module")
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


@pytest_asyncio.fixture(loop_scope="module")
async def pod(tmp_path: Path) -> AsyncIterator[Sidecar]:
    async with upstream() as model, sidecar(tmp_path, model.port) as running:
        yield running


async def test_only_newer_signed_documents_for_this_model_are_taken(pod: Sidecar) -> None:
    old = seal(routing(4).to_json(), KEY)
    assert (await pod.push(old)).json() == {"generation": 4}
    assert (await pod.route(routing(5))).json() == {"generation": 5}
    again = await pod.route(routing(5))
    assert (again.status, again.json()) == (200, {"generation": 5})
    replayed = await pod.push(old)
    assert (replayed.status, replayed.json()) == (409, {"generation": 5})
    assert (await pod.route(routing(5, 1234, 50))).status == 409, "the same number, another text"
    assert (await pod.route(routing(6), OTHER_KEY)).status == 403
    assert (await pod.route(routing(6, model="other"))).status == 403
    tampered = seal(routing(6).to_json(), KEY).replace("churn-stable", "churn-mallet")
    assert (await pod.push(tampered)).status == 403
    assert (await pod.push("{}")).status == 403
    assert (await pod.route(routing(6))).json() == {"generation": 6}


async def test_the_mounted_document_counts_like_a_pushed_one(pod: Sidecar) -> None:
    def mount(envelope: str) -> None:
        part = pod.folder / "routing.json.part"
        part.write_text(envelope)
        part.rename(pod.folder / "routing.json")

    async def at(generation: int) -> bool:
        return (await pod.scrape()).get("tidegate_routing_generation") == generation

    await pod.monitor_up()
    mount(seal(routing(2).to_json(), KEY))
    await eventually(lambda: at(2))
    await pod.route(routing(5))
    await eventually(lambda: at(5))
    mount(seal(routing(3).to_json(), KEY))
    mount(seal(routing(9).to_json(), OTHER_KEY))
    assert (await pod.route(routing(4))).json() == {"generation": 5}
    mount(seal(routing(6).to_json(), KEY))
    await eventually(lambda: at(6))


async def test_the_last_document_holds_when_its_file_is_gone_or_broken(pod: Sidecar) -> None:
    """An operator that is gone, or a ConfigMap that somebody has deleted, changes nothing."""
    mounted = pod.folder / "routing.json"
    mounted.write_text(seal(routing(7).to_json(), KEY))

    async def taken() -> bool:
        return (await pod.route(routing(7))).status == 200

    await eventually(taken)
    mounted.write_text("{broken")
    assert (await pod.route(routing(6))).json() == {"generation": 7}
    mounted.unlink()
    (pod.folder / "public-key.pem").unlink()
    refused = await pod.route(routing(8))
    assert (refused.status, refused.json()["reason"]) == (403, "NoPublicKey")
    assert (await once(pod.port, post(b"{}"))).status == 200


async def test_numbers_need_the_operators_token(pod: Sidecar) -> None:
    await pod.monitor_up()
    other_pod = mint_token(KEY, "another-pod", time.time())
    old = mint_token(KEY, pod.uid, time.time() - 3600)
    forged = mint_token(OTHER_KEY, pod.uid, time.time())
    for header in ("X: y", *(f"Authorization: Bearer {t}" for t in (other_pod, old, forged, "x"))):
        for path in ("/windows?after=0&labelsAfter=0", "/profile"):
            assert (await once(pod.control, get(path, header))).status == 401
    assert (await pod.numbers("/profile")).status == 404
    assert (await pod.numbers("/windows?after=x")).status == 400
    assert (await pod.numbers("/nothing")).status == 404


async def test_a_monitor_that_dies_over_a_question_is_said_to_be_starting(pod: Sidecar) -> None:
    reply = await _killed_over(pod, pod.numbers("/windows"))
    assert (reply.status, reply.json()) == (503, {"error": "the monitor is starting"})


async def test_feedback_that_the_monitor_dies_over_is_to_be_sent_again(pod: Sidecar) -> None:
    reply = await _killed_over(pod, once(pod.port, post(b"[]", "/feedback")))
    assert (reply.status, reply.header("retry-after")) == (503, "1")


async def _killed_over(pod: Sidecar, question: Coroutine[None, None, Reply]) -> Reply:
    """What is answered when the monitor is killed with the question before it."""
    await pod.monitor_up()
    monitor = pod.monitor_pid()
    assert monitor is not None
    os.kill(monitor, signal.SIGSTOP)

    async def stands_still() -> bool:
        return _state(monitor) == "T"

    await eventually(stands_still)
    before = _connections(monitor)
    asked = asyncio.create_task(question)

    async def asked_it() -> bool:
        return _connections(monitor) > before

    await eventually(asked_it)
    os.kill(monitor, signal.SIGKILL)
    return await asked


def _state(pid: int) -> str:
    """A letter; T for one that is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _connections(monitor: int) -> int:
    """Sockets of the monitor, those included that wait to be accepted."""
    variables = Path(f"/proc/{monitor}/environ").read_text().split("\0")
    path = next(v.partition("=")[2] for v in variables if v.startswith(f"{ENV_SOCKET}="))
    return Path("/proc/net/unix").read_text().count(path)
