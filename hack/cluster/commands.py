"""The commands and options of hack/cluster/cluster."""

import argparse

from hack.cluster.binaries import TOOLS
from hack.cluster.build import TARGETS
from hack.cluster.instance import DEFAULT_NAME


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="cluster", description="A real Kubernetes on this machine, without Docker."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    def instance_command(name: str, text: str) -> argparse.ArgumentParser:
        added = command(name, text)
        added.add_argument(
            "--name", default=DEFAULT_NAME, help="which cluster (default: %(default)s)"
        )
        return added

    up = instance_command("up", "Bring the cluster up; what already runs is left alone.")
    up.add_argument(
        "--control-plane-only", action="store_true", help="no node and no pods: needs no root"
    )
    up.add_argument(
        "--port-offset",
        type=int,
        metavar="N",
        help="move every port by N; see also TIDEGATE_*_PORT",
    )
    _no_install(up)
    instance_command(
        "down", "End the cluster, remove all it made; programs and images stay cached."
    )
    instance_command("status", "Show what runs; the exit code is 0 only if all of it does.")
    instance_command("kubeconfig", "Print the path of the administrator's kubeconfig.")
    instance_command("env", "Print the exports that put kubectl and helm into PATH.")

    building = command("build", "Build programs only, and print their folder.")
    building.add_argument(
        "program", nargs="*", metavar="PROGRAM", help=f"which of {', '.join(TOOLS)} (default: all)"
    )

    loading = command("load-image", "Give images to the node, without a registry.")
    loading.add_argument(
        "image", nargs="+", help="a name from `image build`, or the path of a tar archive"
    )
    _image(command("image", "Build images by buildah from the project's Dockerfile."))

    store = instance_command("s3", "Start an S3 server in the cluster, with Secret `s3`.")
    store.add_argument("--namespace", required=True, help="made if it is not there")
    store.add_argument(
        "--bucket", action="append", default=[], help="make this bucket (may be repeated)"
    )
    store.add_argument("--image", help="the server's image, for a cluster elsewhere")
    return top


def _image(image: argparse.ArgumentParser) -> None:
    actions = image.add_subparsers(dest="action", required=True, metavar="ACTION")
    base = actions.add_parser("base", help="make the base image, once")
    building = actions.add_parser("build", help="build, and load into the node if it is up")
    building.add_argument("--base", help="another base image that has Python 3.11")
    building.add_argument("--no-load", action="store_true", help="do not load into the node")
    actions.add_parser("context", help="fill the build contexts only, for another builder")
    pushing = actions.add_parser("push", help="push built images to a registry")
    pushing.add_argument("registry", help="for example registry.example.com/team")
    pushing.add_argument(
        "--insecure", action="store_true", help="allow HTTP and unknown authorities"
    )
    pushing.add_argument("--tag", default="dev", help="tag in the registry (default: %(default)s)")
    image.set_defaults(target=None)
    for action in (base, building, pushing):
        _no_install(action)
    for action in (building, pushing):
        action.add_argument(
            "--target", action="append", choices=TARGETS, help="which image (default: all)"
        )


def _no_install(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-install", action="store_true", help="never install Debian packages")
