"""A copy of the decision log: what was decided long ago, also about Models that are gone."""

from collections.abc import Iterator
from pathlib import Path

from tidegate.api.v1alpha1.analysis import Analysis
from tidegate.api.v1alpha1.model_status import DecisionStatus
from tidegate.cli.answer import Answer
from tidegate.cli.why import explained
from tidegate.errors import TerminalError
from tidegate.rollout.decision_line import Logged, parsed

UNKNOWN_SPEC = Analysis(metrics=())  # a line has the numbers, not the spec that asked for them


def why_logged(folder: str, namespace: str | None, model: str, *, last: int) -> Answer:
    """The newest decisions about a Model, in words."""
    chosen = decisions(folder, namespace, model)[-last:]
    lines = [line for d in chosen for line in (*explained(d, UNKNOWN_SPEC), "")]
    return Answer([d.to_api() for d in chosen], "\n".join(lines[:-1]))


def decisions(folder: str, namespace: str | None, model: str) -> list[DecisionStatus]:
    """Oldest first; TerminalError if there are none, or it is not clear about which Model."""
    found = [line for line in _lines(folder) if line.model == model]
    spaces = sorted({line.namespace for line in found})
    if namespace is None and len(spaces) > 1:
        message = f"--log {folder}: {model} is in {', '.join(spaces)}; choose one with -n"
        raise TerminalError("Ambiguous", message)
    chosen = [line.decision for line in found if namespace in (None, line.namespace)]
    if not chosen:
        whose = f"{namespace}/{model}" if namespace else model
        raise TerminalError("NotFound", f"--log {folder}: no decision about {whose} is in there")
    return sorted(chosen, key=lambda d: (d.at, d.id))


def _lines(folder: str) -> Iterator[Logged]:
    if not Path(folder).is_dir():
        message = f"--log {folder}: there is no such folder; copy the bucket's folder to it"
        raise TerminalError("NotFound", message)
    for path in sorted(Path(folder).rglob("*.jsonl")):
        try:
            yield from parsed(path.read_text(encoding="utf-8").splitlines())
        except (ValueError, OSError) as error:
            raise TerminalError("InvalidLog", f"{path}: {error}") from error
