"""Simulated rollouts: what both arms would have counted, slot by slot.

Every request is routed at random. Whatever moves with time (load, error level, the mean of the
scores) moves both arms alike; only `ratio`, `slower` and `shift` set the candidate apart.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tidegate.evidence.latency import BINS, BINS_PER_DOUBLING, FLOOR_SECONDS

Floats = NDArray[np.float64]
Counted = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]

SLOTS = 180  # of ten seconds: half an hour
REQUESTS = 1000  # in a slot, of both arms: a hundred a second
ERROR_RATE = 0.005
MEMORY, WANDER = 0.95, 0.4  # AR(1) of the logarithm of the error rate, its standard deviation
SWING = 0.3  # amplitude of day and night; the half hour is taken for half a day
MEDIAN_SECONDS, SPREAD = 0.04, 0.5  # lognormal latency
TAIL_SHARE, TAIL_FACTOR = 0.02, 10.0  # and a slow path, as of a cold cache: p99 is about 0.4 s
LOAD_WANDER, SCORE_WANDER = 0.05, 0.3  # of log seconds, and of scores whose deviation is 1
SCORE_BINS = 10
RAMP = (0.01, 0.05, 0.10, 0.25, 0.50)


@dataclass(frozen=True, slots=True)
class World:
    """The circumstances of a rollout."""

    name: str
    steps: tuple[float, ...] = (0.05,)
    """The candidate's shares, one after the other, all for the same time."""
    moving: bool = False
    """Whether load and levels move: day and night, and incidents."""
    session: int = 1
    """Requests that are routed, and fail, together."""
    geometric: bool = False
    """Whether the lengths of sessions vary, geometrically around `session`."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Failed and all requests of both arms; runs by slots."""

    k1: Counted
    n1: Counted
    k0: Counted
    n0: Counted


@dataclass(frozen=True, slots=True)
class Histograms:
    """Rows by bin of candidate and stable; runs by slots by bins."""

    h1: Counted
    h0: Counted


def errors(world: World, rng: np.random.Generator, runs: int, ratio: float = 1.0) -> Errors:
    """The candidate fails `ratio` times as often."""
    wander = _wander(world, rng, runs, WANDER) + SWING * _daylight(world)
    rate = ERROR_RATE * np.exp(wander)
    n1, n0 = (n // world.session for n in _routed(world, rng, runs))
    k1, k0 = rng.binomial(n1, np.minimum(rate * ratio, 1.0)), rng.binomial(n0, rate)
    failed1, right1, failed0, right0 = (
        _requests(world, rng, sessions) for sessions in (k1, n1 - k1, k0, n0 - k0)
    )
    return Errors(failed1, failed1 + right1, failed0, failed0 + right0)


def latencies(world: World, rng: np.random.Generator, runs: int, slower: float = 1.0) -> Histograms:
    """All of the candidate's latencies are `slower` times stable's."""
    n1, n0 = _routed(world, rng, runs)
    load = _wander(world, rng, runs, LOAD_WANDER) + 2 * LOAD_WANDER * _daylight(world)
    h1, h0 = (np.empty((runs, SLOTS, BINS), np.int32) for _ in range(2))
    for run in range(runs):
        h0[run] = rng.multinomial(n0[run], _latency_shares(load[run]))
        h1[run] = rng.multinomial(n1[run], _latency_shares(load[run] + math.log(slower)))
    return Histograms(h1, h0)


def predictions(
    world: World, rng: np.random.Generator, runs: int, shift: float = 0.0
) -> Histograms:
    """The candidate's scores are `shift` standard deviations higher; bins are training's tenths."""
    n1, n0 = _routed(world, rng, runs)
    mean = _wander(world, rng, runs, SCORE_WANDER) + SCORE_WANDER * _daylight(world)
    return Histograms(
        rng.multinomial(n1, _score_shares(mean + shift)), rng.multinomial(n0, _score_shares(mean))
    )


def _routed(world: World, rng: np.random.Generator, runs: int) -> tuple[Counted, Counted]:
    """Requests of candidate and stable, in whole sessions."""
    sessions = np.round(REQUESTS / world.session * np.exp(SWING * _daylight(world))).astype(int)
    weights = np.repeat(world.steps, SLOTS // len(world.steps))
    candidate = rng.binomial(sessions, weights, (runs, SLOTS))
    return candidate * world.session, (sessions - candidate) * world.session


def _requests(world: World, rng: np.random.Generator, sessions: Counted) -> Counted:
    """Those of so many sessions."""
    if not world.geometric:
        return world.session * sessions
    beyond = rng.negative_binomial(np.maximum(sessions, 1), 1 / world.session)
    return sessions + np.where(sessions > 0, beyond, 0)


def _daylight(world: World) -> Floats:
    phase = np.linspace(0, math.pi, SLOTS) if world.moving else np.zeros(SLOTS)
    return np.asarray(np.sin(phase))


def _wander(world: World, rng: np.random.Generator, runs: int, deviation: float) -> Floats:
    """A stationary AR(1) for each run; zero in a world that stands still."""
    path = np.zeros((runs, SLOTS))
    if world.moving:
        noise = rng.normal(0.0, deviation, (runs, SLOTS))
        path[:, 0] = noise[:, 0]
        for slot in range(1, SLOTS):
            fresh = math.sqrt(1 - MEMORY**2) * noise[:, slot]
            path[:, slot] = MEMORY * path[:, slot - 1] + fresh
    return path


def _latency_shares(log_load: Floats) -> Floats:
    """The share of each histogram bin, for each slot."""
    upper = math.log(FLOOR_SECONDS) + math.log(2) * np.arange(1, BINS) / BINS_PER_DOUBLING
    z = (upper - math.log(MEDIAN_SECONDS) - log_load[:, None]) / SPREAD
    below = (1 - TAIL_SHARE) * ndtr(z) + TAIL_SHARE * ndtr(z - math.log(TAIL_FACTOR) / SPREAD)
    return np.diff(below, axis=1, prepend=0.0, append=1.0)


def _score_shares(mean: Floats) -> Floats:
    """The share of each tenth of the standard normal, for scores around `mean`."""
    from_tenths = np.array([-1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816])
    return np.diff(ndtr(from_tenths - mean[..., None]), axis=-1, prepend=0.0, append=1.0)
