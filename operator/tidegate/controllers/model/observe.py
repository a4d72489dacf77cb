"""Read everything about a Model once, before anything is decided."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from tidegate.api import names
from tidegate.api.meta import ObjectKey, duration
from tidegate.api.names import Reason
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import DriftStatus, Model
from tidegate.api.v1alpha1.training_job import Format, TrainingJob
from tidegate.clients.resources import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    SERVICES,
)
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.model.state import (
    Observed,
    Pod,
    Revision,
    Wanted,
    public_name,
    revision_name,
    routing_name,
)
from tidegate.errors import TerminalError
from tidegate.traffic.routing import Routing
from tidegate.traffic.signing import unseal

Manifest = dict[str, Any]


async def observe(key: ObjectKey, model: Model, cluster: Cluster) -> Observed:
    """The Model with its objects, its pods and what they have reported."""
    namespace, uid = model.metadata.namespace, model.metadata.uid
    revisions = _revisions(cluster.owned(uid, CONTROLLER_REVISIONS))
    wanted = _wanted(model, cluster, revisions)
    if wanted.revision is not None:
        revisions.setdefault(wanted.revision.name, wanted.revision)
    label = names.child_name(model.metadata.name)
    slices = cluster.store.labelled(ENDPOINT_SLICES, namespace, names.LABEL_MODEL, label)
    deployments = cluster.owned(uid, DEPLOYMENTS)
    service = cluster.get(SERVICES, namespace, public_name(model.metadata.name))
    config = cluster.get(CONFIG_MAPS, namespace, routing_name(model.metadata.name))
    gathered = cluster.collector.gathered(key)
    policy = _policy(model, cluster)
    pods = tuple(_pods(slices))
    return Observed(
        model=model,
        wanted=wanted,
        revisions=revisions,
        deployed={d["metadata"]["name"]: int(d["spec"].get("replicas", 1)) for d in deployments},
        failures=await _failures(model, cluster, deployments, pods),
        pods=pods,
        selected=_selected_revision(service) if service else None,
        routing=_routing(config, cluster) if config else None,
        confirmed=gathered.confirmed,
        windows=gathered.windows,
        labels=gathered.labels,
        closed_through=gathered.closed_through,
        labels_closed_through=gathered.labels_closed_through,
        profiles=gathered.profiles,
        drift=_drift(model, policy),
        drift_window_seconds=duration(policy.spec.window.size).total_seconds() if policy else None,
    )


def _revisions(objects: Iterable[Manifest]) -> dict[str, Revision]:
    found = {}
    for obj in objects:
        name = obj["metadata"]["name"]
        found[name] = Revision.from_data(name, int(obj.get("revision", 0)), obj["data"])
    return found


def _wanted(model: Model, cluster: Cluster, known: Mapping[str, Revision]) -> Wanted:
    """The revision that the spec asks for."""
    artifact = model.spec.artifact
    if artifact.uri is not None and artifact.digest is not None:
        revision = _made(model, cluster, known, artifact.uri, artifact.digest, artifact.format)
        return Wanted(revision, Reason.RESOLVED, f"The spec pins {artifact.digest}.")
    jobs = cluster.training_jobs(model.metadata.namespace)
    job = newest_succeeded(jobs, model.metadata.name)
    if job is None or job.status.output is None:
        message = (
            "No TrainingJob whose spec.modelRef names this Model has succeeded yet: create one, "
            "or set spec.artifact.uri."
        )
        return Wanted(None, Reason.AWAITING_TRAINING, message)
    output = job.status.output
    if output.format == "Joblib" and not artifact.allow_unsafe:
        message = (
            f"TrainingJob {job.metadata.name} published Joblib, which runs code when it is loaded: "
            "set spec.artifact.allowUnsafe to accept that, or train with spec.output.format Skops."
        )
        return Wanted(None, Reason.UNSAFE_FORMAT, message, accepted=False)
    revision = _made(
        model, cluster, known, output.uri, output.digest, output.format, job.metadata.name
    )
    message = f"TrainingJob {job.metadata.name} published {output.digest}."
    return Wanted(revision, Reason.RESOLVED, message)


def newest_succeeded(jobs: Iterable[TrainingJob], model: str) -> TrainingJob | None:
    """The newest succeeded TrainingJob for a Model: by completion, then by name."""
    done = [
        j
        for j in jobs
        if j.spec.model_ref is not None and j.spec.model_ref.name == model and j.status.succeeded
    ]
    return max(done, key=lambda j: (j.status.completion_time or "", j.metadata.name), default=None)


def _made(
    model: Model,
    cluster: Cluster,
    known: Mapping[str, Revision],
    uri: str,
    digest: str,
    format_: Format,
    training_job: str | None = None,
) -> Revision:
    """The known revision of that name, or a new one with today's images."""
    name = revision_name(model.metadata.name, digest, format_)
    return known.get(name) or Revision(
        name=name,
        uri=uri,
        digest=digest,
        format=format_,
        runtime_image=cluster.settings.runtime_image,
        sidecar_image=cluster.settings.sidecar_image,
        training_job=training_job,
        number=1 + max((r.number for r in known.values()), default=0),
    )


