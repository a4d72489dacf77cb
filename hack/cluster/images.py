"""Container images by buildah, and their way into the node's containerd."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
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


def buildah(cache: Path, *arguments: str) -> str:
    """Run buildah with storage of its own; without a daemon, systemd or user namespaces."""
    command = [
        "buildah", "--root", f"{directory(cache)}/storage", "--runroot", f"{RUN_DIRECTORY}/buildah",
        "--storage-driver", "overlay", *arguments,
    ]  # fmt: skip
    return run(command, extra={"BUILDAH_ISOLATION": "chroot"})


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
    """Only the layers that the node does not have yet are copied."""
    layout = directory(cache) / "layout" / hashlib.sha256(reference.encode()).hexdigest()[:12]
    layout.parent.mkdir(parents=True, exist_ok=True)
    # Uncompressed layers keep their digest from build to build: what is there is not written again.
    buildah(cache, "push", "--disable-compression", reference, f"oci:{layout}:latest")
    index = json.loads((layout / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": reference}
    present = set(containers.ctr("content", "list", "--quiet").split())
    wanted = list(_digests(layout, index["manifests"][0]["digest"]))
    _prune(layout, set(wanted))
    _import(layout, index, [digest for digest in wanted if digest not in present])


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _digests(layout: Path, manifest: str) -> Iterator[str]:
    yield manifest
    content = json.loads(_blob(layout, manifest).read_text())
    yield content["config"]["digest"]
    yield from (layer["digest"] for layer in content["layers"])


def _prune(layout: Path, wanted: set[str]) -> None:
    for blob in (layout / "blobs/sha256").iterdir():
        if f"sha256:{blob.name}" not in wanted:
            blob.unlink()


def _import(layout: Path, index: dict[str, object], digests: list[str]) -> None:
    """Stream an OCI archive that leaves out the blobs which containerd has."""
    command = ["ctr", "--address", str(containers.SOCKET), "--namespace",
               containers.KUBERNETES_NAMESPACE, "images", "import", "-"]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as ctr:  # fmt: skip
        assert ctr.stdin is not None
        assert ctr.stderr is not None
        try:
            with tarfile.open(fileobj=ctr.stdin, mode="w|") as archive:
                for digest in digests:
                    archive.add(_blob(layout, digest), f"blobs/{digest.replace(':', '/')}")
                _add(archive, "index.json", json.dumps(index))
                _add(archive, "oci-layout", (layout / "oci-layout").read_text())
            ctr.stdin.close()
        except BrokenPipeError:
            pass  # ctr has given up; its message says why
        message = ctr.stderr.read().decode().strip()
    if ctr.returncode:
        raise ClusterError(f"containerd refuses the image: {message}")


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))
