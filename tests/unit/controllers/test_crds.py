"""An operator that comes before its CRDs says so, and waits for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from tests.unit.clients.listening import listening

from tidegate.clients.kube import Kube
from tidegate.clients.refusals import not_installed
from tidegate.clients.resources import CUSTOM, DRIFT_POLICIES, MODELS
from tidegate.controllers import crds


class Server:
    """Knows the kinds of `plurals`, after each question some more."""

    def __init__(self, *known: tuple[str, ...]) -> None:
        self._known = list(known)
        self.questions = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.questions += 1
        assert request.path == "/apis/tidegate.dev/v1alpha1"
        plurals = self._known.pop(0) if len(self._known) > 1 else self._known[0]
        if not plurals:
            return web.Response(text="404 page not found\n", status=404)
        kinds = [{"name": name} for plural in plurals for name in (plural, f"{plural}/status")]
        return web.json_response({"kind": "APIResourceList", "resources": kinds})


@asynccontextmanager
async def asking(server: Server) -> AsyncIterator[Kube]:
    application = web.Application()
    application.router.add_get("/{path:.*}", server.answer)
    how = Configuration()
    async with listening(application) as address:
        how.host = f"http://{address}"
        kube = Kube(how)
        yield kube
        await kube.close()


ALL = tuple(resource.plural for resource in CUSTOM)


async def test_missing_crds_are_said_once_until_others_are_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crds, "BACKOFF_SECONDS", (0.0,))
    server = Server((), (), (), ("trainingjobs",), ("trainingjobs",), ALL)
    async with asking(server) as kube:
        await crds.installed(kube)
    assert server.questions == 6
    assert caplog.messages == [
        f"{not_installed(missing)}; trying again in 0 s"
        for missing in (CUSTOM, (MODELS, DRIFT_POLICIES))
    ]


async def test_where_all_are_installed_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(ALL)
    async with asking(server) as kube:
        await crds.installed(kube)
    assert (server.questions, caplog.messages) == (1, [])
