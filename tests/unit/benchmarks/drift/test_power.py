"""The benchmark of power asks the operator's own judgement of single windows."""

import numpy as np
from benchmarks.drift.power import CHANGES, POLICIES, ROWS, breaches


def test_what_is_far_outside_the_reference_is_found_and_nothing_is_not() -> None:
    rng = np.random.default_rng(1)
    reference, still = rng.standard_normal((2, ROWS))
    nothing, far = breaches(reference, still, CHANGES["far tail"](rng, (ROWS,)))
    assert nothing == [False] * len(POLICIES)
    assert far[-1]
