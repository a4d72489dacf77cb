"""Sets the demo up in a cluster, and clears it away again."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml
from hack.cluster.instance import cache_directory
from hack.demo.watch import MODEL, NAMESPACE, POLICY
from hack.target import CLUSTER, ROOT, Target, TargetError, release

# Names of its own: a Tidegate that is there already is neither changed nor removed.
RELEASE, SYSTEM_NAMESPACE = "tidegate-demo", "tidegate-demo-system"
WATCHED = "TIDEGATE_WATCH_NAMESPACES"  # empty: all of them
MANIFESTS = Path(__file__).parent / "manifests"
INSTALL_SECONDS, READY_SECONDS, DELETE_SECONDS = 180, 120, 120


@dataclass(frozen=True, slots=True)
class Stage:
    """The demo's place in a cluster."""

    target: Target

    def install(self) -> None:
        """Install Tidegate by its chart, as a user would; what an earlier demo left goes first."""
        self._require_no_rival()
        self.clear()
        self._run("kubectl", "apply", "-f", str(MANIFESTS / "namespaces.yaml"))
        registry, tag = self.target.environment["REGISTRY"], self.target.environment["TAG"]
        self._run(
            *("helm", "upgrade", "--install", RELEASE, str(ROOT / "charts/tidegate")),
            *("--namespace", SYSTEM_NAMESPACE, "--wait", "--timeout", f"{INSTALL_SECONDS}s"),
            *("--values", str(ROOT / "charts/tidegate/values-local.yaml")),
            *("--set", f"image.registry={registry}", "--set", f"image.tag={tag}"),
            *("--set", f"crds.keep=false,watchNamespaces={{{NAMESPACE}}}"),
            *("--set", f"crds.enabled={str(self._brings_crds()).lower()}"),
        )

    def _require_no_rival(self) -> None:
        """Two operators would undo each other's work on the demo's Model."""
        operators = ("deployments", "-A", "-l", "app.kubernetes.io/name=tidegate", "-o", "json")
        found = json.loads(self._run("kubectl", "get", *operators))
        if names := rivals(found["items"]):
            raise TargetError(
                f"Tidegate is there already, and works in namespace {NAMESPACE}, too: "
                f"{', '.join(names)}; mend it with: helm upgrade --reuse-values --set "
                "watchNamespaces='{…}' for the time of the demo, or use another cluster"
            )

    def _brings_crds(self) -> bool:
        """Whether the CRDs come with this release: not if somebody else has put them there."""
        release = r"{.metadata.annotations.meta\.helm\.sh/release-name}"
        get = ("kubectl", "get", "crd", "models.tidegate.dev", "--ignore-not-found", "-o")
        found = self._run(*get, "name").strip()
        return not found or self._run(*get, f"jsonpath={release}").strip() == RELEASE

    def furnish(self) -> None:
        """An object store with the tables, the clients, the Model and its policy."""
        store = ("s3", "--namespace", NAMESPACE, "--bucket", "demo")
        self._run(CLUSTER, *store, "--image", self.target.image("s3"))
        self._apply(self._program())
        text = (MANIFESTS / "world.yaml").read_text()
        self._apply(Template(text).substitute(image=self.target.image("runtime")))
        ready = ("--for=condition=Ready", f"--timeout={READY_SECONDS}s")
        self._run("kubectl", "wait", "--namespace", NAMESPACE, *ready, "pod/world")
        self._run("kubectl", "apply", "-f", str(MANIFESTS / "drift-policy.yaml"))
        self._run("kubectl", "apply", "-f", str(MANIFESTS / "model.yaml"))

    def train(self, version: str) -> None:
        """Create the TrainingJob of a version."""
        documents = yaml.safe_load_all((MANIFESTS / "training-jobs.yaml").read_text())
        job = next(d for d in documents if d["metadata"]["name"] == f"{MODEL}-{version}")
        self._apply(json.dumps(job))

    def printed(self) -> str:
        """What `kubectl get` prints of the demo's objects."""
        objects = (f"model/{MODEL}", f"driftpolicy/{POLICY}")
        return self._run("kubectl", "get", "--namespace", NAMESPACE, *objects)

    def end_clients(self) -> None:
        """No request is sent any more; all else stays to be looked at."""
        self._delete("pod/world", "--namespace", NAMESPACE)

    def clear(self) -> None:
        """Remove all that the demo made in the cluster."""
        self._delete("namespace", NAMESPACE)
        helm = ("helm", "uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE)
        self._run(*helm, "--ignore-not-found", "--wait", "--timeout", f"{DELETE_SECONDS}s")
        self._delete("namespace", SYSTEM_NAMESPACE)

    def _program(self) -> str:
        """The world's program as a ConfigMap."""
        files = {path.name: path.read_text() for path in (MANIFESTS.parent / "world").glob("*.py")}
        metadata = {"name": "world", "namespace": NAMESPACE}
        return json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files}
        )

    def _delete(self, *what: str) -> None:
        limit = f"--timeout={DELETE_SECONDS}s"
        self._run("kubectl", "delete", *what, "--ignore-not-found", limit)

    def _apply(self, text: str) -> None:
        self._run("kubectl", "apply", "-f", "-", text=text)

    def _run(self, *command: str, text: str = "") -> str:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=dict(self.target.environment),
        )
        if done.returncode:
            raise TargetError(f"{' '.join(command[:4])} … failed:\n{done.stderr.strip()}")
        return done.stdout


def rivals(operators: list[dict[str, Any]]) -> list[str]:
    """Those of the Deployments, but the demo's own, that also watch the demo's namespace."""
    found = []
    for operator in operators:
        metadata = operator["metadata"]
        containers = operator["spec"]["template"]["spec"]["containers"]
        watched = [
            variable.get("value", "")
            for container in containers
            for variable in container.get("env", [])
            if variable["name"] == WATCHED
        ]
        meant = any(not spaces or NAMESPACE in spaces.split(",") for spaces in watched)
        if meant and metadata["namespace"] != SYSTEM_NAMESPACE:
            found.append(f"{metadata['namespace']}/{metadata['name']}")
    return found


def remember(target: Target) -> None:
    """Note for `down` whether the cluster goes with the demo."""
    if target.made:
        record = _record()
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"made": target.made}))


def is_remembered() -> bool:
    """Whether a cluster was made for the demo."""
    return _record().exists()


def forget() -> None:
    """Take the cluster down if it was made for the demo."""
    if is_remembered():
        record = _record()
        release(json.loads(record.read_text())["made"])
        record.unlink()


def _record() -> Path:
    """Remembers, from `make demo` to `make demo-down`, that the cluster was made for the demo."""
    return cache_directory() / "demo.json"
