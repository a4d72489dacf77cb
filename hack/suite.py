"""Runs the tests tier by tier, on clusters that it brings up and takes down again: `make test`."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from hack.target import ROOT, TargetError, reach, release


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
    # A control plane of its own: two runs on a machine leave each other alone.
    Tier("integration", ("tests/integration",), instance=f"test-{os.getpid()}"),
    Tier("e2e", ("tests/e2e",), instance="default", has_node=True),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tier ended."""

    tier: str
    exit_code: int
    closing_line: str
    seconds: float


@contextmanager
def environment(tier: Tier) -> Iterator[Mapping[str, str]]:
    """The environment of a tier's tests; a cluster that was made for it goes with it."""
    if not tier.instance:
        yield os.environ
        return
    target = reach(tier.instance, has_node=tier.has_node)
    try:
        yield target.environment
    finally:
        if target.made:
            release(target.made)


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
    except TargetError as error:
        exit_code, last = 1, f"no cluster to run on: {error}"
    return Outcome(tier.name, exit_code, last, time.monotonic() - started)


def main() -> int:
    """Run the tiers asked for, all by default; 0 only if every one passed."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument("tiers", nargs="*", metavar="TIER", help=", ".join(t.name for t in TIERS))
    wanted = parser.parse_args().tiers
    if unknown := set(wanted) - {t.name for t in TIERS}:
        parser.error(f"no such tier: {', '.join(sorted(unknown))}")
    # However the run is ended, what it brought up is taken down again.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        outcomes = [run(t) for t in TIERS if not wanted or t.name in wanted]
    except KeyboardInterrupt:
        return 130
    print("\n── summary ──")
    for o in outcomes:
        verdict = "passed" if o.exit_code == 0 else "FAILED"
        print(f"{o.tier:<12}{verdict}  {o.closing_line}  ({o.seconds:.0f} s)")
    return max(o.exit_code for o in outcomes)


if __name__ == "__main__":
    sys.exit(main())
