"""Container images by buildah, and their way into the node's containerd."""

import json
import os
import tempfile
from pathlib import Path

from hack.cluster import containers
from hack.cluster.console import progress
from hack.cluster.errors import ClusterError
from hack.cluster.instance import RUN_DIRECTORY
from hack.cluster.shell import run

PAUSE = """FROM scratch
COPY pause /pause
USER 65532:65532
ENTRYPOINT ["/pause"]
"""


def directory(cache: Path) -> Path:
    """Build contexts, the base image and buildah's storage."""
    return cache / "image"


def buildah(cache: Path, *arguments: str, mend: str = "") -> str:
    """Run buildah with storage of its own; without a daemon, systemd or user namespaces."""
    command = [
        "buildah", "--root", f"{directory(cache)}/storage", "--runroot", f"{RUN_DIRECTORY}/buildah",
        "--storage-driver", "overlay", *arguments,
    ]  # fmt: skip
    settings = directory(cache) / "containers.conf"
    settings.parent.mkdir(parents=True, exist_ok=True)
    # Builds use the host's network; still, buildah would make /etc/cni for a network of its own.
    settings.write_text(f'[network]\nnetwork_config_dir = "{directory(cache)}/cni"\n')
    extra = {"BUILDAH_ISOLATION": "chroot", "CONTAINERS_CONF": str(settings)}
    return run(command, extra=extra, mend=mend)


def build_scratch(cache: Path, reference: str, dockerfile: str, program: Path) -> None:
    """An image that holds one static program and nothing else."""
    context = directory(cache) / "scratch" / program.name
    context.mkdir(parents=True, exist_ok=True)
    (context / "Dockerfile").write_text(dockerfile)
    (context / program.name).unlink(missing_ok=True)
    os.link(program, context / program.name)
    arguments = ["--layers", "--tag", reference, "--timestamp", "0", str(context)]
    buildah(cache, "build", *arguments)


def ensure_pause_image(cache: Path, programs: Path) -> None:
    """The image of the container that holds a pod's namespaces."""
    if containers.PAUSE_IMAGE in containers.ctr("images", "list", "--quiet").split():
        return
    build_scratch(cache, containers.PAUSE_IMAGE, PAUSE, programs / "pause")
    load(cache, containers.PAUSE_IMAGE)


def load(cache: Path, name: str) -> None:
    """Give the node an image: by its name in the build storage, or a tar archive by its path."""
    with progress(f"load {name} into the node"):
        if Path(name).is_file():
            containers.ctr("images", "import", name)
        else:
            _load_built(cache, name)


def _load_built(cache: Path, reference: str) -> None:
    built = image_id(cache, reference)
    if built is None:
        raise ClusterError(
            f"{reference} is neither a file nor an image that was built here",
            "hack/cluster/cluster image build, or give the path of a tar archive "
            "(docker save IMAGE -o image.tar)",
        )
    if _on_node(reference, built):
        return
    with tempfile.TemporaryDirectory(dir=directory(cache)) as directory_name:
        archive = f"{directory_name}/image.tar"
        buildah(cache, "push", reference, f"oci-archive:{archive}:{reference}")
        containers.ctr("images", "import", archive)


def image_id(cache: Path, reference: str) -> str | None:
    """The digest of an image's configuration, or None if it was not built yet."""
    try:
        inspected = buildah(cache, "inspect", "--type", "image", reference)
    except ClusterError:
        return None
    return str(json.loads(inspected)["FromImageID"])


def _on_node(reference: str, identity: str) -> bool:
    """Compare the configuration that containerd has under this name with the built one."""
    rows = [line.split() for line in containers.ctr("images", "list").splitlines()[1:]]
    manifest = next((row[2] for row in rows if row[0] == reference), None)
    if manifest is None:
        return False
    content = json.loads(containers.ctr("content", "get", manifest))
    return bool(content["config"]["digest"] == f"sha256:{identity}")
