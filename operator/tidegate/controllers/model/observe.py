"""Read everything about a Model once, before anything is decided."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from tidegate.api import names
from tidegate.api.meta import ObjectKey, duration
from tidegate.api.v1alpha1.drift_policy import DriftPolicy, policy_of
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.model_status import DriftStatus
from tidegate.clients.resources import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    SERVICES,
)
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.model.clocks import in_step
from tidegate.controllers.model.state import (
    Observed,
    Pod,
    Revision,
    public_name,
    routing_name,
    serving,
)
from tidegate.controllers.model.wanted import Images, resolve
from tidegate.errors import TerminalError, TidegateError
from tidegate.traffic.routing import Routing
from tidegate.traffic.signing import mark_key, unseal

Manifest = dict[str, Any]

STARTING = timedelta(seconds=10)  # pods that start normally need no explanation


async def observe(key: ObjectKey, model: Model, cluster: Cluster, now: datetime) -> Observed:
    """The Model with its objects, its pods and what they have reported."""
    clock_step = cluster.looks.begin(key, now)
    model = model.model_copy(update={"status": in_step(model.status, clock_step, now)})
    namespace, uid = model.metadata.namespace, model.metadata.uid
    deployments = cluster.owned(uid, DEPLOYMENTS)
    revisions = _revisions(*deployments, *cluster.owned(uid, CONTROLLER_REVISIONS))
    service = cluster.get(SERVICES, namespace, public_name(model.metadata.name))
    selected = _selected_revision(service) if service else None
    config = cluster.get(CONFIG_MAPS, namespace, routing_name(model.metadata.name))
    routing = _routing(config, cluster) if config else None
    stable = serving(model, routing, selected)
    images = Images(cluster.settings.runtime_image, cluster.settings.sidecar_image)
    wanted = resolve(model, cluster.training_jobs(namespace), revisions, stable, images)
    if wanted.revision is not None:
        revisions[wanted.revision.name] = wanted.revision
    label = names.child_name(model.metadata.name)
    slices = cluster.store.labelled(ENDPOINT_SLICES, namespace, names.LABEL_MODEL, label)
    gathered, sampled = cluster.collector.gathered(key), cluster.sampler.sampled(key)
    policy = policy_of(model, cluster.drift_policies(model.metadata.namespace))
    pods, unready = _pods(slices)
    return Observed(
        model=model,
        wanted=wanted,
        revisions=revisions,
        deployed={d["metadata"]["name"]: int(d["spec"].get("replicas", 1)) for d in deployments},
        failures=await _failures(model, cluster, deployments, pods, now),
        pods=pods,
        unready=unready,
        serving=stable,
        routing=routing,
        confirmed=gathered.confirmed,
        windows=gathered.windows,
        labels=gathered.labels,
        closed_through=gathered.closed_through,
        labels_closed_through=gathered.labels_closed_through,
        told=gathered.told,
        lost=gathered.lost,
        skews=gathered.skews,
        clock_step=clock_step,
        profiles=gathered.profiles,
        values=sampled.values,
        values_closed_through=sampled.closed_through,
        asks_prometheus=cluster.sampler.has_server,
        unanswered=sampled.problem,
        mark_key=mark_key(cluster.signing_key, uid),
        drift=_drift(model, policy),
        drift_window_seconds=duration(policy.spec.window.size).total_seconds() if policy else None,
    )


def _revisions(*objects: Manifest) -> dict[str, Revision]:
    """The revisions by name: each of a revision's objects says all about it."""
    found = {}
    for obj in objects:
        name, annotations = obj["metadata"]["name"], obj["metadata"].get("annotations", {})
        if names.ANNOTATION_REVISION in annotations:
            found[name] = Revision.from_json(name, annotations[names.ANNOTATION_REVISION])
    return found


