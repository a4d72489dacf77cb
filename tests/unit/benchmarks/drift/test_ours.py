"""The drift benchmark judges windows as the operator does, and counts delays from the change."""

import numpy as np
from benchmarks.drift import alarms, ours, streams
from benchmarks.drift.worlds import World, dated_reference, reference, windows

WORLD = World("small", rows=300)
BEFORE = 2


def test_a_shift_alarms_from_its_window_on_and_nothing_before() -> None:
    rng = np.random.default_rng(1)
    values = windows(WORLD, rng, BEFORE + 2)[:, :, :3]
    values[BEFORE:, :, 0] += 1.5
    profile = ours.profile_of(reference(WORLD, rng)[:, :3])
    found = ours.flags([ours.policy("0.1")], profile, values)
    assert found[:, 0].tolist() == [False, False, True, True]


def test_hours_of_a_profile_and_hours_learned_keep_the_night_from_alarming() -> None:
    world, rng = World("swings", rows=300, swing=1.0), np.random.default_rng(1)
    values, hours = dated_reference(world, rng)
    dated, plain = ours.profile_of(values[:, :1], hours), ours.profile_of(values[:, :1])
    hourly, day = ours.policy("0.1", "HourOfDay"), windows(world, rng, 36)[:, :, :1]
    learned = ours.learned_from(plain, hourly, windows(world, rng, 144)[:, :, :1])
    assert ours.flags([ours.policy("0.1")], dated, day)[6:].mean() > 0.5
    assert not ours.flags([hourly], dated, day).any()
    assert not ours.flags([hourly], plain, day, learned).any()


def test_a_delay_is_the_median_of_what_was_found() -> None:
    never = np.inf
    assert alarms.delay_of([1.0, 2.0, 4.0]) == "2"
    assert alarms.delay_of([1.0, 2.0, never]) == "2, 67 %"
    assert alarms.delay_of([1.0, never, never]) == "33 % seen"
    assert alarms.delay_of([never]) == "never"


def test_a_jump_of_the_error_rate_alarms_within_a_slot() -> None:
    rng = np.random.default_rng(1)
    errors = np.concatenate([rng.random(streams.STILL) < 0.1, rng.random(500) < 0.9])
    first, *_ = streams.alarms(errors)
    assert first == streams.STILL + streams.SLOT - 1
