from itertools import pairwise
from random import Random

import pytest
from tests.unit.sidecar.harness import CANDIDATE, STABLE, routing

from tidegate.sidecar.proxy.split import Split, Tcp

LOCAL = Tcp("127.0.0.1", 8000)


def split(revision: str = STABLE) -> Split:
    return Split(revision, LOCAL, Random(1).random)


def test_without_a_document_everything_is_local() -> None:
    route = split().choose(None)
    assert route == (LOCAL, 0, STABLE, False)


def test_the_candidates_share_is_drawn_for_each_request() -> None:
    weighted = split()
    weighted.apply(routing(2, 99, 20))
    routes = [weighted.choose(None) for _ in range(20_000)]
    assert {r.revision for r in routes} == {STABLE, CANDIDATE}
    assert sum(r.forwarded for r in routes) == pytest.approx(4000, abs=300)
    in_a_row = sum(a.forwarded and b.forwarded for a, b in pairwise(routes))
    assert in_a_row == pytest.approx(800, abs=150), "the draws are independent"


def test_a_mark_that_makes_no_sense_still_stops_the_loop() -> None:
    weighted = split()
    weighted.apply(routing(2, 99, 100))
    assert weighted.choose(b"1").generation == 1
    assert weighted.choose(b"junk") == (LOCAL, 2, STABLE, False)
    assert weighted.choose(b"9" * 30).generation == 2


def test_a_rolled_back_candidate_forwards_to_stable() -> None:
    candidate = split(CANDIDATE)
    candidate.apply(routing(1, 99, 20))
    assert candidate.choose(None).forwarded is False
    candidate.apply(routing(2, stable_port=88))
    assert candidate.choose(None) == (Tcp("127.0.0.1", 88), 2, STABLE, True)
