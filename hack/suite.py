"""Runs the tests on clusters that it brings up and takes down again: `make test`.

The tests on a node mostly wait for pods, so they run beside the other tiers.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster.instance import cache_directory
from hack.clusters import Clusters
from hack.compiled import compile_into
from hack.target import ROOT, TargetError

PROGRESS_SECONDS = 30.0
INTERRUPTED = 130
CHUNK_BYTES = 65536
COMPILER_ABSENT = "if a program or Python.h is missing: sudo apt-get install gcc python3-dev"
REASONS = re.compile(r"^(?:FAILED|ERROR) .*|^error: .*(?:\n .*)*", re.MULTILINE)
SHOWN_REASONS, REASON_CHARACTERS = 5, 300
FINISHED_TESTS = re.compile(rb"^[.FEsxX]+", re.MULTILINE)  # a letter for each in pytest's output


@dataclass(frozen=True, slots=True)
class Tier:
    """A folder of tests, or another check, and the cluster that they need."""

    name: str
    arguments: tuple[str, ...]
    program: tuple[str, ...] = (sys.executable, "-m", "pytest", "-q")
    instance: str = ""
    """The local cluster it runs on; none, if empty."""
    has_node: bool = False
    prefix: str = ""
    """Of the namespaces on the node; tiers that run beside each other differ."""
    is_compiled: bool = False
    """With the request path in C, as the image of the sidecar has it."""

    def is_among(self, wanted: Collection[str]) -> bool:
        """Whether it is asked for; `e2e` means all that begins so."""
        return self.name in wanted or self.name.partition("-")[0] in wanted


LINT = Tier("lint", ("lint",), program=("make", "--no-print-directory"))
UNIT = Tier("unit", ())
# A control plane of its own: two runs on a machine leave each other alone.
INTEGRATION = Tier("integration", ("tests/integration",), instance=f"test-{os.getpid()}")


def _on_node(prefix: str, *names: str) -> Tier:
    files = tuple(f"tests/e2e/test_{name}.py" for name in names)
    return Tier(f"e2e-{prefix}", files, instance="default", has_node=True, prefix=prefix)


E2E_TROUBLES = _on_node("troubles", "at_rest", "faults", "foreign_cluster", "routing", "troubles")
E2E_EVIDENCE = _on_node("evidence", "counts", "prometheus")
E2E = Tier(
    "e2e",
    (
        "tests/e2e",
        *(f"--ignore={file}" for file in (*E2E_TROUBLES.arguments, *E2E_EVIDENCE.arguments)),
    ),
    instance="default",
    has_node=True,
    prefix="e2e",
)
SOAK = Tier("soak", ("tests/soak",))
COMPILED = Tier("compiled", ("tests/unit/sidecar",), is_compiled=True)
# About ten minutes each; all but the last one mostly wait, for pods and for time to pass.
LANES = ((E2E,), (LINT, E2E_TROUBLES), (E2E_EVIDENCE,), (INTEGRATION,), (UNIT, COMPILED, SOAK))


@dataclass(slots=True)
class Run:
    """A tier that runs or has ended."""

    tier: Tier
    is_shown_live: bool
    started: float = field(default_factory=time.monotonic)
    output: bytearray = field(default_factory=bytearray)
    exit_code: int | None = None
    seconds: float = 0.0

    def take(self, data: bytes) -> None:
        self.output += data
        if self.is_shown_live:
            _show(data)

    def end(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.seconds = time.monotonic() - self.started
        if not self.is_shown_live:
            _show(f"\n── {self.tier.name} tests ──\n".encode() + self.output)

    @property
    def progress(self) -> str:
        if self.tier is LINT:
            return self.tier.name
        finished = sum(map(len, FINISHED_TESTS.findall(self.output)))
        return f"{finished} {self.tier.name} tests"

    @property
    def summary(self) -> str:
        text = self.output.decode(errors="replace").strip()
        closing_line = text.rpartition("\n")[2].strip()
        took = f"({self.seconds:.0f} s)"
        if self.exit_code == 0:
            return f"{self.tier.name:<14}passed  {closing_line}  {took}"
        reasons = _reasons(text)
        known = bool(reasons) and closing_line in reasons[-1]
        head = f"{self.tier.name:<14}FAILED  {'' if known else f'{closing_line}  '}{took}"
        return head + "".join(f"\n{textwrap.indent(reason, '    ')}" for reason in reasons)


def _reasons(text: str) -> list[str]:
    """What failed, for those who see only the end of a long log."""
    found = [reason[:REASON_CHARACTERS] for reason in REASONS.findall(text)]
    if len(found) > SHOWN_REASONS:
        found[SHOWN_REASONS:] = [f"and {len(found) - SHOWN_REASONS} more: see above"]
    return found


@asynccontextmanager
async def environment(tier: Tier, clusters: Clusters) -> AsyncIterator[Mapping[str, str]]:
    """The environment of a tier's tests; a cluster that was made for it goes with it."""
    if tier.is_compiled:
        with tempfile.TemporaryDirectory() as folder:
            try:
                await asyncio.to_thread(compile_into, Path(folder))
            except subprocess.CalledProcessError as error:
                raise TargetError(f"{error.stdout}{error.stderr}{COMPILER_ABSENT}") from error
            yield os.environ | {"PYTHONPATH": folder}
        return
    if not tier.instance:
        # A clean clone need not analyse every library anew: what is kept is checked by content.
        yield os.environ | {"MYPY_CACHE_DIR": str(cache_directory() / "mypy")}
        return
    async with clusters.use(tier.instance, has_node=tier.has_node) as variables:
        yield {**variables, "TIDEGATE_E2E_PREFIX": tier.prefix} if tier.prefix else variables


