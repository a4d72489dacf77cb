"""Recordings as files: parts join, what is broken is named."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli.scenes import Known, drifting, recording_of, rollout
from tests.unit.controllers.model.scenes import NEW, OLD

from tidegate.cli.record import record
from tidegate.cli.recordings import load, load_one, save
from tidegate.errors import TerminalError


def test_parts_that_overlap_join_to_the_whole(tmp_path: Path) -> None:
    whole = drifting(minutes=10, since=99)
    first, last = whole.slots or (0, 0)
    for low, high in ((first, first + 40), (first + 30, last)):
        windows = {k: c for k, c in whole.windows.items() if low <= k.slot <= high}
        labels = {k: n for k, n in whole.labels.items() if k.slot <= high}
        save(replace(whole, windows=windows, labels=labels, closed_through=high), str(tmp_path))
    assert load_one(str(tmp_path), "growth", "churn") == whole


def test_models_are_kept_apart(tmp_path: Path) -> None:
    churn = drifting(minutes=2, since=99)
    save(churn, str(tmp_path))
    save(replace(churn, model="fraud"), str(tmp_path))
    assert set(load(str(tmp_path))) == {("growth", "churn"), ("growth", "fraud")}


def test_a_model_that_is_not_in_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    save(drifting(minutes=2, since=99), str(tmp_path))
    with pytest.raises(TerminalError, match="nothing of growth/fraud in there, only of growth/ch"):
        load_one(str(tmp_path), "growth", "fraud")


def test_a_folder_without_parts_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="make some with `record`"):
        load(str(tmp_path))
    with pytest.raises(TerminalError, match="no such folder"):
        load(str(tmp_path / "absent"))


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"{}"), gzip.compress(b"[")])
def test_a_broken_part_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "growth.churn.1-2.json.gz").write_bytes(content)
    with pytest.raises(TerminalError, match=r"growth\.churn\.1-2\.json\.gz is no part"):
        load(str(tmp_path))


async def test_record_keeps_the_model_without_the_state_of_its_tests(tmp_path: Path) -> None:
    story = rollout({OLD.name: 0.001, NEW.name: 0.001}, looks=6)
    assert story.model.status.rollout is not None
    assert story.model.status.rollout.cursor
    known = Known([story.model], recording=replace(recording_of(story), snapshots=()))
    answer = await record(known, "churn", out=str(tmp_path))
    kept = load_one(str(tmp_path), "growth", "churn")
    (snapshot,) = kept.snapshots
    assert snapshot.status.decisions == story.model.status.decisions
    assert snapshot.status.rollout is not None
    assert not snapshot.status.rollout.cursor
    assert kept.windows == story.windows
    assert answer.data["requests"] == sum(c.requests for c in story.windows.values())


async def test_nothing_to_record_is_said(tmp_path: Path) -> None:
    story = rollout({OLD.name: 0.0, NEW.name: 0.0}, looks=0)
    with pytest.raises(TerminalError, match="no pod of churn has reported"):
        await record(Known([story.model]), "churn", out=str(tmp_path))
