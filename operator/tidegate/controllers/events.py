"""Events: what the operator tells people who look at an object."""

from datetime import datetime
from typing import Literal

from tidegate.api.meta import timestamp
from tidegate.api.names import API_VERSION, LABEL_MANAGED_BY, MANAGED_BY, child_name, short_hash
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.training_job import TrainingJob
from tidegate.clients.kube import Manifest
from tidegate.clients.resources import EVENTS

MAX_MESSAGE = 1024  # the API server refuses more


def event(
    about: Model | TrainingJob | DriftPolicy,
    *,
    type_: Literal["Normal", "Warning"],
    reason: str,
    message: str,
    now: datetime,
    reporter: str,
) -> Manifest:
    """The Event; its name follows from what it says, so that saying it twice makes one."""
    meta = about.metadata
    said = short_hash(f"{meta.uid} {type_} {reason} {message}", 16)
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "namespace": meta.namespace,
            "name": child_name(meta.name, said, limit=253),
            "labels": {LABEL_MANAGED_BY: MANAGED_BY},
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": type(about).__name__,
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
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
