import threading
from pathlib import Path

from hack.cluster.lock import exclusive, forget
from tests.patience import DEADLINE_SECONDS


def test_who_waited_for_a_lock_that_was_forgotten_still_has_it_alone(tmp_path: Path) -> None:
    """The next one makes a new file: both must not take theirs for the lock."""
    inside: list[str] = []
    entered, may_leave = threading.Event(), threading.Event()

    def waiter() -> None:
        with exclusive(tmp_path, "thing"):
            inside.append("waiter")
            entered.set()
            may_leave.wait(DEADLINE_SECONDS)
            inside.remove("waiter")

    def newcomer() -> None:
        with exclusive(tmp_path, "thing"):
            assert inside == []
            inside.append("newcomer")

    with exclusive(tmp_path, "thing"):
        first = threading.Thread(target=waiter)
        first.start()
        forget(tmp_path, "thing")
    assert entered.wait(DEADLINE_SECONDS)
    second = threading.Thread(target=newcomer)
    second.start()
    second.join(0.2)
    assert inside == ["waiter"]
    may_leave.set()
    first.join(DEADLINE_SECONDS)
    second.join(DEADLINE_SECONDS)
    assert inside == ["newcomer"]
