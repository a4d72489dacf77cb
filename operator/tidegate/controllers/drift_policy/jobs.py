"""What has come of the Jobs that look: read once, before anything is decided."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from tidegate.api.names import ANNOTATION_LOOK, ANNOTATION_REVISION
from tidegate.api.v1alpha1.drift_policy import FeatureValue, Look
from tidegate.clients.resources import CONTROLLER_REVISIONS, JOBS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.drift_policy.looks import by_jobs
from tidegate.controllers.drift_policy.state import Answer, Asked, Observed, Published, Watched

Manifest = dict[str, Any]


async def with_jobs(seen: Observed, cluster: Cluster) -> Observed:
    """The same with the Jobs of the policy's MultivariateDrift signals, if it has any."""
    if not by_jobs(seen.policy.spec):
        return seen
    jobs = cluster.owned(seen.policy.metadata.uid, JOBS)
    return replace(
        seen, watched=tuple([await _with_jobs(seen, w, jobs, cluster) for w in seen.watched])
    )


async def _with_jobs(
    seen: Observed, watched: Watched, jobs: Iterable[Manifest], cluster: Cluster
) -> Watched:
    name = watched.model.metadata.name
    before = next((m.looks for m in seen.policy.status.models if m.name == name), ())
    known = {(k.signal, k.revision, k.through) for k in before}
    asked = []
    for job in jobs:
        question = json.loads(job["metadata"].get("annotations", {}).get(ANNOTATION_LOOK, "{}"))
        blank = Look.model_validate(question) if question.get("model") == name else None
        # What is written down already needs no pod to be listed for it.
        if blank is not None and (blank.signal, blank.revision, blank.through) not in known:
            asked.append(Asked(await _found(job, blank, cluster)))
    return replace(watched, asked=tuple(asked), published=_published(watched, cluster))


def _published(watched: Watched, cluster: Cluster) -> Published | None:
    """Where the stable revision lies; its ControllerRevision says so."""
    if watched.current is None:
        return None
    meta = watched.model.metadata
    obj = cluster.get(CONTROLLER_REVISIONS, meta.namespace, watched.current.revision)
    text = obj["metadata"].get("annotations", {}).get(ANNOTATION_REVISION) if obj else None
    if text is None:
        return None
    data = json.loads(text)
    return Published(str(data["uri"]), str(data["digest"]))


async def _found(job: Manifest, blank: Look, cluster: Cluster) -> Look | None:
    """What the Job has found out, or why it has not; None while it runs."""
    true = {
        c["type"]: c for c in job.get("status", {}).get("conditions") or () if c["status"] == "True"
    }
    if not {"Complete", "Failed"} & set(true):
        return None
    meta = job["metadata"]
    pods = await cluster.pods(meta["namespace"], f"batch.kubernetes.io/job-name={meta['name']}")
    pod = max(pods, key=lambda p: str(p["metadata"]["creationTimestamp"]), default={})
    status = pod.get("status", {})
    listed = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    ended = {
        c["name"]: c["state"]["terminated"] for c in listed if "terminated" in c.get("state", {})
    }
    why = true["Failed"].get("message", "") if "Failed" in true else ""
    return _answered(blank, ended, f"Job {meta['name']} has ended without a result. {why}".strip())


def _answered(blank: Look, ended: dict[str, Manifest], otherwise: str) -> Look:
    for container, how in ended.items():
        said = _answer(how.get("message") or "")
        if how["exitCode"] == 0 and container == "look" and said is not None:
            return _look(blank, said)
        if how["exitCode"] != 0:
            plain = f"Container {container} ended with exit code {how['exitCode']}"
            told = said.message if said and said.message else f"{plain} ({how.get('reason', '')})."
            return blank.model_copy(update={"message": told})
    return blank.model_copy(update={"message": otherwise})


def _answer(text: str) -> Answer | None:
    try:
        return Answer.model_validate_json(text)
    except ValidationError:
        return None


def _look(blank: Look, said: Answer) -> Look:
    told: dict[str, object] = {
        "auc": None if said.auc is None else f"{said.auc:.4f}",
        "samples": said.samples,
        "clustering": f"{said.clustering:.2f}",
        "top": tuple(FeatureValue(feature=n, value=f"{v:.3f}") for n, v in said.top),
        "message": said.message,
    }
    return blank.model_copy(update=told)
