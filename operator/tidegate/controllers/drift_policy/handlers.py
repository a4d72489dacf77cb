"""Where kopf brings DriftPolicys: straight into the inbox, nothing is decided here."""

import kopf

from tidegate.api.names import GROUP, VERSION
from tidegate.clients.reflector import Sink
from tidegate.clients.resources import DRIFT_POLICIES


def register(registry: kopf.OperatorRegistry, inbox: Sink) -> None:
    """Watch DriftPolicys; nothing is ever written to them by kopf."""

    @kopf.on.event(GROUP, VERSION, DRIFT_POLICIES.plural, registry=registry)
    async def seen(event: kopf.RawEvent, **_: object) -> None:
        obj = dict(event["object"])
        if event["type"] == "DELETED":
            inbox.remove(DRIFT_POLICIES, obj)
        else:
            inbox.put(DRIFT_POLICIES, obj)
