"""Recordings as files: parts join, what is broken is named."""

import asyncio
import gzip
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.patience import DEADLINE_SECONDS
from tests.unit.cli.scenes import Known, drifting, recording_of, rollout
from tests.unit.controllers.model.scenes import NEW, OLD, model
from typing_extensions import override

from tidegate.cli.record import follow, record
from tidegate.cli.recordings import load, load_one, save
from tidegate.errors import TerminalError, TransientError
from tidegate.evidence.recording import Recording


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


def test_a_model_of_several_namespaces_wants_one_chosen(tmp_path: Path) -> None:
    churn = drifting(minutes=2, since=99)
    save(churn, str(tmp_path))
    assert load_one(str(tmp_path), None, "churn").namespace == "growth"
    save(replace(churn, namespace="risk"), str(tmp_path))
    with pytest.raises(TerminalError, match="churn is in growth, risk; choose one with -n"):
        load_one(str(tmp_path), None, "churn")
    assert load_one(str(tmp_path), "risk", "churn").namespace == "risk"


def test_a_folder_without_parts_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="make some with `record`"):
        load(str(tmp_path))
    with pytest.raises(TerminalError, match="no such folder"):
        load(str(tmp_path / "absent"))


DAMAGED = gzip.compress(b"{}", mtime=0)[:10] + b"\xff" * 12  # no such block of compressed data


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"{}"), gzip.compress(b"["), DAMAGED]
)
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


class Growing(Known):
    """An operator that fails once, and knows one minute more whenever it is asked."""

    minutes = 0

    @override
    async def evidence(self, model: str, *, after: int = 0, labels_after: int = 0) -> Recording:
        self.minutes += 1
        if self.minutes == 2:
            raise TransientError("no leader yet")
        whole = drifting(minutes=self.minutes, since=99)
        return replace(whole, windows={k: c for k, c in whole.windows.items() if k.slot > after})


async def test_a_recorder_adds_what_is_new_and_outlives_failures(tmp_path: Path) -> None:
    known, told = Growing([model()]), list[str]()
    every = timedelta(milliseconds=10)
    going_on = asyncio.create_task(
        follow(known, "churn", out=str(tmp_path), every=every, tell=told.append)
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(told) < 4:  # noqa: ASYNC110 - it is written in a thread
            await asyncio.sleep(0.01)
    going_on.cancel()
    assert "will try again" in told[1]
    assert all("requests" in line for line in (told[0], told[2], told[3]))
    whole = load_one(str(tmp_path), "growth", "churn")
    slots = sorted(k.slot for k in whole.windows)
    assert slots == list(range(slots[0], slots[-1] + 1)), "no slot is missing between the parts"


async def test_a_recorder_outlives_an_object_store_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        known, told = Known([model()], recording=drifting(minutes=2, since=99)), list[str]()
        every = timedelta(milliseconds=10)
        going_on = asyncio.create_task(
            follow(known, "churn", out="s3://logs/churn", every=every, tell=told.append)
        )
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(told) < 2 and not going_on.done():  # noqa: ASYNC110 - told by a thread
                await asyncio.sleep(0.01)
        assert not going_on.done()
        going_on.cancel()
    assert all("will try again" in line for line in told)
