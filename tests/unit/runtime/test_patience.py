import pytest

from tidegate.errors import TerminalError, TransientError
from tidegate.runtime.patience import patiently


def test_tries_again_until_it_works() -> None:
    failures = [TransientError("down"), TransientError("down")]

    def action() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert patiently(action, 10) == "done"


def test_gives_up_when_the_time_is_over() -> None:
    def action() -> None:
        raise TransientError("the store is down")

    with pytest.raises(TransientError, match=r"gave up after 0.2 s: the store is down"):
        patiently(action, 0.2)


def test_does_not_try_again_what_can_not_succeed() -> None:
    tries = []

    def action() -> None:
        tries.append(1)
        raise TerminalError("InputNotFound", "gone")

    with pytest.raises(TerminalError):
        patiently(action, 10)
    assert tries == [1]
