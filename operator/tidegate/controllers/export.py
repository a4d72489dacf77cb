"""The evidence for people: `GET /evidence/<namespace>/<model>`, on the pod's own loopback.

No other pod can reach it. Who may forward a port to the operator's pod may read it, and nothing in
it is a payload: counts, profiles, labels as right or wrong.
"""

import asyncio
import json
from collections.abc import Callable

from aiohttp import web

from tidegate.api.meta import ObjectKey
from tidegate.api.names import MODEL
from tidegate.controllers.collector import Collector
from tidegate.controllers.sampler import Sampler
from tidegate.evidence.recording import Recording


class Export:
    """Answers with what has been gathered; only the replica that leads has any."""

    def __init__(self, collector: Collector, sampler: Sampler, leads: Callable[[], bool]) -> None:
        self._collector = collector
        self._sampler = sampler
        self._leads = leads
        application = web.Application()
        application.router.add_get("/evidence/{namespace}/{model}", self._evidence)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def start(self, port: int) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, host="127.0.0.1", port=port).start()

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _evidence(self, request: web.Request) -> web.Response:
        if not self._leads():
            raise web.HTTPServiceUnavailable(text="this replica does not lead")
        try:
            after = int(request.query.get("after", "0"))
            labels_after = int(request.query.get("labelsAfter", "0"))
        except ValueError as error:
            raise web.HTTPBadRequest(text="after and labelsAfter are slot numbers") from error
        namespace, model = request.match_info["namespace"], request.match_info["model"]
        key = ObjectKey(MODEL, namespace, model)
        gathered, sampled = self._collector.gathered(key), self._sampler.sampled(key)
        closed = gathered.closed_through or 0
        part = Recording(
            namespace=namespace,
            model=model,
            closed_through=gathered.closed_through,
            labels_closed_through=gathered.labels_closed_through,
            windows={k: c for k, c in gathered.windows.items() if after < k.slot <= closed},
            labels={k: n for k, n in gathered.labels.items() if k.slot > labels_after},
            values=sampled.values,
            values_closed_through=sampled.closed_through,
            profiles=gathered.profiles,
        )
        # In a thread: an hour of a wide table takes a moment to write.
        answer = web.Response(
            body=await asyncio.to_thread(_written, part), content_type="application/json"
        )
        answer.enable_compression()
        return answer


def _written(part: Recording) -> bytes:
    return json.dumps(part.to_json(), separators=(",", ":")).encode()
