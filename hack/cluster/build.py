"""Tidegate's images: the base, the three programs and the S3 server for demos and tests."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import images, wheels
from hack.cluster.binaries import ensure_built
from hack.cluster.console import progress
from hack.cluster.errors import ClusterError
from hack.cluster.shell import run

SUITE = "bookworm"
BASE_IMAGE = f"localhost/tidegate-base:{SUITE}"
BASE_PACKAGES = "ca-certificates,python3,python3-venv"
S3_TARGET = "s3"
TARGETS = ("operator", "sidecar", "runtime", S3_TARGET)
S3_IMAGE = """FROM scratch
COPY versitygw /versitygw
USER 65532:65532
EXPOSE 7070
VOLUME /data
ENTRYPOINT ["/versitygw", "--port", ":7070", "posix", "/data"]
"""


def reference(target: str) -> str:
    """The name of a target's image on this machine."""
    return f"localhost/tidegate-{target}:dev"


def ensure_base(cache: Path) -> None:
    """A small Debian with Python, made once by debootstrap."""
    if images.image_id(cache, BASE_IMAGE):
        return
    root = images.directory(cache) / "base" / "rootfs"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    with progress(f"base image: Debian {SUITE} by debootstrap"):
        run(
            ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", SUITE, root],
            mend="check the network, then run the command again",
        )
        for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man",
                      "usr/share/locale"):  # fmt: skip
            shutil.rmtree(root / waste, ignore_errors=True)
        (root.parent / "Dockerfile").write_text("FROM scratch\nCOPY rootfs /\n")
        images.buildah(cache, "build", "--tag", BASE_IMAGE, str(root.parent))
    shutil.rmtree(root)


def build(cache: Path, target: str, base: str | None = None) -> None:
    """Build one image; layers that did not change are taken from the last build."""
    if target == S3_TARGET:
        programs = ensure_built(cache, ["versitygw"])
        with progress(f"image {reference(target)}"):
            images.build_scratch(cache, reference(target), S3_IMAGE, programs / "versitygw")
        return
    if base is None:
        ensure_base(cache)
    context = images.directory(cache) / target
    wheels.ensure_context(context, target)
    with progress(f"image {reference(target)}"):
        images.buildah(
            cache, "build", "--layers", "--target", target, "--tag", reference(target),
            "--build-arg", f"BASE={base or BASE_IMAGE}",
            "--file", str(wheels.PROJECT / "Dockerfile"), str(context),
        )  # fmt: skip


def contexts(cache: Path) -> None:
    """Fill the build contexts only, and print what Docker or any other builder does with them."""
    for target in TARGETS:
        if target != S3_TARGET:
            context = images.directory(cache) / target
            wheels.ensure_context(context, target)
            print(f"docker build -f Dockerfile --target {target} -t tidegate-{target} {context}")


@dataclass(frozen=True, slots=True)
class Registry:
    """Where a cluster elsewhere pulls from; logins are those of `buildah login`."""

    address: str
    tag: str
    verify_tls: bool

    def reference(self, target: str) -> str:
        """The name of a target's image in the registry."""
        return f"{self.address.rstrip('/')}/tidegate-{target}:{self.tag}"


def push(cache: Path, targets: Sequence[str], registry: Registry) -> None:
    """Push built images to a registry."""
    for target in targets:
        if images.image_id(cache, reference(target)) is None:
            raise ClusterError(
                f"image {reference(target)} is not built yet",
                f"hack/cluster/cluster image build --target {target}",
            )
        destination = registry.reference(target)
        with progress(f"push {destination}"):
            verify = f"--tls-verify={str(registry.verify_tls).lower()}"
            images.buildah(
                cache, "push", verify, reference(target), f"docker://{destination}",
                mend=f"see whether {registry.address} answers; it may want `buildah login "
                f"{registry.address.partition('/')[0]}`, or be without TLS (INSECURE=1)",
            )  # fmt: skip
