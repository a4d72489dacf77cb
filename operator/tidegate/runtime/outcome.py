"""How a program in a pod ends: its exit code, and one JSON line that the operator reads."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.errors import TerminalError

TERMINATION_BYTES = 4096  # the kubelet keeps no more than this
# With the URI, digests and metrics these keep the line below the kubelet's limit in any alphabet.
MESSAGE_CHARACTERS = 800
WARNING_CHARACTERS = 180
WARNINGS = 5


class StageError(TerminalError):
    """What the user asked for can't be done; `field` is where in the TrainingJob it stands."""

    def __init__(self, reason: str, message: str, *, field: str = "") -> None:
        super().__init__(reason, message)
        self.field = field


def success(stage: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The line of a stage that did what it should."""
    line = {"stage": stage, "ok": True, **summary}
    if "warnings" in summary:
        line["warnings"] = [_cut(w, WARNING_CHARACTERS) for w in summary["warnings"][:WARNINGS]]
    return line


def failure(stage: str, reason: str, message: str, *, field: str = "") -> dict[str, Any]:
    """The line of a stage that failed."""
    line: dict[str, Any] = {"stage": stage, "ok": False, "reason": reason}
    if field:
        line["field"] = field
    return {**line, "message": _cut(message, MESSAGE_CHARACTERS)}


def report(line: Mapping[str, Any], log: Path) -> None:
    """Print the line, and leave it where the kubelet picks it up; without a kubelet print only."""
    text = json.dumps(line, ensure_ascii=False, allow_nan=False)
    print(text, flush=True)
    try:
        log.write_bytes(text.encode()[:TERMINATION_BYTES])
    except OSError as error:
        print(f"{log} can't be written, the line above is the only record: {error}", flush=True)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
