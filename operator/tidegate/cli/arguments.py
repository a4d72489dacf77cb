"""The command line: what can be asked, and how."""

import argparse
import math
import re
from datetime import timedelta

from tidegate.api.meta import DURATION_PATTERN, duration

EXITS = """
exit codes:
  0  done
  1  a decision did not come out the same in a replay
  2  the question can't be answered as it stands: the message names what to change
  3  the cluster or the object store did not answer: it may the next time
"""
EVIDENCE = """
The evidence is read through a port forwarded to the operator's pod, as `kubectl port-forward`
does. In the operator's namespace get on leases, get and create on pods/portforward are needed.
"""


def parser() -> argparse.ArgumentParser:
    """Everything that `kubectl tidegate` understands."""
    common = _common()
    root = argparse.ArgumentParser(
        prog="kubectl tidegate",
        description="What Tidegate has decided and why, and what it would decide.",
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, summary: str, detail: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=detail + EXITS,
            parents=[common],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    status = command("status", "show all Models with their rollouts")
    status.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")

    why = command("why", "explain each decision about a Model, and what it waits for")
    why.add_argument("model", metavar="MODEL")
    why.add_argument(
        "--last", type=_whole, default=20, metavar="N", help="the newest N decisions (20)"
    )
    _add_log(why)
    _add_plan(command("plan", "foretell how long a rollout takes at the present traffic", EVIDENCE))
    _add_record(command("record", "keep a Model's windows in a folder or bucket", EVIDENCE))

    replay = command("replay", "take recorded decisions again from recorded windows")
    replay.add_argument("model", metavar="MODEL")
    _add_windows(replay, required=True)
    replay.add_argument("--decision", metavar="ID", help="only this one, such as d-0007")
    _add_log(replay)

    backtest = command("backtest", "tell what a DriftPolicy or a Model's analysis would decide")
    backtest.add_argument(
        "-f",
        dest="files",
        action="append",
        required=True,
        metavar="FILE",
        help="a YAML file with a DriftPolicy or a Model; give two to compare them",
    )
    _add_windows(backtest, required=True)
    backtest.add_argument("--model", metavar="MODEL", help="only this one of the recorded Models")
    backtest.add_argument("--plot", metavar="FILE", help="draw the drift into FILE (.svg or .html)")
    return root


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-n", "--namespace", metavar="NAME", help="the context's, if not given")
    common.add_argument(
        "-o",
        "--output",
        choices=("text", "wide", "json", "yaml"),
        default="text",
        help="text for people (default), or data",
    )
    common.add_argument("--kubeconfig", metavar="FILE", help="instead of KUBECONFIG")
    common.add_argument("--context", metavar="NAME", help="of the kubeconfig")
    common.add_argument(
        "--operator-namespace",
        metavar="NAME",
        default="tidegate-system",
        help="where the operator runs (tidegate-system)",
    )
    return common


def _add_plan(plan: argparse.ArgumentParser) -> None:
    what = plan.add_mutually_exclusive_group(required=True)
    what.add_argument("model", metavar="MODEL", nargs="?", help="a Model in the cluster")
    what.add_argument("-f", dest="file", metavar="FILE", help="a YAML file with the Model to be")
    _add_windows(plan, required=False)
    plan.add_argument(
        "--requests-per-second",
        type=_positive,
        metavar="R",
        help="plan for this traffic instead of the present one",
    )
    plan.add_argument(
        "--error-rate",
        type=_share,
        metavar="P",
        help="with this share of errors on stable, such as 0.002",
    )
    plan.add_argument(
        "--sizes",
        type=_sizes,
        default=(2.0, 5.0),
        metavar="A,B",
        help="regressions to find, in tolerances (2,5)",
    )


def _add_record(record: argparse.ArgumentParser) -> None:
    record.add_argument("model", metavar="MODEL")
    record.add_argument("--out", required=True, metavar="DIR", help="a folder, or s3://bucket/path")
    record.add_argument(
        "--every",
        type=_duration,
        metavar="TIME",
        help="go on, and add what is new every TIME, such as 10m",
    )


def _add_windows(command: argparse.ArgumentParser, *, required: bool) -> None:
    command.add_argument(
        "--windows",
        required=required,
        metavar="DIR",
        help="a recording: the folder, or s3://bucket/path, that `record` has written to",
    )


def _add_log(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--log", metavar="DIR", help="take the decisions from a copy of the decision log"
    )


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 or more")
    return int(text)


def _positive(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not larger than 0")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value


def _sizes(text: str) -> tuple[float, ...]:
    sizes = tuple(_positive(part) for part in text.split(","))
    if any(size <= 1 for size in sizes):
        raise argparse.ArgumentTypeError(
            "a size must be larger than 1: what is within the tolerance is not looked for"
        )
    return sizes


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return value


def _duration(text: str) -> timedelta:
    if not re.fullmatch(DURATION_PATTERN, text) or not duration(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s or 10m")
    return duration(text)
