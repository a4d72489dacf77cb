"""What stands in the prediction log, and what never does; no store is needed for that."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tidegate.evidence.profile import Profile, make_profile
from tidegate.sidecar.monitor.payloads import Decoded
from tidegate.sidecar.monitor.prediction_log.lines import is_sampled
from tidegate.sidecar.monitor.prediction_log.log import SHARE, PredictionLog
from tidegate.sidecar.monitor.prediction_log.parts import (
    BACKLOG_BYTES,
    OPEN_HOURS,
    PART_BYTES,
    PART_SECONDS,
    Part,
    Parts,
)
from tidegate.sidecar.monitor.prediction_log.redaction import Redaction
from tidegate.sidecar.records import Kind, Record
from tidegate.sidecar.settings import LogSettings

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0
PROFILE = make_profile(
    {"age": np.arange(100.0), "plan": ["basic", "pro"] * 50, "ssn": np.arange(100.0)},
    {"age": "number", "plan": "category", "ssn": "number"},
    [0, 1] * 50,
    "classification",
    {},
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=4),
    lambda parts: st.lists(parts, max_size=2) | st.dictionaries(st.text(max_size=2), parts),
    max_leaves=3,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.worked = 0.0
        self.cost = 0.0
        """What each look at the work done adds to it."""

    def __call__(self) -> float:
        return self.now

    def work(self) -> float:
        self.worked += self.cost
        return self.worked


def settings(percent: int = 100, **more: Any) -> LogSettings:
    return LogSettings("s3://logs/churn/", percent, **more)


def log(
    wanted: LogSettings | None = None,
    *,
    profile: Profile | None = PROFILE,
    clock: Clock | None = None,
) -> PredictionLog:
    wanted, clock = wanted or settings(), clock or Clock()
    parts = Parts("model=churn/revision=churn-1/", "pod-1-20261121T120000")
    redaction = Redaction(profile, wanted)
    return PredictionLog("churn", wanted.percent, redaction, parts, clock, clock.work)


def record(arrival: float = NOON, caller_id: bytes = b"") -> Record:
    return Record(Kind.ANSWERED, arrival=arrival, revision="churn-1", caller_id=caller_id)


def decoded(*rows: tuple[Any, ...], predicted: list[Any] | None = None, id_: str = "") -> Decoded:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return Decoded(columns, predicted if predicted is not None else [1] * len(rows), 1, id_)


def parts_of(written: PredictionLog) -> Iterator[Part]:
    written.parts.close_older_than(float("inf"))
    while part := written.parts.take():
        yield part


def lines_of(part: Part) -> list[dict[str, Any]]:
    text = zstandard.ZstdDecompressor().decompressobj().decompress(part.body)
    assert text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def written_by(wanted: LogSettings, *rows: tuple[Any, ...]) -> list[dict[str, Any]]:
    target = log(wanted)
    target.add(record(), "pod.1.ab", "stable", decoded(*rows))
    (part,) = parts_of(target)
    return lines_of(part)


def test_a_line_says_who_was_asked_what_and_what_it_said() -> None:
    target = log()
    target.add(
        record(NOON + 1.5, b"order-7"),
        "pod-1.1f.00ff",
        "candidate",
        decoded((42, "pro", 7), (None, "basic", 8), predicted=["yes", "no"]),
    )
    (part,) = parts_of(target)
    first, second = lines_of(part)
    assert first == {
        "time": "2026-11-21T12:00:01.500Z",
        "id": "pod-1.1f.00ff",
        "row": 0,
        "callerId": "order-7",
        "model": "churn",
        "revision": "churn-1",
        "track": "candidate",
        "features": {"age": 42, "plan": "pro", "ssn": 7},
        "prediction": "yes",
    }
    assert (second["row"], second["features"]["age"], second["prediction"]) == (1, None, "no")
    assert part.lines == 2


def test_the_id_in_the_payload_is_nearer_to_the_caller_than_a_header() -> None:
    target = log()
    target.add(record(caller_id=b"hop-1"), "i", "stable", decoded((1, "pro", 7), id_="mine"))
    (part,) = parts_of(target)
    assert lines_of(part)[0]["callerId"] == "mine"


def test_text_that_training_never_saw_is_not_written() -> None:
    """It may be anything: a name in the wrong column, an address, a secret."""
    lines = written_by(
        settings(), ("Jane Doe", "12 Elm Street", 1), ("17", "pro", "x"), ([1], {"a": 1}, True)
    )
    assert [line["features"] for line in lines] == [
        {"age": None, "plan": None, "ssn": 1},
        {"age": 17.0, "plan": "pro", "ssn": None},
        {"age": None, "plan": None, "ssn": 1.0},
    ]


def test_a_long_text_is_no_prediction() -> None:
    target = log()
    target.add(record(), "i", "stable", decoded((1, "pro", 1), predicted=["x" * 129]))
    (part,) = parts_of(target)
    assert lines_of(part)[0]["prediction"] is None


def test_redacted_features_are_left_out() -> None:
    (line,) = written_by(settings(redact=frozenset({"ssn"})), (1, "pro", 123456789))
    assert line["features"] == {"age": 1, "plan": "pro"}


def test_pseudonyms_are_the_same_in_every_pod_and_for_every_spelling() -> None:
    wanted = settings(hashed=frozenset({"ssn"}), salt=b"pepper")
    first, second, third = (written_by(wanted, (1, "pro", value))[0] for value in (7, 7.0, 8))
    name = first["features"]["ssn"]
    assert len(name) == 16
    assert name == second["features"]["ssn"] != third["features"]["ssn"]
    other = settings(hashed=frozenset({"ssn"}), salt=b"other")
    assert written_by(other, (1, "pro", 7))[0]["features"]["ssn"] != name


def test_without_a_salt_nothing_is_hashed(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever can try all nine-digit numbers would have them all."""
    (line,) = written_by(settings(hashed=frozenset({"ssn"})), (1, "pro", 7))
    assert line["features"] == {"age": 1, "plan": "pro"}
    assert "TIDEGATE_LOG_SALT" in caplog.text


