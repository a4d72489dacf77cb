"""Streams of feature values in windows, beside the reference that they are compared with."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Flags = NDArray[np.bool_]
Hours = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]

FEATURES = 30
REFERENCE_ROWS = 10_000
WINDOWS_A_DAY = 144  # of ten minutes
ICC = 0.3  # correlation of two rows of a session


@dataclass(frozen=True, slots=True)
class World:
    """How the windows come about; features are independent and standard normal."""

    name: str
    rows: int = 1000
    """In a window."""
    session: int = 1
    """Rows that come one after the other from one user, and are alike."""
    swing: float = 0.0
    """Amplitude of day and night, in standard deviations; the reference covers whole days."""


STILL = World("still")


def reference(world: World, rng: np.random.Generator) -> Values:
    """The training rows: independent, of all hours of the day."""
    return dated_reference(world, rng)[0]


def dated_reference(
    world: World, rng: np.random.Generator, rows: int = REFERENCE_ROWS
) -> tuple[Values, Hours]:
    """The training rows, and the hour of the day of each."""
    days = rng.random((rows, 1), np.float32)
    noise = rng.standard_normal((rows, FEATURES), np.float32)
    values = np.asarray(noise + world.swing * np.sin(2 * math.pi * days), np.float32)
    return values, (24 * days[:, 0]).astype(np.int64)


def windows(world: World, rng: np.random.Generator, count: int, start: int = 0) -> Values:
    """Windows by rows by features, in which nothing changes but the time of day.

    `start`: how many windows after midnight the first one is.
    """
    values = rng.standard_normal((count, world.rows, FEATURES), np.float32)
    if world.session > 1:
        users = rng.standard_normal((count, world.rows // world.session, FEATURES), np.float32)
        shared = np.repeat(users, world.session, axis=1)
        values = math.sqrt(ICC) * shared + math.sqrt(1 - ICC) * values
    phase = 2 * math.pi * (start + np.arange(count)) / WINDOWS_A_DAY
    level = world.swing * np.sin(phase).astype(np.float32)
    return np.asarray(values + level[:, None, None], np.float32)


def drifting(
    rng: np.random.Generator,
    before: int,
    path: NDArray[np.float64],
    world: World = STILL,
    start: int = 0,
) -> Values:
    """Still windows, then the first feature's mean follows the path, in standard deviations."""
    values = windows(world, rng, before + path.size, start)
    values[before:, :, 0] += path.astype(np.float32)[:, None]
    return values