async def run(ended: Run, clusters: Clusters) -> None:
    """Run one tier to its end, into the record of it."""
    command = (*ended.tier.program, *ended.tier.arguments)
    pipe = asyncio.subprocess.PIPE
    try:
        async with environment(ended.tier, clusters) as variables:
            tests = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=variables, stdout=pipe, start_new_session=True
            )
            try:
                while tests.stdout and (data := await tests.stdout.read(CHUNK_BYTES)):
                    ended.take(data)
                exit_code = await tests.wait()
            except asyncio.CancelledError:
                with suppress(ProcessLookupError):
                    tests.send_signal(signal.SIGINT)  # once: a second one cuts its tidying short
                await tests.communicate()
                raise
    except TargetError as error:
        ended.take(f"error: {error}\n".encode())
        exit_code = 1
    ended.end(exit_code)


async def run_all(lanes: list[list[Tier]]) -> list[Run]:
    """Run the lanes side by side, and the tiers of each one after another."""
    runs: list[Run] = []
    clusters = Clusters()

    async def run_lane(lane: list[Tier]) -> None:
        for tier in lane:
            runs.append(begun := Run(tier, is_shown_live=len(lanes) == 1))
            await run(begun, clusters)

    async def tell() -> None:
        begun = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            done = ", ".join(r.progress for r in runs if r.exit_code is None)
            print(f"… {time.monotonic() - begun:.0f} s: done so far {done}", flush=True)

    telling = asyncio.create_task(tell()) if len(lanes) > 1 else None
    try:
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(run_lane(lane))
    finally:
        if telling is not None:
            telling.cancel()
    return runs


def main() -> int:
    """Run the tiers asked for, all by default; 0 only if every one passed."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    names = [tier.name for lane in LANES for tier in lane]
    parser.add_argument("tiers", nargs="*", metavar="TIER", help=", ".join(names))
    wanted = parser.parse_args().tiers or names
    if unknown := set(wanted) - set(names):
        parser.error(f"no such tier: {', '.join(sorted(unknown))}")
    if os.environ.pop("KUBECONFIG", None):
        print("the tests end processes and read the API server's log: they use local clusters only")
    # However the run is ended, what it brought up is taken down again; also where a shell has
    # started it in the background and told it, and all its children, to ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    chosen = [[tier for tier in lane if tier.is_among(wanted)] for lane in LANES]
    try:
        runs = asyncio.run(run_all([lane for lane in chosen if lane]))
    except KeyboardInterrupt:
        return INTERRUPTED
    print("\n── summary ──")
    for ended in runs:
        print(ended.summary)
    return max(ended.exit_code or 0 for ended in runs)


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
