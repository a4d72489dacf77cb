"""What a pod has counted is told before it is gone, and nobody waits for long because of that."""

import asyncio
import math
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.harness import STABLE, Reply, Sidecar, eventually, post, sidecar, total
from tests.unit.sidecar.upstream import upstream

from tidegate.controllers.members import Member
from tidegate.evidence.windows import Report
from tidegate.sidecar.monitor.intake import Intake
from tidegate.sidecar.monitor.web import Numbers
from tidegate.sidecar.records import Kind, Record

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS = 7


class Operator:
    """Asks a pod that is about to end, again and again."""

    def __init__(self, pod: Sidecar) -> None:
        self._pod = pod
        self.member = Member(0.0)
        self.unanswered = 0

    async def ask(self) -> None:
        reply: Reply | None = None
        with suppress(OSError, asyncio.IncompleteReadError):
            reply = await self._pod.numbers(f"/windows?after={self.member.closed_through or 0}")
        if reply is not None and reply.status == 200:
            self.member.take(Report.from_json(reply.json()))
        else:
            self.unanswered += 1

    async def ask_until_it_ends(self) -> None:
        async def has_ended() -> bool:
            await self.ask()
            return self._pod.process.returncode is not None

        await eventually(has_ended)

    @property
    def requests(self) -> int:
        return total(self.member.windows).requests


async def test_the_last_slot_is_told_before_the_pod_is_gone(
    tmp_path: Path, connect: Connect
) -> None:
    patient = {"TIDEGATE_FAREWELL_SECONDS": "20"}  # where the monitor has to wait for its turn
    async with upstream() as model, sidecar(tmp_path, model.port, environment=patient) as pod:
        await pod.monitor_up()
        operator = Operator(pod)
        await operator.ask()
        connection = await connect(pod.port)
        for _ in range(REQUESTS):
            assert (await connection.ask(post({"instances": [[1]]}))).status == 200
        pod.process.send_signal(signal.SIGTERM)
        await operator.ask_until_it_ends()
        assert (operator.requests, operator.member.lost) == (REQUESTS, 0)


async def test_who_is_not_listening_is_not_waited_for(tmp_path: Path) -> None:
    intake = Intake("pod-1", STABLE, None, time.time)
    numbers = Numbers(intake, None, tmp_path)
    intake.take(Record(Kind.ANSWERED, arrival=time.time(), revision=STABLE))
    await numbers.farewell(math.inf)
    assert total(dict(intake.report(0, 0).windows)).requests == 1
