"""Looks after connections in rounds, some at a time: to look after thousands takes too long."""

from typing import Final, Protocol

AT_ONCE: Final = 64  # a third of a millisecond where the code is interpreted


class Sweepable(Protocol):
    """A client's connection, as far as one looks after it."""

    def sweep(self, now: float) -> None: ...


class Rounds:
    """Comes to each of the clients once in a round."""

    def __init__(self, clients: set[Sweepable]) -> None:
        self._clients = clients
        self._left: list[Sweepable] = []

    def sweep(self, now: float) -> bool:
        """Look after the next ones; whether there are more of them in this round."""
        if not self._left:
            self._left = list(self._clients)
        batch = self._left[-AT_ONCE:]
        del self._left[-AT_ONCE:]
        for client in batch:
            if client in self._clients:  # else it has gone meanwhile
                client.sweep(now)
        return bool(self._left)
