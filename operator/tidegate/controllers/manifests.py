"""What the manifests of all kinds have in common: who owns them, and what their pods may do."""

from typing import Any

from tidegate.api import names
from tidegate.api.meta import ObjectMeta

Manifest = dict[str, Any]

# What a container of ours may do: the restricted Pod Security Standard, and no more than that.
RESTRICTED: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
# The same for the pod: nobody's uid, and no way to the API server.
RESTRICTED_POD: Manifest = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": names.POD_UID,
        "runAsGroup": names.POD_UID,
        "fsGroup": names.POD_UID,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


def child(
    owner_kind: str,
    owner: ObjectMeta,
    *,
    api_version: str,
    kind: str,
    name: str,
    labels: dict[str, str],
) -> Manifest:
    """The head of an object that goes when its owner goes."""
    reference = {
        "apiVersion": names.API_VERSION,
        "kind": owner_kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": labels,
            "ownerReferences": [reference],
        },
    }