def _pods(slices: Iterable[Manifest]) -> Iterator[Pod]:
    """The ready pods behind the revisions' Services."""
    for piece in slices:
        revision = piece["metadata"].get("labels", {}).get(names.LABEL_REVISION)
        if revision is None:
            continue  # the public Service's own slices: the same pods once more
        for endpoint in piece.get("endpoints") or ():
            ready = (endpoint.get("conditions") or {}).get("ready", False)
            uid = (endpoint.get("targetRef") or {}).get("uid")
            if ready and uid and endpoint.get("addresses"):
                yield Pod(uid, endpoint["addresses"][0], revision)


def _selected_revision(service: Manifest) -> str | None:
    """The revision that a Model's Service selects."""
    selector = (service.get("spec") or {}).get("selector") or {}
    revision = selector.get(names.LABEL_REVISION)
    return revision if isinstance(revision, str) else None


def _envelope(config_map: Manifest) -> str | None:
    """The sealed routing document of a ConfigMap, if it holds one."""
    envelope = (config_map.get("data") or {}).get(names.ROUTING_FILE)
    return envelope if isinstance(envelope, str) else None


def _routing(config: Manifest, cluster: Cluster) -> Routing | None:
    """The routing document of the ConfigMap; None if it is missing, damaged or not ours."""
    envelope = _envelope(config)
    if envelope is None:
        return None
    try:
        return Routing.from_json(unseal(envelope, cluster.signing_key.public_key()))
    except TerminalError:
        return None


def _policy(model: Model, cluster: Cluster) -> DriftPolicy | None:
    ref = model.spec.monitoring.drift_policy_ref
    policies = cluster.drift_policies(model.metadata.namespace)
    watching = (p for p in policies if p.watches(ref.name if ref else None, model.metadata.labels))
    return min(watching, key=lambda p: p.metadata.name, default=None)


def _drift(model: Model, policy: DriftPolicy | None) -> DriftStatus | None:
    """What the policy says of this Model, copied so that it stands where users look."""
    if policy is None:
        return None
    seen = next((m for m in policy.status.models if m.name == model.metadata.name), None)
    if seen is None:
        return DriftStatus(policy=policy.metadata.name, level="Unknown")
    told = "; ".join(s.message for s in seen.signals if s.level in ("Warn", "Breach"))
    return DriftStatus(policy=policy.metadata.name, level=seen.level, message=told[:512])


async def _failures(
    model: Model, cluster: Cluster, deployments: Iterable[Manifest], pods: Iterable[Pod]
) -> dict[str, str]:
    """Why pods don't start, where a Deployment has been short of them for a while."""
    reasons = {}
    ready = {p.revision for p in pods}
    for deployment in deployments:
        name = deployment["metadata"]["name"]
        if name in ready or not _stuck(deployment):
            continue
        listed = await cluster.pods(model.metadata.namespace, f"{names.LABEL_REVISION}={name}")
        why = next((w for pod in listed if (w := _complaint(pod))), None)
        if why is not None:
            reasons[name] = why
    return reasons


STUCK_AFTER_SECONDS = 10  # a pod that starts normally needs no explanation


def _stuck(deployment: Manifest) -> bool:
    created = datetime.fromisoformat(deployment["metadata"]["creationTimestamp"])
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    updates = [datetime.fromisoformat(c["lastUpdateTime"]) for c in conditions]
    newest = max(updates, default=created)
    return (newest - created).total_seconds() >= STUCK_AFTER_SECONDS or any(
        c["type"] == "Progressing" and c["status"] == "False" for c in conditions
    )


def _complaint(pod: Manifest) -> str | None:
    """What a pod's containers wait for or ended with, in a sentence."""
    status = pod.get("status") or {}
    for container in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        state, last = container.get("state") or {}, container.get("lastState") or {}
        waiting, ended = state.get("waiting") or {}, last.get("terminated") or {}
        ended = state.get("terminated") or ended
        if waiting.get("reason") in (None, "PodInitializing", "ContainerCreating") and not (
            ended and ended.get("exitCode")
        ):
            continue
        told = (ended.get("message") or waiting.get("message") or "").strip()
        reason = waiting.get("reason") or ended.get("reason")
        return f"Container {container['name']} of pod {pod['metadata']['name']}: {reason}. {told}"
    return None