def _pods(slices: Iterable[Manifest]) -> tuple[tuple[Pod, ...], tuple[Pod, ...]]:
    """The pods behind the revisions' Services: the ready ones, and the others."""
    found: dict[str, Pod] = {}
    ready: set[str] = set()
    for pod, is_ready in _endpoints(slices):
        # While endpoints move from slice to slice, one may stand in two, as it was and as it is.
        if is_ready or pod.uid not in ready:
            found[pod.uid] = pod
        if is_ready:
            ready.add(pod.uid)
    pods = tuple(found.values())
    return tuple(p for p in pods if p.uid in ready), tuple(p for p in pods if p.uid not in ready)


def _endpoints(slices: Iterable[Manifest]) -> Iterator[tuple[Pod, bool]]:
    """Each endpoint as a pod, and whether it is ready; a pod is listed until it is gone."""
    for piece in slices:
        revision = piece["metadata"].get("labels", {}).get(names.LABEL_REVISION)
        if revision is None:
            continue  # the public Service's own slices: the same pods once more
        for endpoint in piece.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            ready, ending = conditions.get("ready", False), conditions.get("terminating", False)
            ref = endpoint.get("targetRef") or {}
            if ref.get("uid") and endpoint.get("addresses"):
                pod = Pod(
                    uid=ref["uid"],
                    ip=endpoint["addresses"][0],
                    revision=revision,
                    ending=bool(ending),
                    name=ref.get("name", ""),
                    node=endpoint.get("nodeName") or "",
                )
                yield pod, bool(ready)


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


def _drift(model: Model, policy: DriftPolicy | None) -> DriftStatus | None:
    """What the policy says of this Model, copied so that it stands where users look."""
    if policy is None:
        return None
    seen = next((m for m in policy.status.models if m.name == model.metadata.name), None)
    if seen is None:
        return DriftStatus(policy=policy.metadata.name, level="Unknown")
    told = " ".join(s.message for s in seen.signals if s.level in ("Warn", "Breach"))
    return DriftStatus(policy=policy.metadata.name, level=seen.level, message=told[:512])


async def _failures(
    model: Model,
    cluster: Cluster,
    deployments: Iterable[Manifest],
    pods: Iterable[Pod],
    now: datetime,
) -> dict[str, str]:
    """Why pods don't start, where a Deployment has been short of them for a while."""
    reasons = {}
    ready = {p.revision for p in pods}
    for deployment in deployments:
        name = deployment["metadata"]["name"]
        created = datetime.fromisoformat(deployment["metadata"]["creationTimestamp"])
        if name in ready or now - created < STARTING:
            continue
        try:
            listed = await cluster.pods(model.metadata.namespace, f"{names.LABEL_REVISION}={name}")
        except TidegateError:  # a rollback must not wait for an explanation
            continue
        why = next((w for pod in listed if (w := _complaint(pod))), None) or _refusal(deployment)
        if why is not None:
            reasons[name] = why
    return reasons


def _refusal(deployment: Manifest) -> str | None:
    """Why there are no pods at all, such as a quota or an admission rule."""
    found = _condition(deployment, "ReplicaFailure", "True")
    return f"No pod can be made: {found}" if found else None


def _condition(obj: Manifest, kind: str, status: str) -> str:
    """What a condition says, if it is as said."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    told = (c.get("message", "") for c in conditions if (c["type"], c["status"]) == (kind, status))
    return next(told, "")


def _complaint(pod: Manifest) -> str | None:
    """What a pod's containers wait for or ended with, in a sentence; or why no node takes it."""
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
        told = _sentence(ended.get("message") or waiting.get("message") or "")
        reason = waiting.get("reason") or ended.get("reason")
        return f"Container {container['name']} of pod {pod['metadata']['name']}: {reason}. {told}"
    homeless = _condition(pod, "PodScheduled", "False")
    return f"No node takes pod {pod['metadata']['name']}: {homeless}" if homeless else None


def _sentence(text: str) -> str:
    """What a program has left: the message in the line of ours, any other program's whole text."""
    try:
        line = json.loads(text)
    except ValueError:
        return text.strip()
    return str(line["message"]) if isinstance(line, dict) and "message" in line else text.strip()
