"""However many connections there are, requests come in between when they are looked after."""

from tidegate.sidecar.proxy.rounds import AT_ONCE, Rounds, Sweepable


class Visited:
    def __init__(self) -> None:
        self.visits: list[float] = []

    def sweep(self, now: float) -> None:
        self.visits.append(now)


def test_each_client_is_looked_after_once_in_a_round_and_few_at_once() -> None:
    visited = [Visited() for _ in range(3 * AT_ONCE + 1)]
    rounds = Rounds(set[Sweepable](visited))
    for turn in range(4):
        assert rounds.sweep(1.0) is (turn < 3)
        assert sum(len(v.visits) for v in visited) <= AT_ONCE * (turn + 1)
    assert [v.visits for v in visited] == [[1.0]] * len(visited)
    assert rounds.sweep(2.0)


def test_who_comes_or_goes_in_the_middle_of_a_round_is_not_looked_after_in_it() -> None:
    clients = set[Sweepable](Visited() for _ in range(AT_ONCE + 1))
    rounds = Rounds(clients)
    assert rounds.sweep(1.0)
    (left,) = (c for c in clients if isinstance(c, Visited) and not c.visits)
    late = Visited()
    clients.remove(left)
    clients.add(late)
    assert not rounds.sweep(1.0)
    assert (left.visits, late.visits) == ([], [])
    assert rounds.sweep(2.0)
