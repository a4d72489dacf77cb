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
    blocks = [(k.revision, np.array(c.features[0])) for k, c in rollout.windows.items()]
    candidate = np.sum([bins for revision, bins in blocks if revision == ARMS.candidate], axis=0)
    everybody = np.sum([bins for _, bins in blocks], axis=0)
    assert candidate[0] / everybody[0] < 0.07 < 0.15 < candidate[9] / everybody[9]
    assert candidate.sum() / everybody.sum() < 0.13


def test_fixed_bars_take_a_moved_world_for_a_bad_candidate() -> None:
    rollout = simulate(Trouble(concept=True), np.random.default_rng(3))
    assert thresholds.decide(rollout) == (True, True)
