from itertools import pairwise
from math import sqrt
from random import Random

import pytest
from tests.unit.sidecar.harness import CANDIDATE, MARK_KEY, STABLE, mark, post, routing

from tidegate.evidence.windows import UNDRAWN
from tidegate.sidecar.proxy.heads import RequestHead, parse_request
from tidegate.sidecar.proxy.split import Route, Split, Tcp
from tidegate.traffic.marks import Kind
from tidegate.traffic.routing import Match

LOCAL = Tcp("127.0.0.1", 8000)
HERE, UNCOMPARED = Route(LOCAL, 2, STABLE), Route(LOCAL, UNDRAWN, STABLE)


def split(revision: str = STABLE) -> Split:
    return Split(revision, LOCAL, Random(1).random)


def asked(*lines: str) -> RequestHead:
    return parse_request(post(b"", "/p", *lines))


PLAIN = asked()


def test_without_a_document_everything_is_local() -> None:
    assert split().choose(PLAIN) == Route(LOCAL, 0, STABLE)


@pytest.mark.parametrize("weight", [1, 20, 50])
def test_weights_are_exact_over_100_000_requests(weight: int) -> None:
    weighted = split()
    weighted.apply(routing(2, 99, weight))
    routes = [weighted.choose(PLAIN).revision == CANDIDATE for _ in range(100_000)]
    share = weight / 100
    bound = 4.5 * sqrt(100_000 * share * (1 - share))  # one run in 150,000 lies beyond
    assert abs(sum(routes) - 100_000 * share) < bound
    twice = sum(a and b for a, b in pairwise(routes))
    # The pairs overlap, so that their sum varies more than one of independent pairs.
    spread = sqrt(100_000 * share**2 * (1 + 2 * share - 3 * share**2))
    assert abs(twice - 100_000 * share**2) < 4.5 * spread, "the draws are independent"


def test_only_a_genuine_mark_counts_under_its_generation() -> None:
    weighted = split()
    weighted.apply(routing(2, 99, 100))
    assert weighted.choose(asked(mark(Kind.LOT, 1))) == Route(LOCAL, 1, STABLE)
    for forged in ("1", "junk", "9" * 30, "1.lot.", f"1.lot.{'0' * 16}", "1.lot.é"):
        assert weighted.choose(asked(f"x-tidegate-routed: {forged}")) == UNCOMPARED
    assert weighted.choose(asked(mark(Kind.LOT, 1, b"other"))) == UNCOMPARED
    twice = mark(Kind.LOT, 1)
    assert weighted.choose(asked(twice, twice)) == UNCOMPARED
    assert weighted.choose(asked(mark(Kind.LOT, 1).replace(": 1.", ": 2."))) == UNCOMPARED


def test_without_a_key_no_mark_is_genuine() -> None:
    assert split().choose(asked(mark(Kind.LOT, 1, b""))) == UNCOMPARED


def test_a_request_that_was_handed_on_is_drawn_for_once_and_never_handed_on_again() -> None:
    stable, third = split(), split("churn-old")
    for pod in (stable, third):
        pod.apply(routing(2, 99, 100, stable_port=88))
    handed = third.choose(PLAIN)
    assert (handed.target, handed.revision) == (Tcp("127.0.0.1", 88), STABLE)
    assert handed.generation == UNDRAWN, "should it fail, that is no evidence against stable"
    again = asked(handed.mark.decode())
    assert stable.choose(again).revision == CANDIDATE
    assert third.choose(again).mark == b"", "two pods of old revisions don't play ping-pong"


def test_a_copy_is_answered_and_not_counted() -> None:
    candidate = split(CANDIDATE)
    candidate.apply(routing(2, 99, 0))
    route = candidate.choose(asked(mark(Kind.SHADOW, 2)))
    assert (route.target, route.mark, route.counted) == (LOCAL, b"", False)


def test_what_reaches_a_candidates_pod_directly_is_no_evidence() -> None:
    candidate = split(CANDIDATE)
    candidate.apply(routing(1, 99, 20))
    assert candidate.choose(PLAIN) == UNCOMPARED._replace(revision=CANDIDATE)


def test_a_rolled_back_candidate_forwards_to_stable() -> None:
    candidate = split(CANDIDATE)
    candidate.apply(routing(2, stable_port=88))
    route = candidate.choose(PLAIN)
    assert (route.target, route.revision) == (Tcp("127.0.0.1", 88), STABLE)
    assert route.mark.decode() == mark(Kind.HANDED, 2)


def test_requests_without_the_sticky_header_are_drawn() -> None:
    sticky = split()
    sticky.apply(routing(2, 99, 50, sticky="x-user"))
    fixed = {sticky.choose(asked("x-user: 7")).revision for _ in range(50)}
    assert len(fixed) == 1
    assert {sticky.choose(PLAIN).revision for _ in range(50)} == {STABLE, CANDIDATE}


def test_every_pod_assigns_a_session_alike() -> None:
    pods = [split(), split()]
    for pod in pods:
        pod.apply(routing(2, 99, 50, sticky="x-user"))
    for user in range(100):
        head = asked(f"X-User:  {user} ")
        assert pods[0].choose(head) == pods[1].choose(head)


def test_a_match_wins_over_the_weight_and_the_session() -> None:
    pod = split()
    pod.apply(routing(2, 99, 0, sticky="x-user", match=(Match("X-Tester", "yes"),)))
    matched = pod.choose(asked("x-user: 7", "x-tester: yes"))
    assert (matched.revision, matched.generation) == (CANDIDATE, UNDRAWN)
    assert matched.mark.decode() == mark(Kind.MATCH, 2)
    assert pod.choose(asked("x-tester: yes, no")) == HERE
    other = split(CANDIDATE)
    other.apply(routing(2, 99, 0))
    said = asked(matched.mark.decode())
    assert other.choose(said) == UNCOMPARED._replace(revision=CANDIDATE)


def test_the_key_is_not_in_a_mark() -> None:
    assert MARK_KEY.hex() not in mark(Kind.LOT, 1)
