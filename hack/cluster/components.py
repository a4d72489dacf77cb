"""Starts one component of a cluster, after its ports were found free."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster import ports
from hack.cluster.instance import Instance
from hack.cluster.processes import Supervisor

NO_PROXY = {"NO_PROXY": "*", "no_proxy": "*"}  # every address a component calls is local


def configuration(instance: Instance, name: str, text: str) -> Path:
    """A file named by its content: `up` restarts a component when its configuration has changed."""
    stem, _, suffix = name.partition(".")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    path = instance.state / "configuration" / f"{stem}-{digest}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def ensure(
    instance: Instance,
    supervisor: Supervisor,
    name: str,
    command: Sequence[str],
    listens: Mapping[str, str],
) -> None:
    """Start the component unless it runs; `listens` has an address for each field of `Ports`."""
    process = supervisor.find(name)
    if process is None or not process.alive:
        for field, address in listens.items():
            port = getattr(instance.ports, field)
            ports.require_free(name, address, port, f"TIDEGATE_{field.upper()}_PORT")
    supervisor.ensure(name, command, NO_PROXY)
