"""Read everything about a TrainingJob once, before anything is decided."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tidegate.api.names import LABEL_TRAINING_JOB
from tidegate.api.v1alpha1.training_job import TrainingJob
from tidegate.clients.resources import JOBS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.training_job.state import (
    Child,
    Container,
    Ended,
    GivenUp,
    Observed,
    Pod,
    Running,
    Stage,
    Waiting,
    job_name,
    summary_of,
)

Manifest = dict[str, Any]


async def observe(job: TrainingJob, cluster: Cluster) -> Observed:
    """The TrainingJob with its Job and, until it is finished, its pods."""
    owned = cluster.owned(job.metadata.uid, JOBS)
    if not owned:
        return Observed(job)
    child = child_of(owned[0])
    if job.status.finished:
        return Observed(job, child)
    # Pods have no watch: few of those in a cluster are ours, and only a running job has any.
    labels = f"{LABEL_TRAINING_JOB}={job_name(job)}"
    found = await cluster.pods(job.metadata.namespace, labels)
    mine = (p for p in found if _owner(p) == owned[0]["metadata"]["uid"])
    return Observed(job, child, tuple(map(pod_of, sorted(mine, key=_age))))


def _age(pod: Manifest) -> tuple[str, str]:
    return pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


def _owner(pod: Manifest) -> str | None:
    owners = pod["metadata"].get("ownerReferences", ())
    return next((o["uid"] for o in owners if o.get("controller")), None)


def child_of(job: Manifest) -> Child:
    """What matters of a Job."""
    status = job.get("status") or {}
    true = {c["type"]: c for c in status.get("conditions") or () if c["status"] == "True"}
    # FailureTarget comes first, while the pods are being ended; it is never taken back.
    complete, failed = true.get("Complete"), true.get("Failed") or true.get("FailureTarget")
    return Child(
        name=job["metadata"]["name"],
        started=_time(status.get("startTime") or job["metadata"]["creationTimestamp"]),
        succeeded_at=_time(complete["lastTransitionTime"]) if complete else None,
        given_up=_given_up(failed) if failed else None,
        failures=int(status.get("failed") or 0),
    )


def _given_up(condition: Manifest) -> GivenUp:
    return GivenUp(
        reason=condition.get("reason", ""),
        message=condition.get("message", ""),
        at=_time(condition["lastTransitionTime"]),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def pod_of(pod: Manifest) -> Pod:
    """What matters of a pod."""
    status = pod.get("status") or {}
    listed = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    return Pod(
        name=pod["metadata"]["name"],
        containers={Stage(c["name"]): _container(c) for c in listed if c["name"] in list(Stage)},
        image=_image(listed),
        unschedulable=_condition(status, "PodScheduled", status="False", reason="Unschedulable"),
        evicted=_eviction(status),
    )


def _image(containers: Iterable[Manifest]) -> str:
    """All stages run the same image; it has an id where it was pulled."""
    ids = [c["imageID"] for c in containers if c.get("imageID")]
    return ids[-1] if ids else ""


def _eviction(status: Manifest) -> str:
    if status.get("reason"):  # the kubelet's own: Evicted, NodeShutdown, …
        return f"{status['reason']}: {status.get('message', '')}".strip(" :")
    return _condition(status, "DisruptionTarget", status="True")


def _condition(pod: Manifest, kind: str, *, status: str, reason: str | None = None) -> str:
    """The words of a pod's condition, if it is as said."""
    for c in pod.get("conditions") or ():
        if c["type"] == kind and c["status"] == status and reason in (None, c.get("reason")):
            return str(c.get("message") or c.get("reason") or kind)
    return ""


def _container(status: Manifest) -> Container:
    state = status.get("state") or {}
    if ended := state.get("terminated"):
        summary = summary_of(ended.get("message") or "")
        return Ended(int(ended["exitCode"]), ended.get("reason", ""), summary)
    if "running" in state:
        return Running()
    waiting = state.get("waiting") or {}
    return Waiting(waiting.get("reason", ""), waiting.get("message", ""))
