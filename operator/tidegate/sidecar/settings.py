"""What the pod's environment says, parsed once at the start."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from tidegate.api import names

# What the proxy tells the monitor that it starts: an inherited descriptor, a path to listen on.
ENV_CHANNEL, ENV_SOCKET = "TIDEGATE_MONITOR_CHANNEL", "TIDEGATE_MONITOR_SOCKET"


BODY_LIMIT_BYTES = 1 << 20  # of one body that is copied


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What of the predictions is written down, and where."""

    VARIABLE: ClassVar = "TIDEGATE_LOG"
    SALT_VARIABLE: ClassVar = "TIDEGATE_LOG_SALT"

    uri: str
    percent: int
    redact: frozenset[str] = frozenset()
    """Features that are left out."""
    hashed: frozenset[str] = frozenset()
    """Features of which a pseudonym is written."""
    salt: bytes = field(default=b"", repr=False)

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "LogSettings | None":
        """None if nothing is to be written."""
        text = env.get(cls.VARIABLE)
        if not text:
            return None
        data = json.loads(text)
        return cls(
            uri=str(data["uri"]),
            percent=int(data["percent"]),
            redact=frozenset(map(str, data["redact"])),
            hashed=frozenset(map(str, data["hashed"])),
            salt=env.get(cls.SALT_VARIABLE, "").encode(),
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """Who this pod is, where its model listens, and on which ports it is reached."""

    pod_uid: str
    model: str
    revision: str
    upstream: tuple[str, int]
    relays: bool
    """Connections are passed on as bytes, unread: the model speaks gRPC."""
    routing_dir: Path
    profile: Path
    traffic_port: int
    control_port: int
    metrics_port: int
    capture_percent: int
    body_limit: int
    log: LogSettings | None
    drain_seconds: float
    """How long idle connections stay open after the pod was told that it ends."""
    farewell_seconds: float
    """How long an operator that is asking is waited for at the very end: it asks each second."""

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Raise KeyError or ValueError if a variable is missing or makes no sense."""
        return cls(
            pod_uid=env["TIDEGATE_POD_UID"],
            model=env["TIDEGATE_MODEL"],
            revision=env["TIDEGATE_REVISION"],
            upstream=host_and_port(env.get("TIDEGATE_UPSTREAM", f"127.0.0.1:{names.MODEL_PORT}")),
            relays=env.get("TIDEGATE_PROTOCOL", "HTTP") == "GRPC",
            routing_dir=Path(env.get("TIDEGATE_ROUTING_DIR", names.ROUTING_DIR)),
            profile=Path(env.get("TIDEGATE_PROFILE", f"{names.MODEL_DIR}/profile.json")),
            traffic_port=int(env.get("TIDEGATE_TRAFFIC_PORT", names.TRAFFIC_PORT)),
            control_port=int(env.get("TIDEGATE_CONTROL_PORT", names.CONTROL_PORT)),
            metrics_port=int(env.get("TIDEGATE_METRICS_PORT", names.METRICS_PORT)),
            capture_percent=int(env.get("TIDEGATE_CAPTURE_PERCENT", "100")),
            body_limit=int(env.get("TIDEGATE_MAX_BODY_BYTES", BODY_LIMIT_BYTES)),
            log=LogSettings.from_environment(env),
            drain_seconds=float(env.get("TIDEGATE_DRAIN_SECONDS", "5")),
            farewell_seconds=float(env.get("TIDEGATE_FAREWELL_SECONDS", "2")),
        )


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of `host:port`; ValueError if it has not that form.

    >>> host_and_port("[::1]:80"), host_and_port("churn-5f7c.growth:8080")
    (('::1', 80), ('churn-5f7c.growth', 8080))
    """
    parts = urlsplit(f"//{address}")
    if not parts.hostname or not parts.port:
        raise ValueError(f"{address!r} is not host:port")
    return parts.hostname, parts.port
