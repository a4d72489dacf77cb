"""The lines of the log: one for each predicted row, and which answers have theirs written."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import orjson

from tidegate.sidecar.monitor.prediction_log.redaction import prediction

_SPACE = 1 << 64


def is_sampled(id_: str, percent: int) -> bool:
    """Whether the answer with this id is written: the same in every pod and at every time."""
    digest = hashlib.blake2b(id_.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") * 100 < percent * _SPACE


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the model, as the log knows it."""

    arrival: float
    """Unix time of the request."""
    id: str
    """The answer's x-tidegate-id."""
    caller_id: str | None
    """What the caller calls the request, if anything."""
    model: str
    revision: str
    track: str
    features: Sequence[Mapping[str, Any] | None]
    """One for each row; None where they are not known or must not be written."""
    predicted: Sequence[Any]


def lines(answer: Answer) -> Iterator[bytes]:
    """The lines of an answer, each with its end of line."""
    moment = datetime.fromtimestamp(answer.arrival, UTC).replace(tzinfo=None)
    when = f"{moment.isoformat(timespec='milliseconds')}Z"
    for row, (features, predicted) in enumerate(
        zip(answer.features, answer.predicted, strict=True)
    ):
        yield _line(
            {
                "time": when,
                "id": answer.id,
                "row": row,
                "callerId": answer.caller_id,
                "model": answer.model,
                "revision": answer.revision,
                "track": answer.track,
                "features": features,
                "prediction": prediction(predicted),
            }
        )


def _line(content: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        return json.dumps(_plain(content)).encode() + b"\n"


def _plain(content: Any) -> Any:
    """What every reader of JSON takes: no NaN, no infinity, no half of a character."""
    match content:
        case dict():
            return {key: _plain(value) for key, value in content.items()}
        case float() if not isfinite(content):
            return None
        case str():
            return content.encode(errors="replace").decode()
        case _:
            return content
