"""From copied bodies to columns: what the model was asked, and what it predicted.

Bodies come from anybody. Whatever they are, `decode` ends in bounded time and memory, with rows
or with the reason why there are none.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tidegate.sidecar.monitor.payloads import csv_rows, openai, rows, tensors
from tidegate.sidecar.monitor.payloads.content import document, unwrapped
from tidegate.sidecar.monitor.payloads.table import Columns, UnparsedError, check_size
from tidegate.sidecar.records import Flag, Record

__all__ = ["Columns", "Decoded", "UnparsedError", "decode"]

_REASONS = (
    (Flag.TOO_LARGE, "too_large"),
    (Flag.NO_ROOM, "no_room"),
    (Flag.INCOMPLETE, "incomplete"),
    (Flag.OTHER_ENCODING, "encoding"),
)
_UNREADABLE = Flag.TOO_LARGE | Flag.NO_ROOM | Flag.INCOMPLETE | Flag.OTHER_ENCODING


class Decoded(NamedTuple):
    """Equally many rows of features and of predictions; no features if there is no profile."""

    columns: Columns
    predicted: list[Any]
    size: int
    """Bytes of the unpacked request: about what its values keep in memory."""
    caller_id: str = ""
    """What the request calls itself, if it does."""
    completion: openai.Completion | None = None
    """What is told of an answer that is made of tokens; its request is never read."""
    scores: list[Any] | None = None
    """Probabilities of the second label, where they were wanted and the answer has them."""


class _Said(NamedTuple):
    """What an answer tells."""

    predicted: list[Any]
    completion: openai.Completion | None = None
    scores: list[Any] | None = None


def decode(record: Record, names: Sequence[str], *, scored: bool = False) -> Decoded:
    """The columns of the features `names`, the predictions, and if they are wanted the scores.

    Raise UnparsedError if either can't be told; without names only the answer is read.
    """
    flags = record.flags
    if flags & _UNREADABLE:
        raise UnparsedError(next(reason for flag, reason in _REASONS if flags & flag))
    answer = unwrapped(
        record.response,
        chunked=bool(flags & Flag.RESPONSE_CHUNKED),
        gzipped=bool(flags & Flag.RESPONSE_GZIP),
    )
    predicted, completion, scores = _said(answer, scored=scored)
    if completion is not None:
        columns = completion.columns(names, record.latency) if names else []
        return Decoded(columns, predicted, openai.ROW_BYTES, completion=completion)
    if not names:
        return Decoded([], predicted, 0, scores=scores)
    question = unwrapped(
        record.request,
        chunked=bool(flags & Flag.REQUEST_CHUNKED),
        gzipped=bool(flags & Flag.REQUEST_GZIP),
    )
    columns, caller_id = _asked(question, names)
    if len(columns[0]) != len(predicted):
        raise UnparsedError("row_count")
    return Decoded(columns, predicted, len(question), caller_id, scores=scores)


def _asked(content: bytes, names: Sequence[str]) -> tuple[Columns, str]:
    """The columns of a request's features, None in every row for an absent one; and its id."""
    if not content.startswith((b"{", b"[")):
        return csv_rows.features(content, names), ""
    found, rest = document(content)
    match found:
        case {"inputs": [*listed]} if tensors.is_tensors(listed):
            id_ = found.get("id")
            return tensors.features(listed, rest, names), id_ if isinstance(id_, str) else ""
    return rows.features(found, names), ""


def predictions(content: bytes) -> list[Any]:
    """One prediction for each row of an answer."""
    return _said(content, scored=False).predicted


def _said(content: bytes, *, scored: bool) -> _Said:
    if openai.is_stream(content):
        completion = openai.from_stream(content)
        return _Said([completion.end], completion)
    found, rest = document(content)
    if "object" in found and (answer := openai.from_document(found)) is not None:
        return _Said([answer.end], answer)
    return _values(found, rest, scored=scored)


def _values(found: dict[str, Any], rest: bytes, *, scored: bool) -> _Said:
    scores = None
    match found:
        case {"outputs": [*listed]} if tensors.is_tensors(listed):
            values = tensors.predictions(listed, rest)
            scores = tensors.scores(listed, rest, len(values)) if scored else None
        case _:
            values = rows.predictions(found)
    check_size(len(values), 1)
    if not {list, dict}.isdisjoint(map(type, values)):
        raise UnparsedError("predictions")
    return _Said(values, scores=scores)
