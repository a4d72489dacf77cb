"""Runs the tests tier by tier, on clusters that it brings up and takes down again: `make test`."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = str(ROOT / "hack/cluster/cluster")


@dataclass(frozen=True, slots=True)
class Tier:
    """A folder of tests and the cluster that they need."""

    name: str
    arguments: tuple[str, ...]
    instance: str = ""
    """The local cluster it runs on; none, if empty."""
    has_node: bool = False


TIERS = (
    Tier("unit", ()),
    Tier("integration", ("tests/integration",), instance="test"),
    Tier("e2e", ("tests/e2e",), instance="default", has_node=True),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tier ended."""

    tier: str
    exit_code: int
    closing_line: str
    seconds: float


def runs(instance: str) -> bool:
    """Whether all of a local cluster runs."""
    command = (CLUSTER, "status", "--name", instance)
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def environment(tier: Tier) -> Iterator[dict[str, str]]:
    """The environment of a tier's tests: with a cluster of KUBECONFIG, or of our own."""
    if not tier.instance or os.environ.get("KUBECONFIG"):
        yield {**os.environ}
        return
    was_there = runs(tier.instance)
    options = () if tier.has_node else ("--control-plane-only",)
    try:
        subprocess.run((CLUSTER, "up", "--name", tier.instance, *options), check=True)
        if tier.has_node:
            subprocess.run((CLUSTER, "image", "build"), check=True)
        yield {**os.environ, **exports(tier.instance)}
    finally:
        if not was_there:
            subprocess.run((CLUSTER, "down", "--name", tier.instance), check=False)


def exports(instance: str) -> dict[str, str]:
    """The variables that `cluster env` tells a shell to export."""
    command = (CLUSTER, "env", "--name", instance)
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    pairs = (line.removeprefix("export ").split("=", 1) for line in text.splitlines())
    return {name: os.path.expandvars(value.strip('"')) for name, value in pairs}


def run(tier: Tier) -> Outcome:
    """Run one tier; its last line is kept for the summary."""
    print(f"\n── {tier.name} tests ──", flush=True)
    started = time.monotonic()
    last = ""
    try:
        with environment(tier) as variables:
            command = (sys.executable, "-m", "pytest", "-q", *tier.arguments)
            with subprocess.Popen(
                command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True
            ) as tests:
                for line in tests.stdout or ():
                    print(line, end="", flush=True)
                    last = line.strip() or last
            exit_code = tests.returncode
    except subprocess.CalledProcessError as error:
        exit_code, last = error.returncode, f"no cluster to run on: {' '.join(error.cmd)} failed"
    return Outcome(tier.name, exit_code, last, time.monotonic() - started)


def main() -> int:
    """Run the tiers asked for, all by default; 0 only if every one passed."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument("tiers", nargs="*", metavar="TIER", help=", ".join(t.name for t in TIERS))
    wanted = parser.parse_args().tiers
    if unknown := set(wanted) - {t.name for t in TIERS}:
        parser.error(f"no such tier: {', '.join(sorted(unknown))}")
    outcomes = [run(t) for t in TIERS if not wanted or t.name in wanted]
    print("\n── summary ──")
    for o in outcomes:
        verdict = "passed" if o.exit_code == 0 else "FAILED"
        print(f"{o.tier:<12}{verdict}  {o.closing_line}  ({o.seconds:.0f} s)")
    return max(o.exit_code for o in outcomes)


if __name__ == "__main__":
    sys.exit(main())
