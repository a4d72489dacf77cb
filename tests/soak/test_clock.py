"""A pod on a node whose clock is wrong, as the operator sees it: real sidecar, real client."""

import time
from pathlib import Path

import pytest
from tests.patience import DEADLINE_SECONDS
from tests.soak.pods import pod
from tests.unit.sidecar.harness import KEY, STABLE, eventually

from tidegate.api.meta import ObjectKey
from tidegate.clients.sidecars import Sidecars, Target
from tidegate.controllers.collector import Collector, Gathered
from tidegate.evidence.windows import slot_of

MODEL = ObjectKey("Model", "growth", "churn")

pytestmark = pytest.mark.timeout(3 * DEADLINE_SECONDS)


@pytest.mark.parametrize("ahead", [-600.0, 60.0, 86400.0], ids=["behind", "ahead", "a day ahead"])
async def test_a_wrong_clock_is_measured_and_the_pod_heard_again_once_it_is_right(
    ahead: float, tmp_path: Path
) -> None:
    async with pod(tmp_path, "pod-s", STABLE, {}) as skewed:
        sidecars = Sidecars(KEY, time.time)
        collector = Collector(sidecars, time.monotonic, lambda _: None)
        target = Target("pod-s", f"127.0.0.1:{skewed.sidecar.control}", STABLE, ready=True)

        def gathered() -> Gathered:
            return collector.gathered(MODEL)

        async def is_left_out() -> bool:
            return bool(gathered().skews)

        async def is_heard() -> bool:
            closed = gathered().closed_through
            return not gathered().skews and closed is not None and closed >= begun

        try:
            skewed.set_clock(ahead)
            collector.follow(MODEL, (target,), after=0, every=0.2, generation=0, envelope=None)
            await eventually(is_left_out)
            assert gathered().skews["pod-s"] == pytest.approx(ahead, abs=25)
            assert gathered().closed_through is None
            assert gathered().silent == ()
            skewed.set_clock(0.0)
            begun = slot_of(time.time())
            await eventually(is_heard)
        finally:
            await collector.close()
            await sidecars.close()