def test_a_misspelt_redaction_leaves_out_all_features(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (line,) = written_by(settings(redact=frozenset({"snn"})), (1, "pro", 7))
    assert line["features"] is None
    assert "snn" in caplog.text


def test_without_a_profile_only_predictions_are_written() -> None:
    target = log(profile=None)
    target.add(record(), "i", "stable", Decoded([], [1, 0], 0))
    (part,) = parts_of(target)
    assert [(n["features"], n["prediction"]) for n in lines_of(part)] == [(None, 1), (None, 0)]


@given(
    rows=st.lists(st.tuples(ANY, ANY, ANY), min_size=1, max_size=4),
    predicted=ANY.filter(lambda value: not isinstance(value, (list, dict))),
    caller_id=st.binary(max_size=8),
    id_=st.text(st.characters(), max_size=4),
    hashed=st.sets(st.sampled_from(["age", "plan", "ssn"])),
)
def test_every_line_parses(
    rows: list[tuple[Any, ...]], predicted: Any, caller_id: bytes, id_: str, hashed: set[str]
) -> None:
    target = log(settings(hashed=frozenset(hashed), salt=b"s"))
    answer = decoded(*rows, predicted=[predicted] * len(rows), id_=id_)
    target.add(record(caller_id=caller_id), "pod.1.ab", "stable", answer)
    (part,) = parts_of(target)
    lines = lines_of(part)
    assert [line["row"] for line in lines] == list(range(len(rows)))
    assert {tuple(line) for line in lines} == {tuple(lines[0])}
    for line in lines:
        json.dumps(line, allow_nan=False, ensure_ascii=False).encode()  # no half of a character


def test_sampling_depends_on_the_id_alone_and_keeps_its_share() -> None:
    ids = [f"order-{number}" for number in range(20_000)]
    sampled = {id_ for id_ in ids if is_sampled(id_, 10)}
    assert 1_800 < len(sampled) < 2_200
    assert sampled <= {id_ for id_ in ids if is_sampled(id_, 20)}, "more percent, none less"
    assert all(is_sampled(id_, 100) for id_ in ids)
    target = log(settings(10))
    for number, id_ in enumerate(ids[:2_000]):  # the pod's own ids differ, the caller's counts
        target.add(record(caller_id=id_.encode()), f"p.{number}", "stable", decoded((1, "pro", 1)))
    found = {line["callerId"] for part in parts_of(target) for line in lines_of(part)}
    assert found == sampled & set(ids[:2_000])


def test_lines_lie_under_the_hour_in_which_they_were_asked() -> None:
    target = log()
    for arrival in (NOON - 0.001, NOON, NOON + HOUR - 0.001, NOON + 13 * HOUR):
        target.add(record(arrival), "i", "stable", decoded((1, "pro", 1)))
    found = {part.key: len(lines_of(part)) for part in parts_of(target)}
    prefix, pod = "model=churn/revision=churn-1", "pod-1-20261121T120000"
    assert found == {
        f"{prefix}/date=2026-11-21/hour=11/{pod}-000001.jsonl.zst": 1,
        f"{prefix}/date=2026-11-21/hour=12/{pod}-000002.jsonl.zst": 2,
        f"{prefix}/date=2026-11-22/hour=01/{pod}-000003.jsonl.zst": 1,
    }


def parts() -> Parts:
    return Parts("model=churn/", "w")


def noise(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def test_a_part_is_cut_when_it_is_old() -> None:
    target = parts()
    target.add([b"{}\n"], NOON, now=10.0)
    target.close_older_than(10.0 + PART_SECONDS - 1 - PART_SECONDS)
    assert target.take() is None
    target.close_older_than(10.0)
    part = target.take()
    assert part is not None
    assert part.lines == 1


def test_a_part_is_cut_when_it_is_large() -> None:
    target = parts()
    target.add((noise(n, 1 << 16) for n in range(80)), NOON, now=0.0)
    sizes = []
    while part := target.take():
        sizes.append(len(part.body))
    assert len(sizes) == 2
    assert all(PART_BYTES <= size < PART_BYTES + (1 << 18) for size in sizes)


def test_many_hours_at_once_keep_few_parts_open() -> None:
    target = parts()
    for hour in range(OPEN_HOURS + 2):
        target.add([b"{}\n"], NOON + hour * HOUR, now=float(hour))
    closed = [part.key for part in iter(target.take, None)]
    assert [key.split("/")[2] for key in closed] == ["hour=12", "hour=13"]


def test_when_the_store_is_down_the_oldest_lines_go_and_memory_stays() -> None:
    target = parts()
    sent = 0
    for number in range(400):
        target.add([noise(number, 1 << 16)], NOON, now=0.0)
        sent += 1
        assert target.size <= BACKLOG_BYTES + 2 * PART_BYTES
    target.close_older_than(0.0)
    kept = list(iter(target.take, None))
    assert target.dropped + sum(part.lines for part in kept) == sent
    assert target.dropped > 0
    assert int(kept[0].key[-16:-10]) > 1, "the first part is gone"


def test_a_part_that_is_given_back_is_the_next_again() -> None:
    target = parts()
    for number in range(2):
        target.add([b"{}\n"], NOON + number * HOUR, now=0.0)
    target.close_older_than(0.0)
    first = target.take()
    assert first is not None
    target.give_back(first)
    assert target.take() == first


def test_counting_comes_before_logging() -> None:
    """Of every second the log has so much; the rest of the lines is dropped and counted."""
    clock = Clock()
    target = log(clock=clock)
    clock.cost = 0.001
    for _ in range(3_000):
        clock.now += 0.002
        target.add(record(), "i", "stable", decoded((1, "pro", 1)))
    written = 3_000 - target.lines_dropped
    assert sum(part.lines for part in parts_of(target)) == written
    assert SHARE * 0.8 < written * clock.cost / clock.now < SHARE * 1.2
