from tidegate.sidecar.proxy.exchange import (
    CAPTURE_BUDGET_BYTES,
    Budget,
    Copy,
)
from tidegate.sidecar.records import Flag

LIMIT = 1 << 20


def test_too_large_a_body_is_given_up_and_its_room_returned() -> None:
    budget = Budget(LIMIT)
    copy = Copy(budget)
    copy.add(b"x" * LIMIT)
    assert (copy.lost, budget.left) == (0, CAPTURE_BUDGET_BYTES - LIMIT)
    copy.add(b"x")
    assert (copy.lost, copy.joined(), budget.left) == (Flag.TOO_LARGE, b"", CAPTURE_BUDGET_BYTES)


def test_all_copies_share_one_budget() -> None:
    budget = Budget(LIMIT)
    held = [Copy(budget) for _ in range(CAPTURE_BUDGET_BYTES // LIMIT + 1)]
    for copy in held:
        copy.add(b"x" * LIMIT)
    assert [bool(c.lost) for c in held] == [False] * (len(held) - 1) + [True]
    assert held[-1].lost == Flag.NO_ROOM
    held[0].release()
    late = Copy(budget)
    late.add(b"abc")
    late.add(b"def")
    assert late.joined() == b"abcdef"
