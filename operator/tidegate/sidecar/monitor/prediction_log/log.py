"""The prediction log: what is written of each answer, and how much of the monitor it may take."""

from collections.abc import Callable

from tidegate.sidecar.monitor.payloads import Decoded
from tidegate.sidecar.monitor.prediction_log.lines import Answer, is_sampled, lines
from tidegate.sidecar.monitor.prediction_log.parts import PART_SECONDS, Parts
from tidegate.sidecar.monitor.prediction_log.redaction import TEXT_LIMIT, Redaction
from tidegate.sidecar.records import Record

# Counting comes first: of each second the log may take so much, and the rest of its lines is
# dropped. It saves up for a large batch.
SHARE = 0.2
SAVED_SECONDS = 0.2


class PredictionLog:
    """Adds the lines of answers to the parts; never waits.

    `clock` gives seconds of any origin, `work` the seconds that this thread has been at work.
    """

    def __init__(
        self,
        model: str,
        percent: int,
        redaction: Redaction,
        parts: Parts,
        clock: Callable[[], float],
        work: Callable[[], float],
    ) -> None:
        self._model = model
        self._percent = percent
        self._redaction = redaction
        self._clock = clock
        self._work = work
        self._seen = clock()
        self._saved = SAVED_SECONDS
        self._skipped = 0
        self.parts = parts

    def add(self, record: Record, id_: str, track: str, decoded: Decoded) -> None:
        """Write the rows of an answer, if it is sampled and there is time for it."""
        caller_id = decoded.caller_id or record.caller_id.decode(errors="replace")
        caller_id = caller_id[:TEXT_LIMIT]
        if not is_sampled(caller_id or id_, self._percent):
            return
        rows = len(decoded.predicted)
        now = self._clock()
        self._saved = min(SAVED_SECONDS, self._saved + SHARE * (now - self._seen))
        self._seen = now
        if self._saved <= 0.0:
            self._skipped += rows
            return
        began = self._work()
        answer = Answer(
            record.arrival,
            id_,
            caller_id or None,
            self._model,
            record.revision,
            track,
            self._redaction.rows(decoded.columns, rows),
            decoded.predicted,
        )
        self.parts.add(lines(answer), record.arrival, now)
        self._saved -= self._work() - began

    @property
    def lines_dropped(self) -> int:
        """Lines that there was no time or no room for."""
        return self._skipped + self.parts.dropped

    def tick(self) -> None:
        """Cut the parts that are old enough."""
        self.parts.close_older_than(self._clock() - PART_SECONDS)
