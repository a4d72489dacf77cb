from math import sqrt

from hypothesis import given
from hypothesis import strategies as st

from tidegate.traffic.assignment import Assignment
from tidegate.traffic.routing import Candidate, Match

KEY = b"k" * 16


def assignment(revision: str = "churn-new", key: bytes = KEY, **rules: object) -> Assignment:
    given: dict[str, object] = {"sticky": "x-user", **rules}
    candidate = Candidate(revision, "a:1", 10, **given)  # type: ignore[arg-type]  # any rules
    return Assignment("churn", candidate, key)


def head(*lines: str) -> bytes:
    return "\r\n".join(["POST /p HTTP/1.1", "Host: x", *lines]).encode() + b"\r\n\r\n"


def share_below(of: Assignment, bound: float, users: int = 20_000) -> int:
    points = (of.point(head(f"X-User: user-{n}")) for n in range(users))
    return sum(p is not None and p < bound for p in points)


def test_sessions_are_spread_evenly() -> None:
    for bound in (0.05, 0.5):
        spread = sqrt(20_000 * bound * (1 - bound))
        assert abs(share_below(assignment(), bound) - 20_000 * bound) < 4.5 * spread


def test_other_sessions_are_first_for_the_next_candidate() -> None:
    this, following = assignment(), assignment("churn-newer")
    heads = [head(f"x-user: {n}") for n in range(5000)]
    both = sum((this.point(h) or 1) < 0.1 and (following.point(h) or 1) < 0.1 for h in heads)
    assert 20 < both < 85, "as many as chance alone gives"


def test_nobody_can_tell_the_place_of_a_session_without_the_key() -> None:
    raw = head("x-user: 1")
    assert assignment().point(raw) != assignment(key=b"o" * 16).point(raw)


@given(value=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_the_same_value_has_the_same_place_however_it_is_written(value: str) -> None:
    written = [head(f"x-user: {value}"), head("a: b", f"X-USER:\t {value}  ", "c: d")]
    assert assignment().point(written[0]) == assignment().point(written[1]) is not None


def test_the_first_of_two_headers_decides() -> None:
    assert assignment().point(head("x-user: 1", "x-user: 2")) == assignment().point(
        head("x-user: 1")
    )


def test_other_headers_and_the_request_line_do_not_matter() -> None:
    of = assignment(match=(Match("x-tester", "yes"),))
    assert of.point(head("x-users: 1", "not-x-user: 1", "a: x-user: 1")) is None
    assert of.point(b"POST /p?x-tester:yes HTTP/1.1\r\nHost: x\r\n\r\n") is None


def test_a_match_is_exact_in_its_value() -> None:
    of = assignment(sticky="", match=(Match("X-Tester", "yes"),))
    assert of.point(head("x-tester: yes")) == -1
    assert [of.point(head(f"x-tester: {v}")) for v in ("Yes", "yes!", "", "y")] == [None] * 4
