"""One rollout of each kind of trouble, as the attribution benchmark decides it."""

import numpy as np
import pytest
from benchmarks.attribution import ours, thresholds
from benchmarks.attribution.worlds import ARMS, Trouble, simulate

from tidegate.rollout.attribution import Remedy


@pytest.mark.parametrize(
    ("trouble", "candidate", "world"),
    [
        pytest.param(Trouble(zeroed=True), Remedy.ROLL_BACK, Remedy.GO_ON, id="candidate"),
        pytest.param(Trouble(concept=True), Remedy.GO_ON, Remedy.RETRAIN, id="world"),
    ],
)
def test_whose_fault_it_is(trouble: Trouble, candidate: Remedy, world: Remedy) -> None:
    decided = ours.decide(simulate(trouble, np.random.default_rng(3)))
    assert (decided.candidate, decided.world) == (candidate, world)


def test_skewed_routing_sends_other_users_and_as_many() -> None:
    rollout = simulate(Trouble(skew=0.5), np.random.default_rng(3))
    counts = {
        arm: np.sum([c.features[0] for k, c in rollout.windows.items() if k.revision == arm], 0)
        for arm in (ARMS.candidate, ARMS.stable)
    }
    share = counts[ARMS.candidate] / (counts[ARMS.candidate] + counts[ARMS.stable] + 1e-9)
    assert share[0] < 0.07 < 0.15 < share[9]
    assert counts[ARMS.candidate].sum() / sum(c.sum() for c in counts.values()) < 0.13


def test_fixed_bars_take_a_moved_world_for_a_bad_candidate() -> None:
    rollout = simulate(Trouble(concept=True), np.random.default_rng(3))
    assert thresholds.decide(rollout) == (True, True)
