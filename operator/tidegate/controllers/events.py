"""Events: what the operator tells people who look at an object."""

from datetime import datetime
from typing import Literal

from tidegate.api.meta import ObjectKey, timestamp
from tidegate.api.names import API_VERSION, LABEL_MANAGED_BY, MANAGED_BY, child_name, short_hash
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import EVENTS

MAX_MESSAGE = 1024  # the API server refuses more


def event(
    about: ObjectKey,
    uid: str,
    *,
    type_: Literal["Normal", "Warning"],
    reason: str,
    message: str,
    now: datetime,
    reporter: str,
) -> Manifest:
    """The Event; its name follows from what it says, so that saying it twice makes one."""
    said = short_hash(f"{uid} {type_} {reason} {message}", 16)
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "namespace": about.namespace,
            "name": child_name(about.name, said, limit=253),
            "labels": {LABEL_MANAGED_BY: MANAGED_BY},
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": uid,
        },
        "type": type_,
        "reason": reason,
        "message": message[:MAX_MESSAGE],
        "source": {"component": MANAGED_BY},
        "reportingComponent": MANAGED_BY,
        "reportingInstance": reporter,
        "firstTimestamp": timestamp(now),
        "lastTimestamp": timestamp(now),
        "count": 1,
    }
