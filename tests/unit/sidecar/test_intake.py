"""The monitor's state, fed with records under a clock of our own."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.sidecar.harness import STABLE, routing, total

from tidegate.evidence.encode import SPECIAL_BINS
from tidegate.evidence.ids import InferenceId, nonce
from tidegate.evidence.profile import Profile, make_profile
from tidegate.evidence.ranking import Ranking
from tidegate.evidence.windows import SLOT_SECONDS, BlockKey, Labels, Report
from tidegate.sidecar.monitor import book
from tidegate.sidecar.monitor.answers import SIZE, VOCABULARY_LIMIT, Answers, Outcome
from tidegate.sidecar.monitor.intake import Intake
from tidegate.sidecar.monitor.metrics import SidecarMetrics
from tidegate.sidecar.records import Kind, Record

SECRET = b"s" * 32
START = 1_800_000_000.0
SLOT = int(START) // SLOT_SECONDS
NAMES = st.sampled_from(
    ["age", "instances", "inputs", "predictions", "outputs", "name", "shape", "data", "x"]
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(), NAMES),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(NAMES, parts, max_size=4),
    max_leaves=8,
)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def profile(task: str = "classification") -> Profile:
    predictions = [0, 1] * 50 if task == "classification" else np.arange(100.0)
    return make_profile(
        {"age": np.arange(100.0)},
        {"age": "number"},
        predictions,
        "classification" if task == "classification" else "regression",
        {},
    )


def intake(clock: Clock, reference: Profile | None = None) -> Intake:
    monitor = Intake("m", STABLE, reference, clock)
    hello = {"secret": SECRET.hex(), "firstSlot": SLOT}
    monitor.take(Record(Kind.HELLO, request=json.dumps(hello).encode()))
    return monitor


def answered(
    sequence: int, arrival: float, *predicted: object, age: object = 50, generation: int = 0
) -> Record:
    return Record(
        Kind.ANSWERED,
        status=200,
        arrival=arrival,
        sequence=sequence,
        latency=0.01,
        generation=generation,
        revision=STABLE,
        request=json.dumps({"instances": [{"age": age}] * len(predicted)}).encode(),
        response=json.dumps({"predictions": predicted}).encode(),
    )


def reported(monitor: Intake, clock: Clock, after: int = 0, counted: int = 0) -> Report:
    """What it reports when the proxy has told the time."""
    monitor.take(Record(Kind.MARK, arrival=clock.now, sequence=counted))
    return monitor.report(after, 0)


def id_of(sequence: int) -> InferenceId:
    return InferenceId("m", sequence, nonce(SECRET, sequence))


def test_a_slot_closes_two_seconds_after_its_end_and_never_changes_again(clock: Clock) -> None:
    monitor = intake(clock, profile())
    monitor.take(answered(1, START, 1))
    clock.now = START + 11.9
    assert reported(monitor, clock).windows == {}
    clock.now = START + 12
    report = reported(monitor, clock, counted=1)
    assert (report.closed_through, report.first_slot) == (SLOT, SLOT)
    assert [k.slot for k in report.windows] == [SLOT]
    monitor.take(answered(2, START + 5, 1))
    assert reported(monitor, clock, counted=2) == report
    clock.now = START + 22
    later = reported(monitor, clock, SLOT)
    assert [k.slot for k in later.windows] == [SLOT + 1], "the late one counts in the next slot"
    assert total(dict(reported(monitor, clock).windows)).requests == 2


def test_a_late_reader_counts_requests_in_the_slot_in_which_they_arrived(clock: Clock) -> None:
    monitor = intake(clock, profile())
    clock.now = START + 50
    assert monitor.report(0, 0).closed_through < SLOT, "its own clock closes nothing"
    for sequence, slot in enumerate((SLOT, SLOT, SLOT + 1)):
        monitor.take(answered(sequence, slot * SLOT_SECONDS + 5.0, 1))
    report = reported(monitor, clock, counted=3)
    assert {k.slot: n.requests for k, n in report.windows.items()} == {SLOT: 2, SLOT + 1: 1}


def test_what_earlier_monitors_took_with_them_is_counted(clock: Clock) -> None:
    monitor = intake(clock, profile())
    assert reported(monitor, clock, counted=40).counted == 40, "all of them were sent to others"
    monitor.take(answered(41, START, 1))
    assert reported(monitor, clock, counted=41).counted == 40, "the slot is still open"
    clock.now += 20
    monitor.take(answered(42, clock.now, 1))
    assert reported(monitor, clock, counted=42).counted == 41


def test_rows_are_counted_in_the_profiles_bins(clock: Clock) -> None:
    reference = profile()
    monitor = intake(clock, reference)
    monitor.take(answered(1, START, 1, 0, age=50))
    monitor.take(answered(2, START, 1, age=None))
    monitor.take(answered(3, START, 1, age=9e9))
    monitor.take(answered(4, START, 1, age="old"))
    clock.now += 20
    (counts,) = reported(monitor, clock).windows.values()
    assert counts.features[0][-SPECIAL_BINS:] == (1, 1, 1)
    assert sum(counts.features[0]) == counts.rows == 5
    assert len(counts.features[0]) == len(reference.features[0].counts)
    assert counts.predictions == {"1": 4, "0": 1}


def test_more_labels_than_are_told_apart_are_no_drift(clock: Clock) -> None:
    labels = [f"c{n:03d}" for n in range(VOCABULARY_LIMIT + 100)]
    ages = np.arange(float(len(labels)))
    seen = make_profile({"age": ages}, {"age": "number"}, labels, "classification", {})
    monitor = intake(clock, seen)
    monitor.take(answered(1, START, *labels))
    found = {metric.name: metric.samples for metric in SidecarMetrics(monitor, None).collect()}
    (drift,) = found["tidegate_prediction_drift"]
    assert drift.value < 0.001


def test_half_of_a_character_is_no_label_and_spoils_no_report(clock: Clock) -> None:
    monitor = intake(clock)
    monitor.take(answered(1, START, "\ud83d", "cat"))
    clock.now += 20
    report = Report.from_json(orjson.loads(orjson.dumps(reported(monitor, clock).to_json())))
    (counts,) = report.windows.values()
    assert counts.predictions == {"other": 1, "cat": 1}


def test_numeric_predictions_use_the_edges_that_both_arms_share(clock: Clock) -> None:
    monitor = intake(clock, profile("regression"))
    monitor.take(answered(1, START, 55.0))
    document = routing(2, prediction_edges=(10.0, 60.0)).to_json().encode()
    monitor.take(Record(Kind.ROUTING, request=document))
    monitor.take(answered(2, START, 55.0, None, generation=2))
    clock.now += 20
    first, second = (n.predictions for _, n in sorted(reported(monitor, clock).windows.items()))
    assert first == {"5": 1}
    assert second == {"1": 1, "invalid": 1}
    assert monitor.label(id_of(1), [52.0]) is Outcome.ACCEPTED
    assert monitor.label(id_of(2), [12.0, None]) is Outcome.ACCEPTED
    labels = reported(monitor, clock).labels
    assert [n for _, n in sorted(labels.items())] == [Labels(1, 0), Labels(1, 0)]


def test_labels_belong_to_the_block_of_the_answer(clock: Clock) -> None:
    monitor = intake(clock, profile())
    monitor.take(answered(7, START, 1, generation=3))
    clock.now += 3600
    assert monitor.label(id_of(7), [0]) is Outcome.ACCEPTED
    assert reported(monitor, clock).labels == {(SLOT, 3, STABLE): Labels(1, 1)}
    assert monitor.label(id_of(7), [0]) is Outcome.DUPLICATE
    assert monitor.label(id_of(8), [0]) is Outcome.UNKNOWN
    assert monitor.label(id_of(7)._replace(nonce="0" * 16), [0]) is Outcome.FORGED
    monitor.take(answered(9, clock.now, 1))
    clock.now += 86400 + 2 * SLOT_SECONDS
    assert reported(monitor, clock).labels_closed_through >= SLOT + 360
    assert monitor.label(id_of(9), [0]) is Outcome.LATE
    refused = {"duplicate": 1, "unknown": 1, "forged": 1, "late": 1}
    assert reported(monitor, clock).refused == refused


RANKING = Ranking(("0", "1"), (0.3, 0.6), (8, 4, 1), (1, 4, 8))


def scored(sequence: int, *scores: object, shape: tuple[int, ...] = (2,)) -> Record:
    """The labels and the probabilities of so many rows."""
    rows = [0 if s is None else round(float(str(s))) for s in scores]
    both = [value for s in scores for value in (0.5, s)]
    outputs = [
        {"name": "predict", "datatype": "INT64", "shape": [len(rows)], "data": rows},
        {"name": "p", "datatype": "FP64", "shape": [len(rows), *shape], "data": both},
    ]
    record = answered(sequence, START, *rows)
    return record._replace(response=json.dumps({"outputs": outputs}).encode())


def test_labels_are_counted_by_the_bin_of_the_score(clock: Clock) -> None:
    monitor = intake(clock, replace(profile(), ranking=RANKING))
    monitor.take(scored(1, 0.1, 0.3, 0.9, 0.7))
    monitor.take(scored(2, 0.2, None))
    assert monitor.label(id_of(1), [0, 1, "1", None]) is Outcome.ACCEPTED
    assert monitor.label(id_of(2), [1, 0]) is Outcome.ACCEPTED
    (labels,) = reported(monitor, clock).labels.values()
    assert labels == Labels(5, 2, ((0, 1, 1), (1, 0, 1), (2, 0, 1)))
    report = Report.from_json(orjson.loads(orjson.dumps(reported(monitor, clock).to_json())))
    assert list(report.labels.values()) == [labels]


def test_a_label_that_training_never_saw_is_wrong_and_has_no_rank(clock: Clock) -> None:
    monitor = intake(clock, replace(profile(), ranking=RANKING))
    monitor.take(scored(1, 0.1, 0.9))
    assert monitor.label(id_of(1), ["2", 1]) is Outcome.ACCEPTED
    assert list(reported(monitor, clock).labels.values()) == [Labels(2, 1, ((2, 0, 1),))]


@pytest.mark.parametrize(
    "answer",
    [answered(1, START, 0, 1), scored(1, 0.1, 0.9, shape=(1, 2))],
    ids=["labels alone", "not a table"],
)
def test_answers_without_scores_are_right_or_wrong_and_nothing_else(
    clock: Clock, answer: Record
) -> None:
    monitor = intake(clock, replace(profile(), ranking=RANKING))
    monitor.take(answer)
    assert monitor.label(id_of(1), [0, 0]) is Outcome.ACCEPTED
    assert list(reported(monitor, clock).labels.values()) == [Labels(2, 1)]


def test_a_model_without_a_ranking_keeps_no_scores(clock: Clock) -> None:
    monitor = intake(clock, profile())
    monitor.take(scored(1, 0.1, 0.9))
    assert monitor.label(id_of(1), [0, 0]) is Outcome.ACCEPTED
    assert list(reported(monitor, clock).labels.values()) == [Labels(2, 1)]


def test_numeric_predictions_are_scores_themselves(clock: Clock) -> None:
    ranking = Ranking(("0", "1"), (30.0, 60.0), (8, 4, 1), (1, 4, 8))
    monitor = intake(clock, replace(profile("regression"), ranking=ranking))
    monitor.take(answered(1, START, 10.0, 45.0, 80.0))
    assert monitor.label(id_of(1), [0, 1, 1]) is Outcome.ACCEPTED
    (labels,) = reported(monitor, clock).labels.values()
    assert labels.ranked == ((0, 1, 0), (1, 0, 1), (2, 0, 1))


def test_windows_are_kept_for_an_hour_and_the_loss_is_told(clock: Clock) -> None:
    monitor = intake(clock, profile())
    for minute in range(120):
        clock.now = START + 60 * minute
        reported(monitor, clock)
        monitor.take(answered(minute, clock.now, 1))
    report = reported(monitor, clock)
    assert 58 <= len(report.windows) <= 61
    assert min(k.slot for k in report.windows) >= report.first_slot > SLOT


def test_made_up_generations_take_no_more_than_their_share_of_memory(clock: Clock) -> None:
    monitor = intake(clock, profile())
    for n in range(1000):
        monitor.take(answered(n, START, 1, generation=10_000 + n))
    clock.now += 20
    windows = reported(monitor, clock).windows
    assert len(windows) <= 65
    assert total(dict(windows)).requests == 1000


def test_a_model_with_endless_labels_takes_bounded_memory(clock: Clock) -> None:
    monitor = intake(clock)
    for n in range(1000):
        monitor.take(answered(n, START, f"text {n}"))
    clock.now += 20
    (counts,) = reported(monitor, clock).windows.values()
    assert len(counts.predictions) == 257
    assert counts.predictions["other"] == 1000 - 256
    assert monitor.label(id_of(999), ["text 999"]) is Outcome.ACCEPTED
    assert list(reported(monitor, clock).labels.values()) == [Labels(0, 0)]


@given(
    question=JSON,
    answer=st.one_of(JSON, st.builds(lambda rows: {"predictions": rows}, st.lists(JSON))),
)
@example({"age": None, "instances": []}, {"age": None, "predictions": []})
def test_no_payload_brings_the_monitor_down(question: Any, answer: Any) -> None:
    monitor = intake(Clock(), profile())
    bodies = json.dumps(question).encode(), json.dumps(answer).encode()
    record = answered(1, START)._replace(request=bodies[0], response=bodies[1])
    monitor.take(record)
    monitor.take(record._replace(request=b'{"inputs":[%b]}' % bodies[0]))
    monitor.take(record._replace(request=b'{"instances":[%b]}' % bodies[0]))
    assert sum(monitor.totals.requests.values()) == 3
    seen = monitor.totals.rows + sum(monitor.totals.unparsed.values())
    has_no_rows = isinstance(answer, dict) and [] in (
        answer.get("predictions"),
        answer.get("outputs"),
    )
    assert seen >= 3 or has_no_rows


def test_every_failure_has_its_class(clock: Clock) -> None:
    monitor = intake(clock)
    for kind, status in (
        (Kind.ANSWERED, 503),
        (Kind.ANSWERED, 400),
        (Kind.ANSWERED, 422),
        (Kind.ANSWERED, 404),
        (Kind.UNREACHABLE, 0),
        (Kind.TIMEOUT, 504),
    ):
        monitor.take(Record(kind, status=status, arrival=START, revision=STABLE))
    clock.now += 20
    (counts,) = reported(monitor, clock).windows.values()
    assert counts.requests == 6
    assert counts.errors == {"5xx": 1, "rejected": 2, "unreachable": 1, "timeout": 1}
    assert sum(counts.latency.values()) == 4


def test_the_rings_forget_what_was_overwritten() -> None:
    answers = Answers(("0", "1"))
    key = BlockKey(SLOT, 1, STABLE)
    answers.put(5, key, [1], None)
    answers.put(5 + SIZE, key, [0], None)
    assert answers.label(5, [1], START, 1e9) is Outcome.UNKNOWN
    answers.put(6, key, [0] * (SIZE - 1), None)
    answers.put(7, key, [1, 0, 1], None)
    assert answers.label(6, [0] * (SIZE - 1), START, 1e9) is Outcome.UNKNOWN
    assert answers.label(7, ["1", "0", "0"], START, 1e9) is Outcome.ACCEPTED
    assert answers.labels[key] == Labels(3, 1)
    assert answers.label(7, ["1", "0", "0"], START, 1e9) is Outcome.DUPLICATE


def wide(features: int) -> Profile:
    columns = {f"f{i}": np.arange(100.0) for i in range(features)}
    return make_profile(
        columns, dict.fromkeys(columns, "number"), [0, 1] * 50, "classification", {}
    )


def fill(monitor: Intake, clock: Clock, features: int, slots: int) -> None:
    """One more request in each slot than in the one before it."""
    rows = json.dumps({"instances": [[50] * features]}).encode()
    sequence = 0
    for slot in range(slots):
        for _ in range(slot + 1):
            sequence += 1
            monitor.take(answered(sequence, clock.now, 1)._replace(request=rows))
        clock.now += SLOT_SECONDS
    clock.now += SLOT_SECONDS
    monitor.take(Record(Kind.MARK, arrival=clock.now, sequence=sequence))


def test_many_windows_are_told_in_turns_none_left_out_and_none_told_twice(clock: Clock) -> None:
    features, slots = 1000, 20
    monitor = intake(clock, wide(features))
    fill(monitor, clock, features, slots)
    told: dict[BlockKey, int] = {}
    report = monitor.report(0, 0)
    while True:
        assert len(report.windows) < slots / 2
        assert not told.keys() & report.windows.keys()
        assert all(sum(f) == n.requests for n in report.windows.values() for f in n.features)
        told |= {key: n.requests for key, n in report.windows.items()}
        assert report.counted == sum(told.values()), "those up to where it tells, and no others"
        if not report.more:
            break
        report = monitor.report(report.closed_through, 0)
    assert [told[key] for key in sorted(told)] == [slot + 1 for slot in range(slots)]
    assert report.closed_through == monitor.book.closed_through


def test_windows_that_find_no_room_are_lost_and_told(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, slots = 100, 30
    monkeypatch.setattr(book, "MEMORY_LIMIT_BYTES", 10 * (book.BLOCK_BYTES + 13 * features))
    monitor = intake(clock, wide(features))
    fill(monitor, clock, features, slots)
    report = monitor.report(0, 0)
    assert [n.requests for _, n in sorted(report.windows.items())] == list(range(21, 31))
    assert report.first_slot == SLOT + 20
    lost = report.counted - sum(n.requests for n in report.windows.values())
    assert lost == sum(range(1, 21))
