import gzip
import json

import pytest
from tests.unit.sidecar.harness import CANDIDATE

from tidegate.evidence.paired import Pair
from tidegate.evidence.windows import BlockKey, slot_of
from tidegate.sidecar.monitor.intake import Intake
from tidegate.sidecar.monitor.pairing import judged
from tidegate.sidecar.proxy.ledger import Ledger
from tidegate.sidecar.records import Flag, Kind, Record

NOW = 1_800_000_005.0


def pair(stable: object, candidate: object, status: int = 200, flags: int = 0) -> Record:
    bodies = [b if isinstance(b, bytes) else json.dumps(b).encode() for b in (stable, candidate)]
    record = Record(Kind.PAIRED, flags, status, NOW, 3, revision=CANDIDATE)
    return record._replace(request=bodies[0], response=bodies[1])


def v1(*values: object) -> dict[str, object]:
    return {"predictions": list(values)}


def v2(*values: float) -> dict[str, object]:
    output = {"name": "p", "shape": [len(values)], "datatype": "FP64", "data": list(values)}
    return {"model_version": "2", "outputs": [output]}


@pytest.mark.parametrize(
    ("record", "want"),
    [
        pytest.param(pair(v1(1), v1(1)), Pair.AGREED, id="equal"),
        pytest.param(pair(v1(1, 0), v2(1.0, 0.0)), Pair.AGREED, id="equal, said otherwise"),
        pytest.param(pair(v1("a"), v1("b")), Pair.DIFFERED, id="another label"),
        pytest.param(pair(v1(1, 0, 1), v1(1, 1, 1)), Pair.DIFFERED, id="one row of many"),
        pytest.param(pair(v1(1), v1(1, 1)), Pair.DIFFERED, id="more rows"),
        pytest.param(pair(v1(1), b"<html>"), Pair.DIFFERED, id="no predictions any more"),
        pytest.param(pair(b"<html>", v1(1)), Pair.UNREAD, id="stable gives no predictions"),
        pytest.param(pair(v1(1), v1(1), status=500), Pair.FAILED, id="an error"),
        pytest.param(pair(v1(1), b"", status=0), Pair.FAILED, id="no answer"),
        pytest.param(pair(b"", b"", flags=Flag.NO_ROOM), Pair.DROPPED, id="no room"),
        pytest.param(pair(b"", b"", flags=Flag.TOO_LARGE), Pair.UNREAD, id="too large"),
        pytest.param(
            pair(v1(1), gzip.compress(b'{"predictions": [1]}'), flags=Flag.RESPONSE_GZIP),
            Pair.AGREED,
            id="packed by one",
        ),
        pytest.param(
            pair(b'8\r\n{"outputs\r\n0\r\n\r\n', v1(1), flags=Flag.REQUEST_CHUNKED),
            Pair.UNREAD,
            id="stable broke off",
        ),
    ],
)
def test_what_came_of_a_copy(record: Record, want: Pair) -> None:
    assert judged(record, None) is want


@pytest.mark.parametrize(("other", "want"), [(0.39, Pair.AGREED), (0.41, Pair.DIFFERED)])
def test_numbers_agree_within_a_bin(other: float, want: Pair) -> None:
    assert judged(pair(v1(0.3), v1(other)), (0.2, 0.4)) is want


def taken(*records: Record) -> dict[BlockKey, object]:
    intake = Intake("pod", "churn-stable", None, lambda: NOW)
    intake.take(Record(Kind.HELLO, request=b'{"secret": "00", "firstSlot": 1}'))
    for record in records:
        intake.take(record)
    intake.take(Record(Kind.MARK, arrival=NOW + 60))
    return dict(intake.report(0, 0).windows)


def test_pairs_stand_in_the_candidates_window_and_are_no_requests() -> None:
    ((key, counts),) = taken(pair(v1(1), v1(1)), pair(v1(1), v1(0)), pair(v1(1), v1(0))).items()
    assert key == BlockKey(slot_of(NOW), 3, CANDIDATE)
    assert counts.to_json() == {  # type: ignore[attr-defined]  # counts are an object here
        "requests": 0,
        "errors": {},
        "latency": {},
        "rows": 0,
        "features": [],
        "predictions": {},
        "unparsed": {},
        "dropped": 0,
        "pairs": {"agreed": 1, "differed": 2},
    }


def test_pairs_for_which_the_monitor_had_no_room_are_counted() -> None:
    ledger = Ledger()
    for status in (200, 200, 500, 0):
        ledger.add(pair(v1(1), v1(1), status=status))
    (counts,) = taken(*ledger.drain()).values()
    assert counts.to_json()["pairs"] == {"dropped": 2, "failed": 2}  # type: ignore[attr-defined]
    assert counts.to_json()["requests"] == 0  # type: ignore[attr-defined]
