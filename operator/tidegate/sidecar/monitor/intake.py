"""Takes the proxy's records: decodes them, counts them, and remembers their predictions."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable

from tidegate.evidence.encode import prediction_keys
from tidegate.evidence.ids import InferenceId, genuine, issue
from tidegate.evidence.latency import latency_bin
from tidegate.evidence.paired import Pair
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import BlockKey, Report, slot_of
from tidegate.sidecar.monitor.answers import OTHER, Answers, Edges, Outcome, closed_through
from tidegate.sidecar.monitor.book import Book
from tidegate.sidecar.monitor.pairing import judged, unseen
from tidegate.sidecar.monitor.payloads import Decoded, UnparsedError, decode
from tidegate.sidecar.monitor.payloads.openai import Completion
from tidegate.sidecar.monitor.prediction_log.log import PredictionLog
from tidegate.sidecar.monitor.totals import Relayed, Totals
from tidegate.sidecar.records import Kind, Record
from tidegate.traffic.routing import Member, Routing

DEFAULT_HORIZON_SECONDS = 86400
_REJECTED = frozenset({400, 422})

logger = logging.getLogger(__name__)


class Intake:
    """The state of the monitor; everything happens in its event loop, one record at a time."""

    def __init__(
        self,
        member: str,
        revision: str,
        profile: Profile | None,
        clock: Callable[[], float],
        log: PredictionLog | None = None,
    ) -> None:
        self.member = member
        self.revision = revision
        self.profile = profile
        self.routing: Routing | None = None
        self.totals = Totals()
        self.book = Book(profile, slot_of(clock()))
        self._ranking = profile.ranking if profile else None
        self.answers = Answers(_known_keys(profile), self._ranking)
        self.refused: Counter[str] = Counter()
        self.log = log
        self._names = tuple(f.name for f in profile.features) if profile else ()
        self._secret = b""
        self._clock = clock
        self._news = asyncio.Event()

    def take(self, record: Record) -> None:
        """Count one record."""
        match record.kind:
            case Kind.ANSWERED | Kind.UNREACHABLE | Kind.TIMEOUT:
                self._take_request(record)
            case Kind.HELLO:
                hello = json.loads(record.request)
                self._secret = bytes.fromhex(hello["secret"])
                self.book = Book(self.profile, hello["firstSlot"])
            case Kind.ROUTING:
                routing = Routing.from_json(record.request.decode())
                if self.routing is None or routing.generation > self.routing.generation:
                    self.routing = routing  # a queued one may come after a newer one
            case Kind.TALLY:
                self._take_tally(record)
            case Kind.MARK:
                if self.book.is_ahead(record.arrival):
                    self._begin_anew(slot_of(record.arrival) + 1)
                self.book.mark(record.arrival, record.sequence)
                if record.request:
                    self.totals.relayed = Relayed(**json.loads(record.request))
            case Kind.PAIRED:
                key = self.book.key(slot_of(record.arrival), record.generation, record.revision)
                self._take_pairs(key, judged(record, self._edges()), 1)

    def _begin_anew(self, first_slot: int) -> None:
        """Count as if an earlier monitor had died: what this one has is lost, and told as lost."""
        logger.warning("the clock was set back far: counting begins anew at slot %d", first_slot)
        self.book = Book(self.profile, first_slot)
        self.answers.forget_from(first_slot)

    @property
    def generation(self) -> int:
        return self.routing.generation if self.routing else 0

    @property
    def horizon(self) -> float:
        return self.routing.feedback_horizon_seconds if self.routing else DEFAULT_HORIZON_SECONDS

    def _take_request(self, record: Record) -> None:
        key = self.book.key(slot_of(record.arrival), record.generation, record.revision)
        block = self.book.block(key)
        self.book.add_requests(block, 1)
        error = error_class(record.kind, record.status)
        if error:
            block.errors[error] += 1
        if record.kind is Kind.ANSWERED:
            index = latency_bin(record.latency)
            block.latency[index] += 1
            self.totals.latency[record.revision][index] += 1
        self.totals.requests[record.revision, _code(record.kind, record.status)] += 1
        if record.kind is Kind.ANSWERED and 200 <= record.status < 300:
            self._take_rows(record, key)

    def _take_rows(self, record: Record, key: BlockKey) -> None:
        try:
            decoded = decode(record, self._names, scored=self._ranking is not None)
        except UnparsedError as error:
            self.book.block(key).unparsed[error.reason] += 1
            self.totals.unparsed[error.reason] += 1
            return
        edges = self._edges()
        keys = prediction_keys(decoded.predicted, edges)
        codes = [self.answers.vocabulary.code(k) for k in keys]
        named = [k if code >= 0 else OTHER for k, code in zip(keys, codes, strict=True)]
        self.book.add_rows(key, decoded.columns, named, decoded.size)
        self.totals.rows += len(keys)
        if decoded.completion is not None:
            self._take_completion(decoded.completion, record)
        self.answers.put(record.sequence, key, codes, edges, self._ranks(decoded))
        if self.log is not None:
            id_ = issue(self.member, self._secret, record.sequence)
            self.log.add(record, id_, self.track(record.revision), decoded)

    def _ranks(self, decoded: Decoded) -> list[int] | None:
        """The bin of each row's score; None where there are no scores."""
        if self.profile is None or self._ranking is None:
            return None
        numeric = self.profile.predictions.kind == "number"
        scores = decoded.predicted if numeric else decoded.scores
        return None if scores is None else self._ranking.bins(scores)

    def _take_completion(self, completion: Completion, record: Record) -> None:
        totals, revision = self.totals, record.revision
        totals.tokens[revision, "in"] += completion.tokens_in or 0
        totals.tokens[revision, "out"] += completion.tokens_out or 0
        totals.ends[revision, completion.end] += 1
        if completion.streamed:
            totals.first_token[revision][latency_bin(record.latency)] += 1

    def track(self, revision: str) -> str:
        """Which part a revision plays now."""
        routing = self.routing
        if routing is not None and routing.candidate and revision == routing.candidate.revision:
            return "candidate"
        return "stable" if routing is None or revision == routing.stable else "previous"

    def _take_pairs(self, key: BlockKey, outcome: Pair, count: int) -> None:
        self.book.block(key).pairs[outcome.value] += count
        self.totals.pairs[outcome.value] += count

    def _edges(self) -> Edges:
        """Of numeric predictions: those that both arms are told to use, else the profile's."""
        if self.profile is not None and self.profile.predictions.kind == "category":
            return None
        if self.routing and self.routing.prediction_edges:
            return self.routing.prediction_edges
        return self.profile.predictions.edges if self.profile else None

    def _take_tally(self, record: Record) -> None:
        tally = json.loads(record.request)
        slot, generation, revision, kind, status = tally["key"]
        key = self.book.key(slot, generation, revision)
        if kind == Kind.PAIRED:
            self._take_pairs(key, unseen(status), tally["requests"])
            return
        block = self.book.block(key)
        self.book.add_requests(block, tally["requests"])
        block.dropped += tally["dropped"]
        error = error_class(kind, status)
        if error:
            block.errors[error] += tally["requests"]
        for index, count in tally["latency"].items():
            block.latency[int(index)] += count
            self.totals.latency[revision][int(index)] += count
        self.totals.requests[revision, _code(kind, status)] += tally["requests"]
        self.totals.dropped += tally["dropped"]

    def arrived(self) -> None:
        """Tell those who wait for an answer's copy that some have come."""
        self._news.set()
        self._news = asyncio.Event()

    async def wait_for(self, id_: InferenceId, seconds: float) -> None:
        """Wait until an answer of this pod is known: a label may overtake the answer's copy."""
        try:
            async with asyncio.timeout(seconds):
                while self.answers.coming(id_.sequence) and genuine(id_, self._secret):
                    await self._news.wait()
        except TimeoutError:
            return  # it was dropped, or could not be decoded

    def label(self, id_: InferenceId, labels: list[object]) -> Outcome:
        """Count the labels of one answer of this pod."""
        if genuine(id_, self._secret):
            outcome = self.answers.label(id_.sequence, labels, self._clock(), self.horizon)
        else:
            outcome = Outcome.FORGED
        self.note(outcome)
        return outcome

    def note(self, outcome: Outcome) -> None:
        """Count what became of a label."""
        self.totals.feedback[outcome.value] += 1
        if outcome is not Outcome.ACCEPTED:
            self.refused[outcome.value] += 1

    def owner(self, member: str) -> Member | None:
        """The pod that gave out an id, by the operator's list and never by the id's word."""
        members = self.routing.members if self.routing else ()
        return next((m for m in members if m.uid == member), None)

    def tick(self) -> None:
        """Forget what is too old."""
        self.answers.forget(self._clock(), self.horizon)
        if self.log is not None:
            self.log.tick()

    def report(self, after: int, labels_after: int) -> Report:
        """The closed windows behind `after` and all labels, open ones too, behind the other.

        If there are many windows, these are the oldest, and `more` says so.
        """
        self.tick()
        labels, closed = self.answers.labels, self.book.closed(after)
        return Report(
            member=self.member,
            revision=self.revision,
            generation=self.generation,
            first_slot=self.book.first_slot,
            closed_through=closed.through,
            more=closed.through < self.book.closed_through,
            labels_closed_through=closed_through(self._clock(), self.horizon),
            windows=closed.windows,
            labels={key: n for key, n in labels.items() if key.slot > labels_after},
            refused=dict(self.refused),
            counted=closed.counted,
        )


def error_class(kind: int, status: int) -> str | None:
    """The class of a failed request, None for one that did not fail."""
    if kind == Kind.UNREACHABLE:
        return "unreachable"
    if kind == Kind.TIMEOUT:
        return "timeout"
    if status >= 500:
        return "5xx"
    return "rejected" if status in _REJECTED else None


def _code(kind: int, status: int) -> str:
    return str(status) if kind == Kind.ANSWERED else Kind(kind).name.lower()


def _known_keys(profile: Profile | None) -> tuple[str, ...]:
    return profile.predictions.levels if profile else ()
