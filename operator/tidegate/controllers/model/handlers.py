"""Where kopf brings Models: straight into the inbox, nothing is decided here."""

import kopf

from tidegate.api.names import GROUP, VERSION
from tidegate.clients.reflector import Sink
from tidegate.clients.resources import MODELS


def register(registry: kopf.OperatorRegistry, inbox: Sink) -> None:
    """Watch Models; nothing is ever written to them by kopf."""

    @kopf.on.event(GROUP, VERSION, MODELS.plural, registry=registry)
    async def seen(event: kopf.RawEvent, **_: object) -> None:
        obj = dict(event["object"])
        if event["type"] == "DELETED":
            inbox.remove(MODELS, obj)
        else:
            inbox.put(MODELS, obj)
