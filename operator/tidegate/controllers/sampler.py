"""The sampler: asks Prometheus about each window of each rollout that has such a metric, once.

Prometheus remembers, so a window that could not be asked for at its end is asked for a little
later, and an operator that comes back asks for what it has missed. Nobody asks outside of a
rollout. What has no answer in time is missing, and holds up nothing: other Models, and the other
evidence of the same one, go on meanwhile.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.api.meta import ObjectKey
from tidegate.clients.prometheus import Prometheus
from tidegate.errors import TerminalError, TransientError
from tidegate.evidence.values import Question, ValueKey, Values
from tidegate.evidence.windows import SLOT_SECONDS, slot_of

KEPT_SLOTS = 3600 // SLOT_SECONDS
REQUESTS_IN_FLIGHT = 8  # of all Models together; each has at most one
SETTLE_SECONDS = 5.0  # what was scraped at a window's end is stored by then
AGAIN_SECONDS = 10.0
PATIENCE_SECONDS = 60.0  # nobody has answered for so long: older windows are missing


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked, of which revisions."""

    questions: tuple[Question, ...] = ()
    revisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampled:
    """What is known of a Model's values."""

    values: Values = field(default_factory=dict)
    closed_through: int | None = None
    """Windows that have ended by this slot have been asked for; None while nothing is asked."""
    problem: str = ""
    """Why the newest windows have no values, where the server said so, or nothing."""


class _Asked:
    """A Model whose values are asked for."""

    def __init__(self) -> None:
        self.wanted = Wanted()
        self.values: dict[ValueKey, float | None] = {}
        self.through: dict[str, int] = {}
        """Per question: its windows that ended by this slot have been asked for, or are too old."""
        self.problem = ""
        self.silent_since: float | None = None
        """When the first of the questions was asked that all went without an answer."""
        self.task: asyncio.Task[None] | None = None

    def next(self) -> tuple[int, Question]:
        """The window that ends first among those that were not asked for: its last slot."""
        ends = ((q.next_end(self.through[q.id]), q) for q in self.wanted.questions)
        return min(ends, key=lambda each: each[0])

    def unanswered(self, question: Question, now: float, why: str) -> str:
        """Give windows up once nobody has answered for too long; the problem there is then.

        Their age alone would not do: an operator that comes back asks about old ones first.
        """
        if self.silent_since is None:
            self.silent_since = now
        if now - self.silent_since < PATIENCE_SECONDS:
            return self.problem
        self._skip(question, slot_of(now - PATIENCE_SECONDS) - 1)
        return why

    def _skip(self, question: Question, through: int) -> None:
        """Windows of the question that ended by this slot have no value."""
        for end in question.ends(self.through[question.id], through):
            self.values |= {ValueKey(end, question.id, r): None for r in self.wanted.revisions}
            self.through[question.id] = end


class Sampler:
    """Follows the rollouts of many Models, each at its own pace."""

    def __init__(
        self,
        prometheus: Prometheus | None,
        clock: Callable[[], float],
        on_news: Callable[[ObjectKey], None],
        on_problem: Callable[[str], None] = lambda _: None,
        on_answer: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`clock` tells Unix seconds; `on_news`: a window was asked for; `on_problem`: or why not;
        `on_answer`: what came of a question, in a word.

        Without a Prometheus nothing is asked.
        """
        self._prometheus = prometheus
        self._clock = clock
        self._on_news = on_news
        self._on_problem = on_problem
        self._on_answer = on_answer
        self._asked: dict[ObjectKey, _Asked] = {}
        self._requests = asyncio.Semaphore(REQUESTS_IN_FLIGHT)

    @property
    def has_server(self) -> bool:
        """Whether the operator knows a Prometheus to ask."""
        return self._prometheus is not None

    def follow(self, key: ObjectKey, wanted: Wanted, *, after: int) -> None:
        """Say what to ask, about windows that begin after a slot; saying it again changes nothing.

        With nothing to ask, what is known is kept for an hour, for whoever records it.
        """
        if self._prometheus is None or (key not in self._asked and not wanted.questions):
            return
        asked = self._asked.setdefault(key, _Asked())
        newest = slot_of(self._clock())
        oldest = newest - KEPT_SLOTS
        asked.values = {k: v for k, v in asked.values.items() if oldest <= k.slot <= newest}
        # Windows that have not ended yet were asked for by a clock that has been set back.
        if wanted != asked.wanted or max(asked.through.values(), default=0) > newest:
            if asked.task is not None:
                asked.task.cancel()
            asked.wanted, asked.task, asked.through, asked.problem = wanted, None, {}, ""
            asked.silent_since = None
        for question in wanted.questions:
            first = question.first_end(max(after, oldest)) - 1
            asked.through[question.id] = max(first, asked.through.get(question.id, 0))
        if wanted.questions and (asked.task is None or asked.task.done()):
            task = self._run(key, asked, self._prometheus)
            asked.task = asyncio.create_task(task, name=f"sample {key}")

    def forget(self, key: ObjectKey) -> None:
        """Stop asking, and drop what is known."""
        asked = self._asked.pop(key, None)
        if asked is not None and asked.task is not None:
            asked.task.cancel()

    def sampled(self, key: ObjectKey) -> Sampled:
        """What is known now; nothing of a key that is not followed."""
        asked = self._asked.get(key)
        if asked is None:
            return Sampled()
        closed = asked.next()[0] - 1 if asked.wanted.questions else None
        return Sampled(dict(asked.values), closed, asked.problem)

    async def close(self) -> None:
        """Stop asking."""
        tasks = [a.task for a in self._asked.values() if a.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._asked.clear()
        if self._prometheus is not None:
            await self._prometheus.close()

    async def _run(self, key: ObjectKey, asked: _Asked, prometheus: Prometheus) -> None:
        while True:
            end, question = asked.next()
            await asyncio.sleep(max(0.0, _end_of(end) + SETTLE_SECONDS - self._clock()))
            try:
                problem = await self._ask(key, asked, prometheus, question, end)
            except TransientError as error:
                problem = asked.unanswered(question, self._clock(), str(error))
            else:
                asked.through[question.id], asked.silent_since = end, None
            if problem and problem != asked.problem:
                self._on_problem(f"{key}: {problem}")
            asked.problem = problem
            self._on_news(key)
            if asked.through[question.id] < end:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _ask(
        self, key: ObjectKey, asked: _Asked, prometheus: Prometheus, question: Question, end: int
    ) -> str:
        """Ask for the values of a window; why there are none, if asking again changes nothing."""
        problem = ""
        for revision in asked.wanted.revisions:
            at = ValueKey(end, question.id, revision)
            if at in asked.values:
                continue
            try:
                async with self._requests:
                    query = question.about(key.namespace, revision)
                    value = await prometheus.value(query, _end_of(end))
            except TerminalError as error:
                value, problem = None, str(error)
                self._on_answer("refused")
            except TransientError:
                self._on_answer("failed")
                raise
            else:
                self._on_answer("empty" if value is None else "value")
            asked.values[at] = value
        return problem


def _end_of(slot: int) -> float:
    return float((slot + 1) * SLOT_SECONDS)
