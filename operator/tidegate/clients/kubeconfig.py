"""Where the user's kubectl points: cluster, credentials, namespace."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException

from tidegate.errors import TerminalError

DEFAULT = "~/.kube/config"


@dataclass(frozen=True, slots=True)
class Pointed:
    """A cluster, and the namespace that is meant where none is named."""

    how: Configuration
    namespace: str


async def pointed(path: str | None, context: str | None) -> Pointed:
    """What a kubeconfig says; of KUBECONFIG or ~/.kube/config if `path` is None.

    TerminalError(NoCluster) where it is missing, broken, or lacks the context.
    """
    named = path or os.environ.get("KUBECONFIG") or DEFAULT
    _require_one_of(named)
    how = Configuration()
    try:
        await config.load_kube_config(  # type: ignore[no-untyped-call]  # the library's lack
            config_file=path, context=context, client_configuration=how
        )
        known, current = config.list_kube_config_contexts(  # type: ignore[no-untyped-call]
            config_file=path
        )
    except (ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        message = (
            f"no cluster: {named} can't be used: {error}; "
            "set KUBECONFIG or --kubeconfig, and --context if needed"
        )
        raise TerminalError("NoCluster", message) from error
    chosen: dict[str, Any] = next((c for c in known if c["name"] == context), current)
    return Pointed(how, str(chosen["context"].get("namespace") or "default"))


def _require_one_of(named: str) -> None:
    """The library takes a file that is not there for an empty one."""
    if not any(Path(file).expanduser().is_file() for file in named.split(os.pathsep)):
        message = f"no cluster: there is no kubeconfig {named}; set KUBECONFIG or --kubeconfig"
        raise TerminalError("NoCluster", message)
