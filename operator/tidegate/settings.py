"""What the operator is told by its environment, parsed once at the start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.errors import TerminalError

EVIDENCE_PORT = 8086


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings; each field is the variable TIDEGATE_<FIELD>."""

    namespace: str
    """The operator's own namespace: where its Lease is."""
    pod_name: str
    """Who this replica is in the Lease."""
    sidecar_image: str
    runtime_image: str
    signing_key: Path
    """The PEM file of the Ed25519 key that signs routing documents and tokens."""
    image_pull_policy: str = "IfNotPresent"
    watch_namespaces: tuple[str, ...] = ()
    """The namespaces to work in; all of them if empty."""
    log_level: str = "INFO"
    http_port: int = 8085
    """Where /livez, /readyz and /metrics are."""
    evidence_port: int = EVIDENCE_PORT
    """Where `kubectl tidegate record` reads the evidence, on the loopback only."""
    prometheus_url: str = ""
    """The server that metrics of source Prometheus are asked of; none if empty."""
    prometheus_token_file: Path | None = None
    prometheus_ca_file: Path | None = None
    decisions_uri: str = ""
    """The folder of a bucket for the decision log; nowhere if empty."""
    workers: int = 20
    """How many objects are reconciled at the same time."""
    kubeconfig: Path | None = None
    """Which cluster, outside of one (KUBECONFIG); the pod's own service account if None."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raise TerminalError(InvalidSettings) that names the variable that is missing or wrong."""

        def required(name: str) -> str:
            value = environment.get(name, "")
            if not value:
                raise TerminalError("InvalidSettings", f"set {name}: it has no default")
            return value

        def number(name: str, default: int) -> int:
            text = environment.get(name) or str(default)
            if not text.isdecimal() or int(text) < 1:
                raise TerminalError("InvalidSettings", f"{name} must be 1 or more, not {text!r}")
            return int(text)

        def file(name: str) -> Path | None:
            path = environment.get(name, "")
            return Path(path) if path else None

        url = environment.get("TIDEGATE_PROMETHEUS_URL", "")
        if url and not url.startswith(("http://", "https://")):
            message = f"TIDEGATE_PROMETHEUS_URL must begin with http:// or https://, not {url!r}"
            raise TerminalError("InvalidSettings", message)
        decisions = environment.get("TIDEGATE_DECISIONS_URI", "")
        if decisions and not decisions.startswith("s3://"):
            message = f"TIDEGATE_DECISIONS_URI must begin with s3://, not {decisions!r}"
            raise TerminalError("InvalidSettings", message)
        namespaces = environment.get("TIDEGATE_WATCH_NAMESPACES", "").split(",")
        return cls(
            namespace=required("TIDEGATE_NAMESPACE"),
            pod_name=required("TIDEGATE_POD_NAME"),
            sidecar_image=required("TIDEGATE_SIDECAR_IMAGE"),
            runtime_image=required("TIDEGATE_RUNTIME_IMAGE"),
            signing_key=Path(required("TIDEGATE_SIGNING_KEY")),
            image_pull_policy=environment.get("TIDEGATE_IMAGE_PULL_POLICY") or "IfNotPresent",
            watch_namespaces=tuple(sorted({n.strip() for n in namespaces if n.strip()})),
            log_level=(environment.get("TIDEGATE_LOG_LEVEL") or "INFO").upper(),
            http_port=number("TIDEGATE_HTTP_PORT", 8085),
            evidence_port=number("TIDEGATE_EVIDENCE_PORT", EVIDENCE_PORT),
            workers=number("TIDEGATE_WORKERS", 20),
            prometheus_url=url,
            prometheus_token_file=file("TIDEGATE_PROMETHEUS_TOKEN_FILE"),
            prometheus_ca_file=file("TIDEGATE_PROMETHEUS_CA_FILE"),
            decisions_uri=decisions,
            kubeconfig=file("KUBECONFIG"),
        )
