"""Where the user's kubectl points: cluster, credentials, namespace."""

from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException

from tidegate.errors import TerminalError


@dataclass(frozen=True, slots=True)
class Pointed:
    """A cluster, and the namespace that is meant where none is named."""

    how: Configuration
    namespace: str


async def pointed(path: str | None, context: str | None) -> Pointed:
    """What a kubeconfig says; of KUBECONFIG or ~/.kube/config if `path` is None.

    TerminalError(NoCluster) where it is missing, broken, or lacks the context.
    """
    how = Configuration()
    try:
        await config.load_kube_config(  # type: ignore[no-untyped-call]  # the library's lack
            config_file=path, context=context, client_configuration=how
        )
        known, current = config.list_kube_config_contexts(  # type: ignore[no-untyped-call]
            config_file=path
        )
    except (ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        message = f"no cluster: {error}; set KUBECONFIG or --kubeconfig, and --context if needed"
        raise TerminalError("NoCluster", message) from error
    chosen: dict[str, Any] = next((c for c in known if c["name"] == context), current)
    return Pointed(how, str(chosen["context"].get("namespace") or "default"))
