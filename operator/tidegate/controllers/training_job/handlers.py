"""Where kopf brings TrainingJobs: straight into the inbox, nothing is decided here."""

import kopf

from tidegate.api.names import GROUP, VERSION
from tidegate.clients.reflector import Sink
from tidegate.clients.resources import TRAINING_JOBS


def register(registry: kopf.OperatorRegistry, inbox: Sink) -> None:
    """Watch TrainingJobs; nothing is ever written to them by kopf."""

    @kopf.on.event(GROUP, VERSION, TRAINING_JOBS.plural, registry=registry)
    async def seen(event: kopf.RawEvent, **_: object) -> None:
        obj = dict(event["object"])
        if event["type"] == "DELETED":
            inbox.remove(TRAINING_JOBS, obj)
        else:
            inbox.put(TRAINING_JOBS, obj)
