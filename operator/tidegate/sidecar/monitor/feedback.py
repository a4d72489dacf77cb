"""`POST /feedback`: true labels for answers, counted here or handed to the pod that answered."""

import asyncio
from collections import Counter, defaultdict
from typing import Any, NamedTuple

import aiohttp
import orjson
from aiohttp import web

from tidegate.evidence.ids import InferenceId, parse
from tidegate.sidecar.monitor.answers import Outcome
from tidegate.sidecar.monitor.intake import Intake

HEADER_RELAYED = "x-tidegate-relayed"
RELAY_SECONDS = 3.0
PATIENCE_SECONDS = 1.0  # a monitor that is further behind than this is dropping copies anyway
OBJECTS_LIMIT = 10_000
UNREACHABLE = "unreachable"

_STATUS = {
    Outcome.ACCEPTED: 200,
    Outcome.DUPLICATE: 409,
    Outcome.FORGED: 403,
    Outcome.UNKNOWN: 404,
    Outcome.LATE: 410,
    Outcome.INVALID: 400,
    UNREACHABLE: 503,
}


class Entry(NamedTuple):
    """The labels of one answer, one for each of its rows."""

    id: InferenceId
    labels: list[object]

    def to_json(self) -> dict[str, object]:
        return {"id": str(self.id), "label": self.labels}


class Feedback:
    """Answers one object with its own status, a list with the counts of the outcomes."""

    def __init__(self, intake: Intake, session: aiohttp.ClientSession) -> None:
        self._intake = intake
        self._session = session

    async def handle(self, request: web.Request) -> web.Response:
        routing = self._intake.routing
        if routing is not None and not routing.feedback_enabled:
            return _json(404, {"error": "feedback is not enabled for this model"})
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            return _json(400, {"error": "the body is not JSON"})
        objects = body if isinstance(body, list) else [body]
        if len(objects) > OBJECTS_LIMIT:
            return _json(413, {"error": f"more than {OBJECTS_LIMIT} labels at once"})
        outcomes = await self._sort_out(objects, relayed=HEADER_RELAYED in request.headers)
        if isinstance(body, list):
            return _json(200, {"results": dict(outcomes)})
        outcome = next(iter(outcomes))
        return _json(_STATUS[outcome], {"result": outcome})

    async def _sort_out(self, objects: list[Any], *, relayed: bool) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        elsewhere: defaultdict[str, list[Entry]] = defaultdict(list)
        own: list[Entry] = []
        for item in objects:
            entry = _entry(item)
            if entry is None:
                outcomes[self._refused(Outcome.INVALID)] += 1
            elif entry.id.member == self._intake.member:
                own.append(entry)
            elif relayed or (owner := self._intake.owner(entry.id.member)) is None:
                outcomes[self._refused(Outcome.UNKNOWN)] += 1
            else:
                elsewhere[owner.address].append(entry)
        outcomes += await self._label(own)
        relays = (self._relay(address, entries) for address, entries in elsewhere.items())
        for relayed_outcomes in await asyncio.gather(*relays):
            outcomes += relayed_outcomes
        return outcomes

    async def _label(self, entries: list[Entry]) -> Counter[str]:
        """The outcomes of labels for this pod's own answers."""
        outcomes: Counter[str] = Counter()
        patience = PATIENCE_SECONDS
        loop = asyncio.get_running_loop()
        for entry in entries:
            began = loop.time()
            await self._intake.wait_for(entry.id, patience)
            patience = max(0.0, patience - (loop.time() - began))  # for all of them together
            outcomes[self._intake.label(entry.id, entry.labels).value] += 1
        return outcomes

    def _refused(self, outcome: Outcome) -> str:
        self._intake.note(outcome)
        return outcome.value

    async def _relay(self, address: str, entries: list[Entry]) -> Counter[str]:
        """The outcomes that the owner tells; it counts them, this pod does not."""
        try:
            async with self._session.post(
                f"http://{address}/feedback",
                data=orjson.dumps([entry.to_json() for entry in entries]),
                headers={HEADER_RELAYED: "1"},
                timeout=aiohttp.ClientTimeout(total=RELAY_SECONDS),
            ) as answer:
                results = orjson.loads(await answer.read())["results"]
                return Counter({k: int(n) for k, n in results.items() if k in _STATUS})
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
            return Counter({UNREACHABLE: len(entries)})


def _entry(item: Any) -> Entry | None:
    match item:
        case {"id": str(text), "label": label}:
            id_ = parse(text)
            labels = label if isinstance(label, list) else [label]
            return Entry(id_, labels) if id_ and labels else None
        case _:
            return None


def _json(status: int, body: dict[str, object]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
