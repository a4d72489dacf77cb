"""The objects that a plan asks for: complete manifests, made from values alone."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.api import names
from tidegate.api.meta import Resources
from tidegate.api.v1alpha1.model import Capture, Model, Sidecar
from tidegate.controllers.manifests import RESTRICTED, RESTRICTED_POD, Manifest, child
from tidegate.controllers.model.plan import Plan
from tidegate.controllers.model.state import Revision, public_name, routing_name

SIDECAR_RESOURCES: Manifest = {
    "requests": {"cpu": "50m", "memory": "96Mi"},
    "limits": {"memory": "256Mi"},
}
MODEL_RESOURCES: Manifest = {"requests": {"cpu": "100m", "memory": "256Mi"}}
RETIRE = ["python", "-m", "tidegate.sidecar.retire"]
LOG_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "TIDEGATE_LOG_SALT",
)
PROBE_SECONDS = 5  # to answer a probe in
GRACE_SECONDS = 30  # for the requests that are on their way when a pod is told to stop


@dataclass(frozen=True, slots=True)
class Sealed:
    """The routing document as the ConfigMap holds it."""

    envelope: str
    public_key: str


def desired(model: Model, plan: Plan, sealed: Sealed | None, pull_policy: str) -> list[Manifest]:
    """Everything that shall exist for the Model, in the order in which it is applied."""
    objects = [_controller_revision(model, r) for r in plan.live]
    if plan.stable is None or plan.routing is None or sealed is None:
        return objects
    objects.append(_routing_config(model, sealed))
    for revision in plan.live:
        objects.append(_revision_service(model, revision))
        objects.append(_deployment(model, revision, pull_policy))
    objects.append(_public_service(model, plan.stable))
    objects.append(_disruption_budget(model))
    return objects


def _labels(model: Model, revision: Revision | None = None) -> dict[str, str]:
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_MODEL: names.child_name(model.metadata.name),
    }
    if revision is not None:
        labels[names.LABEL_REVISION] = revision.name
    return labels


def _object(
    model: Model, api_version: str, kind: str, name: str, labels: dict[str, str]
) -> Manifest:
    return child(
        names.MODEL, model.metadata, api_version=api_version, kind=kind, name=name, labels=labels
    )


def _controller_revision(model: Model, revision: Revision) -> Manifest:
    manifest = _object(
        model, "apps/v1", "ControllerRevision", revision.name, _labels(model, revision)
    )
    manifest["metadata"]["annotations"] = {names.ANNOTATION_REVISION: revision.to_json()}
    return {**manifest, "data": revision.fixed(), "revision": revision.number}


def _routing_config(model: Model, sealed: Sealed) -> Manifest:
    manifest = _object(model, "v1", "ConfigMap", routing_name(model.metadata.name), _labels(model))
    data = {names.ROUTING_FILE: sealed.envelope, names.PUBLIC_KEY_FILE: sealed.public_key}
    return {**manifest, "data": data}


def _service_spec(model: Model, selector: dict[str, str]) -> Manifest:
    port = {"name": "http", "port": 80, "targetPort": "traffic", "protocol": "TCP"}
    if _speaks_grpc(model):
        port |= {"name": "grpc", "appProtocol": "kubernetes.io/h2c"}
    return {"type": "ClusterIP", "selector": selector, "ports": [port]}


def _speaks_grpc(model: Model) -> bool:
    return model.spec.serving.protocol == "GRPC"


def _public_service(model: Model, stable: Revision) -> Manifest:
    manifest = _object(model, "v1", "Service", public_name(model.metadata.name), _labels(model))
    return {**manifest, "spec": _service_spec(model, _labels(model, stable))}


def _revision_service(model: Model, revision: Revision) -> Manifest:
    labels = _labels(model, revision)
    manifest = _object(model, "v1", "Service", revision.name, labels)
    return {**manifest, "spec": _service_spec(model, labels)}


def _disruption_budget(model: Model) -> Manifest:
    manifest = _object(
        model, "policy/v1", "PodDisruptionBudget", model.metadata.name, _labels(model)
    )
    selector = {"matchLabels": _labels(model)}
    return {**manifest, "spec": {"maxUnavailable": 1, "selector": selector}}


def _deployment(model: Model, revision: Revision, pull_policy: str) -> Manifest:
    labels = _labels(model, revision)
    manifest = _object(model, "apps/v1", "Deployment", revision.name, labels)
    manifest["metadata"]["annotations"] = {names.ANNOTATION_REVISION: revision.to_json()}
    return {
        **manifest,
        "spec": {
            "replicas": model.spec.serving.scaling.min_replicas,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": labels},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod(model, revision, pull_policy),
            },
        },
    }


def _pod(model: Model, revision: Revision, pull_policy: str) -> Manifest:
    containers = [_fetch(model, revision), _sidecar(model, revision)]
    serve = _serve(model, revision)
    for container in (*containers, serve):
        container["imagePullPolicy"] = pull_policy
        container["securityContext"] = RESTRICTED
    return {
        **RESTRICTED_POD,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "initContainers": containers,
        "containers": [serve],
        "volumes": [
            {"name": "model", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "routing", "configMap": {"name": routing_name(model.metadata.name)}},
        ],
    }


def _mounts(*, model_read_only: bool) -> Iterator[Manifest]:
    yield {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108  # a volume of the pod's own
    model: Manifest = {"name": "model", "mountPath": names.MODEL_DIR}
    yield {**model, "readOnly": True} if model_read_only else model  # the server drops a False


def _fetch(model: Model, revision: Revision) -> Manifest:
    credentials = model.spec.artifact.credentials_ref
    container: Manifest = {
        "name": "fetch",
        "image": revision.runtime_image,
        "args": [
            "fetch-model",
            f"--uri={revision.uri}",
            f"--digest={revision.digest}",
            f"--out={names.MODEL_DIR}",
        ],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
        "volumeMounts": list(_mounts(model_read_only=False)),
    }
    if credentials is not None:
        container["envFrom"] = [{"secretRef": {"name": credentials.name}}]
    return container


def _capture(sidecar: Sidecar) -> dict[str, str]:
    """What differs from the defaults: an upgrade of the operator must not restart every pod."""
    capture = sidecar.capture
    share = {"All": 100, "Sample": capture.sample_percent, "Off": 0}[capture.mode]
    variables = {
        "TIDEGATE_CAPTURE_PERCENT": (share, 100),
        "TIDEGATE_MAX_BODY_BYTES": (capture.max_body_bytes, Capture().max_body_bytes),
    }
    return {name: str(value) for name, (value, default) in variables.items() if value != default}


def _upstream(model: Model) -> dict[str, str]:
    """Where the model listens."""
    if not _speaks_grpc(model):
        return {"TIDEGATE_UPSTREAM": f"127.0.0.1:{names.MODEL_PORT}"}
    return {
        "TIDEGATE_PROTOCOL": "GRPC",
        "TIDEGATE_UPSTREAM": f"127.0.0.1:{names.MODEL_GRPC_PORT}",
    }


def _log(sidecar: Sidecar) -> Iterator[Manifest]:
    """Where predictions are written, and the few keys of the Secret that this takes.

    All of them are optional: a Secret that is missing must not keep a model from serving.
    """
    log = sidecar.log
    if log is None:
        return
    wanted = log.to_api()
    secret = wanted.pop("credentialsRef")["name"]
    yield {"name": "TIDEGATE_LOG", "value": json.dumps(wanted, sort_keys=True)}
    for key in LOG_KEYS:
        reference = {"name": secret, "key": key, "optional": True}
        yield {"name": key, "valueFrom": {"secretKeyRef": reference}}


def _sidecar(model: Model, revision: Revision) -> Manifest:
    settings = model.spec.serving.sidecar
    variables = {
        "TIDEGATE_NAMESPACE": model.metadata.namespace,
        "TIDEGATE_MODEL": model.metadata.name,
        "TIDEGATE_REVISION": revision.name,
        **_upstream(model),
        "TIDEGATE_ROUTING_DIR": names.ROUTING_DIR,
        "TIDEGATE_PROFILE": f"{names.MODEL_DIR}/profile.json",
        **_capture(settings),
    }
    downward = {"TIDEGATE_POD_UID": "metadata.uid", "TIDEGATE_POD_NAME": "metadata.name"}
    return {
        "name": "sidecar",
        "image": revision.sidecar_image,
        "restartPolicy": "Always",
        "env": [
            *({"name": k, "value": v} for k, v in variables.items()),
            *(
                {"name": k, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": v}}}
                for k, v in downward.items()
            ),
            *_log(settings),
        ],
        "ports": [
            {"name": "traffic", "containerPort": names.TRAFFIC_PORT, "protocol": "TCP"},
            {"name": "control", "containerPort": names.CONTROL_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": names.METRICS_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/livez", "control", period=1, failures=60),
        "livenessProbe": _probe("/livez", "control", period=10, failures=3),
        "readinessProbe": _probe("/readyz", "control", period=2, failures=3),
        "lifecycle": {"preStop": {"exec": {"command": RETIRE}}},
        "resources": _resources(settings.resources, SIDECAR_RESOURCES),
        "volumeMounts": [
            *_mounts(model_read_only=True),
            {"name": "routing", "mountPath": names.ROUTING_DIR, "readOnly": True},
        ],
    }


def _serve(model: Model, revision: Revision) -> Manifest:
    return {
        "name": "model",
        "image": revision.runtime_image,
        "args": [
            "serve",
            f"--model-dir={names.MODEL_DIR}",
            f"--name={model.metadata.name}",
            f"--port={names.MODEL_PORT}",
            *([f"--grpc-port={names.MODEL_GRPC_PORT}"] if _speaks_grpc(model) else []),
            *(["--allow-unsafe"] if model.spec.artifact.allow_unsafe else []),
        ],
        # No argument: a revision keeps its image, and an older one would end because of it.
        "env": [{"name": "TIDEGATE_FORMAT", "value": revision.format}],
        "ports": [{"name": "model", "containerPort": names.MODEL_PORT, "protocol": "TCP"}],
        "startupProbe": _probe("/v2/health/live", "model", period=1, failures=120),
        "livenessProbe": _probe("/v2/health/live", "model", period=10, failures=3),
        "readinessProbe": _probe("/v2/health/ready", "model", period=2, failures=3),
        "resources": _resources(model.spec.serving.resources, MODEL_RESOURCES),
        "volumeMounts": list(_mounts(model_read_only=True)),
    }


def _probe(path: str, port: str, *, period: int, failures: int) -> Manifest:
    """Patient: on a node short of CPU a slow answer is better than no pod to answer at all."""
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period,
        "timeoutSeconds": PROBE_SECONDS,
        "failureThreshold": failures,
    }


def _resources(given: Resources, default: Manifest) -> Manifest:
    wanted = {kind: amounts for kind, amounts in given.to_api().items() if amounts}
    return wanted or default  # the server drops what is empty
