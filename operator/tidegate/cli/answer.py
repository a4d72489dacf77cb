"""What a command answers: data for programs, text for people."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

Output = Literal["text", "wide", "json", "yaml"]

DONE, DIFFERS, MISTAKE, UNREACHABLE = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Answer:
    """`data` is JSON; `wide` is the text with more columns, if that makes a difference."""

    data: Any
    text: str
    wide: str = ""
    code: int = DONE


def rendered(answer: Answer, output: Output) -> str:
    """The answer in the form that was asked for."""
    match output:
        case "json":
            return json.dumps(answer.data, indent=2)
        case "yaml":
            return str(yaml.safe_dump(answer.data, sort_keys=False)).rstrip()
        case "wide":
            return answer.wide or answer.text
        case "text":
            return answer.text


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as kubectl aligns them; what is empty is shown as a dash.

    >>> print(table(["NAME", "WEIGHT"], [["churn", "10"], ["fraud", ""]]))
    NAME    WEIGHT
    churn   10
    fraud   -
    """
    lines = [list(head), *([cell or "-" for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
