"""Do stable and the candidate answer a request alike?"""

from typing import Any

from tidegate.evidence.encode import prediction_keys
from tidegate.evidence.paired import Pair
from tidegate.sidecar.monitor.answers import Edges
from tidegate.sidecar.monitor.payloads import UnparsedError, predictions
from tidegate.sidecar.monitor.payloads.content import unwrapped
from tidegate.sidecar.records import Flag, Record

_UNREADABLE = Flag.TOO_LARGE | Flag.INCOMPLETE | Flag.OTHER_ENCODING


def judged(record: Record, edges: Edges) -> Pair:
    """What came of a shadow copy. Numbers agree if they fall in the same bin of `edges`."""
    flags = record.flags
    if flags & Flag.NO_ROOM:
        return Pair.DROPPED
    if unseen(record.status) is Pair.FAILED:
        return Pair.FAILED
    if flags & _UNREADABLE:
        return Pair.UNREAD
    try:
        stable = _predicted(
            record.request,
            chunked=bool(flags & Flag.REQUEST_CHUNKED),
            gzipped=bool(flags & Flag.REQUEST_GZIP),
        )
    except UnparsedError:
        return Pair.UNREAD
    try:
        candidate = _predicted(
            record.response,
            chunked=bool(flags & Flag.RESPONSE_CHUNKED),
            gzipped=bool(flags & Flag.RESPONSE_GZIP),
        )
    except UnparsedError:
        return Pair.DIFFERED
    same = prediction_keys(stable, edges) == prediction_keys(candidate, edges)
    return Pair.AGREED if same else Pair.DIFFERED


def unseen(status: int) -> Pair:
    """What came of a copy of whose answer only the status is known."""
    return Pair.DROPPED if 200 <= status < 300 else Pair.FAILED


def _predicted(answer: bytes, *, chunked: bool, gzipped: bool) -> list[Any]:
    return predictions(unwrapped(answer, chunked=chunked, gzipped=gzipped))
