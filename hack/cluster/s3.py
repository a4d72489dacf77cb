"""Starts the S3 server in a namespace of the cluster in use, with its credentials as a Secret."""

import base64
import json
import secrets
import string
from pathlib import Path

from hack.cluster.console import progress, say
from hack.cluster.errors import ClusterError
from hack.cluster.kubectl import Kubectl

MANIFEST = Path(__file__).with_name("s3.yaml")
READY_SECONDS = 120


def ensure(kubectl: Kubectl, namespace: str, image: str, buckets: list[str]) -> None:
    """Apply the manifest, wait for the pod, make the buckets; doing it twice changes nothing."""
    if not _get(kubectl, "namespace", namespace):
        kubectl("create", "namespace", namespace)
    known = _credentials(kubectl, namespace)
    access, secret = known or (secrets.token_hex(8), secrets.token_urlsafe(24))
    manifest = string.Template(MANIFEST.read_text()).substitute(
        namespace=namespace, image=image, access_key=access, secret_key=secret
    )
    with progress(f"S3 server in namespace {namespace}"):
        kubectl("apply", "--server-side", "-f", "-", text=manifest)
        kubectl("--namespace", namespace, "rollout", "status", "deployment/s3",
                f"--timeout={READY_SECONDS}s")  # fmt: skip
    for bucket in buckets:
        with progress(f"bucket {bucket}"):
            _make_bucket(kubectl, namespace, bucket, access)
    address = json.loads(_get(kubectl, "service", "s3", namespace))["spec"]["clusterIP"]
    say(
        f"S3 for pods: Secret {namespace}/s3 (AWS_*); for this host, if it is the node: http://{address}:7070"
    )


def _get(kubectl: Kubectl, kind: str, name: str, namespace: str = "default") -> str:
    return kubectl("--namespace", namespace, "get", kind, name, "--ignore-not-found", "-o", "json")


def _credentials(kubectl: Kubectl, namespace: str) -> tuple[str, str] | None:
    """The keys that are in use already: a second run must not change them."""
    text = _get(kubectl, "secret", "s3", namespace)
    if not text:
        return None
    data = json.loads(text)["data"]
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    access, secret = (base64.b64decode(data[key]).decode() for key in keys)
    return access, secret


def _make_bucket(kubectl: Kubectl, namespace: str, bucket: str, owner: str) -> None:
    try:
        kubectl("--namespace", namespace, "exec", "deployment/s3", "--", "/versitygw", "admin",
                "create-bucket", "--bucket", bucket, "--owner", owner)  # fmt: skip
    except ClusterError as error:
        if "BucketAlreadyOwnedByYou" not in error.message:
            raise
