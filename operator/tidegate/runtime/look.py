"""A look of a MultivariateDrift signal: the log's rows of an interval beside the reference's."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.api.meta import parse_timestamp
from tidegate.api.names import Reason
from tidegate.clients.objectstore import ObjectStore
from tidegate.errors import TerminalError
from tidegate.evidence.encode import label_text, numbers
from tidegate.runtime.logged_rows import LoggedRow, logged_rows
from tidegate.runtime.reference import REFERENCE, read_reference
from tidegate.runtime.two_sample import LEVELS, Sample, tell_apart
from tidegate.statistics.floats import Floats

VARIABLE = "TIDEGATE_LOOK"
ROWS = 4000  # recent ones: half of them show an AUC that is 0.05 beyond its bound
VALUES = 1_000_000  # of the recent rows: fewer rows of a wide table
FEWEST_ROWS = 500  # of the widest one
FEWEST_REQUESTS = 20  # rows of fewer requests are all alike, and say nothing of the others
NAME_CHARACTERS = 100  # the kubelet keeps 4 KiB of what is reported


@dataclass(frozen=True, slots=True)
class Question:
    """What the operator wants to know."""

    folder: str
    """The log of the revision."""
    after: datetime
    through: datetime
    min_samples: int
    include: frozenset[str]
    """All features if empty."""
    exclude: frozenset[str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Question":
        """The question that the operator put into the pod's environment."""
        try:
            data = json.loads(environment[VARIABLE])
            return cls(
                folder=str(data["folder"]),
                after=parse_timestamp(data["after"]),
                through=parse_timestamp(data["through"]),
                min_samples=int(data["minSamples"]),
                include=frozenset(data["include"]),
                exclude=frozenset(data["exclude"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            message = f"the environment variable {VARIABLE} holds no question: {error!r}"
            raise TerminalError(Reason.INVALID_SPEC, message) from error


def look(
    question: Question, model: Path, store: ObjectStore, scratch: Path, *, patience: float
) -> dict[str, object]:
    """Compare, and say how well the rows can be told apart."""
    reference = read_reference(model / REFERENCE)
    chosen = [n for n in reference if _is_chosen(n, question)]
    limit = min(ROWS, max(VALUES // max(len(chosen), 1), FEWEST_ROWS))
    needed = min(question.min_samples, limit)  # a policy for counts may ask for millions
    rows = logged_rows(
        store,
        question.folder,
        question.after,
        question.through,
        limit=limit,
        scratch=scratch,
        patience=patience,
    )
    requests = len({r.request for r in rows})
    print(f"{len(rows)} rows of {requests} requests", flush=True)
    if len(rows) < needed or requests < FEWEST_REQUESTS:
        message = (
            f"{len(rows)} rows of {requests} requests are in the log of this interval; "
            f"{needed} rows of {FEWEST_REQUESTS} requests are needed."
        )
        return {"samples": len(rows), "message": message}
    logged = {name for row in rows for name in row.features}  # a redacted one is in no row
    found = tell_apart(_sample([n for n in chosen if n in logged], reference, rows))
    return {
        "auc": round(found.auc, 4),
        "samples": found.samples,
        "clustering": round(found.clustering, 2),
        "top": [[name[:NAME_CHARACTERS], round(lost, 4)] for name, lost in found.top],
    }


def _is_chosen(name: str, question: Question) -> bool:
    wanted = not question.include or name in question.include
    return wanted and name not in question.exclude


def _sample(
    names: Sequence[str], reference: Mapping[str, NDArray[Any]], rows: Sequence[LoggedRow]
) -> Sample:
    if not names:
        message = "the log and the reference rows have no feature in common that is looked at"
        raise TerminalError(Reason.DATA_INVALID, message)
    columns, categories = [], []
    for place, name in enumerate(names):
        known = reference[name]
        recent = [row.features.get(name) for row in rows]
        if known.dtype == np.object_:
            categories.append(place)
            columns.append(_ranks([*known, *recent]))
        else:
            columns.append(_singles([*known, *recent]))
    _, numbered = np.unique([f"{r.time} {r.request}" for r in rows], return_inverse=True)
    return Sample(tuple(names), np.column_stack(columns), tuple(categories), len(rows), numbered)


def _singles(values: Sequence[Any]) -> Floats:
    """In single precision: clients send 0.1 in either, and nothing else must tell them apart."""
    found, _ = numbers(values)
    limit = float(np.finfo(np.float32).max)
    return np.clip(found, -limit, limit).astype(np.float32).astype(np.float64)


def _ranks(values: Sequence[Any]) -> Floats:
    """Levels as numbers, by how common they are in both samples together."""
    texts = [label_text(v) for v in values]
    common = Counter(t for t in texts if t is not None).most_common(LEVELS)
    ranks = {text: rank for rank, (text, _) in enumerate(common)}
    return np.array([np.nan if t is None else ranks.get(t, LEVELS) for t in texts])
