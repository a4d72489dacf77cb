"""The generated files: where each lies and what it says."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tidegate.crdgen import reasons, reference
from tidegate.crdgen.crd import HEADER, chart_template, crd_yaml
from tidegate.crdgen.kinds import KINDS

CHART = Path("charts/tidegate")
INSTALL = Path("manifests/install.yaml")
NAMESPACE = "tidegate-system"
KUBE_VERSION = "1.35.0"
_NAMESPACE_MANIFEST = f"""---
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def from_types() -> dict[Path, str]:
    """What follows from the types alone: CRDs, the chart's templates of them, the reference."""
    files = {
        Path("docs/reference/api.md"): reference.page(KINDS),
        Path("docs/reference/reasons.md"): reasons.page(),
    }
    for kind in KINDS:
        files[Path("crds") / f"{kind.plural}.yaml"] = crd_yaml(kind)
        files[CHART / "templates" / "crds" / f"{kind.plural}.yaml"] = chart_template(kind)
    return files


def from_chart(root: Path, helm: Path) -> dict[Path, str]:
    """What follows from the chart: one manifest for those who install without helm."""
    # Not helm's own idea of a cluster's version: the output must be the same on every machine.
    command = [str(helm), "template", "tidegate", str(root / CHART), "--namespace", NAMESPACE]
    command += ["--kube-version", KUBE_VERSION]
    rendered = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - fixed words
    return {INSTALL: HEADER + _NAMESPACE_MANIFEST + rendered.stdout}


def find_helm(environment: Mapping[str, str], cache: Path) -> Path | None:
    """Helm, from TIDEGATE_BIN or PATH, else the one that the local cluster has built."""
    named = [environment.get("TIDEGATE_BIN", ""), *environment.get("PATH", "").split(os.pathsep)]
    built = sorted(cache.glob("bin-*"), key=lambda place: place.stat().st_mtime, reverse=True)
    places = [Path(place) for place in named if place] + built
    return next((p / "helm" for p in places if os.access(p / "helm", os.X_OK)), None)
