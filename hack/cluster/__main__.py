"""The command line: hack/cluster/cluster COMMAND."""

import argparse
import os
import sys
from collections.abc import Callable

from hack.cluster import (
    binaries,
    build,
    containers,
    images,
    kubectl,
    lifecycle,
    prerequisites,
    s3,
)
from hack.cluster.commands import parser
from hack.cluster.console import say
from hack.cluster.errors import ClusterError
from hack.cluster.instance import (
    DEFAULT_NAME,
    NODE_ADDRESS,
    POD_SUBNET,
    SERVICE_SUBNET,
    Instance,
    cache_directory,
    recorded,
    require_name,
)
from hack.cluster.lock import exclusive, forget


def main() -> int:
    """Run one command; errors that a person can mend come without a stack trace."""
    arguments = parser().parse_args()
    try:
        require_name(getattr(arguments, "name", DEFAULT_NAME))
        return COMMANDS[arguments.command](arguments) or 0
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:  # `| head` has read enough; nor may Python's own end complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # for example: the folder belongs to root, the disk is full
        elsewhere = f"export TIDEGATE_CACHE=… (now {cache_directory()})"
        print(f"error: {error}\n  to mend it: see to that place, or use another: {elsewhere}",
              file=sys.stderr)  # fmt: skip
    except KeyboardInterrupt:
        print("interrupted; run the command again to go on", file=sys.stderr)
    return 1


def _known(name: str) -> Instance:
    instance = recorded(name, cache_directory())
    if instance is None:
        options = "" if name == DEFAULT_NAME else f" --name {name} --control-plane-only"
        raise ClusterError(f"there is no cluster {name}", f"hack/cluster/cluster up{options}")
    return instance


def _up(arguments: argparse.Namespace) -> None:
    cache = cache_directory()
    foreign = kubectl.foreign_kubeconfig(arguments.name, cache)
    if foreign:
        kubectl.verify(kubectl.of_foreign(cache, foreign))
        return
    with exclusive(cache, f"{arguments.name}-cluster"):
        instance = lifecycle.plan(
            arguments.name,
            cache,
            has_node=not arguments.control_plane_only,
            offset=arguments.port_offset,
            environment=os.environ,
        )
        lifecycle.up(instance, install=not arguments.no_install)


def _down(arguments: argparse.Namespace) -> None:
    cache = cache_directory()
    with exclusive(cache, f"{arguments.name}-cluster"):
        instance = recorded(arguments.name, cache)
        if instance is None:
            say(f"cluster {arguments.name} is not there: nothing to do")
        else:
            lifecycle.down(instance)
        forget(cache, f"{arguments.name}-cluster")


def _status(arguments: argparse.Namespace) -> int:
    return 0 if lifecycle.status(_known(arguments.name)) else 1


def _kubeconfig(arguments: argparse.Namespace) -> None:
    print(_known(arguments.name).kubeconfig)


def _env(arguments: argparse.Namespace) -> None:
    instance = _known(arguments.name)
    print(f'export PATH="{binaries.directory(instance.cache)}:$PATH"')
    print(f'export KUBECONFIG="{instance.kubeconfig}"')
    print(f'export NO_PROXY="{LOCAL},$NO_PROXY"')


def _load_image(arguments: argparse.Namespace) -> None:
    _known(DEFAULT_NAME)  # else there is no containerd to answer
    cache = cache_directory()
    with exclusive(cache, "images"):
        for name in arguments.image:
            images.load(cache, name)


def _build_programs(arguments: argparse.Namespace) -> None:
    cache = cache_directory()
    names = arguments.program or list(binaries.TOOLS)
    require_known(names)
    if binaries.missing(cache, names):
        prerequisites.require_go()
    print(binaries.ensure_built(cache, names))


def require_known(names: list[str]) -> None:
    """Refuse names of programs that are not built here."""
    unknown = set(names) - set(binaries.TOOLS)
    if unknown:
        raise ClusterError(f"unknown: {' '.join(unknown)}", f"one of {' '.join(binaries.TOOLS)}")


def _image(arguments: argparse.Namespace) -> None:
    cache = cache_directory()
    targets = arguments.target or list(build.TARGETS)
    if arguments.action == "context":
        with exclusive(cache, "images"):
            build.contexts(cache)
        return
    machine = prerequisites.this_machine()
    try:
        prerequisites.require_supported(machine, node=True)
    except ClusterError as error:
        raise ClusterError(
            f"images can't be built here: {error.message}",
            "build them as root on Debian or Ubuntu, or with Docker as this tells: "
            "hack/cluster/cluster image context",
        ) from error
    install = not arguments.no_install
    prerequisites.ensure_packages(
        prerequisites.NODE_PACKAGES, install=install, is_root=machine.is_root
    )
    with exclusive(cache, "images"):
        if arguments.action == "push":
            registry = build.Registry(arguments.registry, arguments.tag, not arguments.insecure)
            build.push(cache, targets, registry)
        elif arguments.action == "base":
            build.ensure_base(cache)
        else:
            for target in targets:
                build.build(cache, target, arguments.base)
                if containers.SOCKET.exists() and not arguments.no_load:
                    images.load(cache, build.reference(target))


def _s3(arguments: argparse.Namespace) -> None:
    cache = cache_directory()
    foreign = kubectl.foreign_kubeconfig(arguments.name, cache)
    if foreign:
        if arguments.image is None:
            raise ClusterError(
                "a cluster elsewhere pulls its images from a registry: which is the S3 server's?",
                "hack/cluster/cluster image push --target s3 REGISTRY, then give "
                "--image REGISTRY/tidegate-s3:dev",
            )
        client = kubectl.of_foreign(cache, foreign)
    else:
        client = kubectl.of_instance(_known(arguments.name))
        if arguments.image is None:
            with exclusive(cache, "images"):
                build.build(cache, build.S3_TARGET)
                images.load(cache, build.reference(build.S3_TARGET))
    image = arguments.image or build.reference(build.S3_TARGET)
    s3.ensure(client, arguments.namespace, image, arguments.bucket)


LOCAL = f"127.0.0.1,{NODE_ADDRESS},{POD_SUBNET},{SERVICE_SUBNET}"  # never by a company's proxy
COMMANDS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "kubeconfig": _kubeconfig,
    "env": _env,
    "build": _build_programs,
    "image": _image,
    "load-image": _load_image,
    "s3": _s3,
}

if __name__ == "__main__":
    sys.exit(main())
