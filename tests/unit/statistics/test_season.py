"""An hour's reference: hand-worked, what is borrowed from the whole, and how far it may be off."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr

from tidegate.statistics.distance import psi, shares
from tidegate.statistics.season import concentration, hourly, sampling_radius

counts = st.lists(st.integers(1, 500), min_size=4, max_size=4)


@given(whole=counts, own=counts, hours=st.integers(2, 24))
def test_hours_that_are_alike_are_compared_with_the_whole(
    whole: list[int], own: list[int], hours: int
) -> None:
    table = np.tile(own, (hours, 1))
    weight = concentration(table)
    assert weight == math.inf
    assert hourly(whole, table, 1, weight).tolist() == whole


@given(table=st.lists(counts, min_size=3, max_size=3))
def test_over_all_hours_the_reference_stays_what_it_is(table: list[list[int]]) -> None:
    """Of the training data itself: what is taken from the hours is how they differ."""
    hours = np.array(table, dtype=float)
    whole, weight = hours.sum(0), concentration(hours)
    rows = hours.sum(1)
    mixed = sum(n * shares(hourly(whole, hours, h, weight)) for h, n in enumerate(rows))
    # Shrunken by the same number of rows each, hours of unlike sizes are off by a little.
    assert float(psi(mixed, whole)) < 0.02


def test_a_world_that_has_moved_is_no_season() -> None:
    """Served are other shares than trained on, at all hours: the reference stays the training's."""
    whole = np.array([500.0, 300.0, 200.0])
    served = np.tile([100, 100, 800], (24, 1))
    assert hourly(whole, served, 3, 50.0) / hourly(whole, served, 3, 50.0).sum() == pytest.approx(
        whole / whole.sum()
    )


def test_an_hour_without_rows_is_the_whole_known_from_little() -> None:
    table = [[0, 0], [90, 10], [10, 90]]
    found = hourly([5000, 5000], table, 0, concentration(table))
    assert found[0] == pytest.approx(found[1])
    assert 0 < found.sum() < 100


@pytest.mark.parametrize("rows", [50, 400])
def test_how_alike_hours_are_is_found_from_their_scatter(rows: int) -> None:
    """Hours drawn around the whole as a Dirichlet distribution of 200 rows does."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(30):
        drawn = rng.dirichlet(200 * np.full(10, 0.1), size=168)
        found.append(concentration([rng.multinomial(rows, p) for p in drawn]))
    assert np.median(found) == pytest.approx(200, rel=0.15)


@pytest.mark.parametrize("chance", [0.05, 0.001])
def test_a_sample_lies_within_its_radius_but_for_the_chance(chance: float) -> None:
    rng = np.random.default_rng(2)
    p = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    drawn = shares(rng.multinomial(500, p, size=20_000))
    outside = (rel_entr(p, drawn).sum(-1) > sampling_radius(5, 500, chance)).mean()
    assert outside == pytest.approx(chance, rel=0.5)


def test_empty_tables_know_nothing() -> None:
    assert concentration(np.zeros((24, 5))) == math.inf
    assert concentration([[5, 5], [0, 0]]) == math.inf
    assert hourly([1, 2], np.zeros((24, 2)), 3, math.inf).tolist() == [1, 2]
