"""The scatter that driftfdr's streams are judged by."""

import numpy as np
import pytest
from benchmarks.drift.scenarios import dispersion


def test_dispersion_is_one_for_independent_rows_and_the_size_of_clusters() -> None:
    rng = np.random.default_rng(5)
    r = np.array([0.4, 0.3, 0.2, 0.1])
    alone = rng.multinomial(1000, r, 200)
    in_tens = 10 * rng.multinomial(100, r, 200)
    assert 1 <= dispersion(alone, r) < 1.2
    assert dispersion(in_tens, r) == pytest.approx(10, rel=0.15)
    assert dispersion([[0, 0]], [0.5, 0.5]) == 1.0
