"""The demo's acts: each does something, waits for what must follow, and says how it ended."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hack.demo.screen import Screen, interval, percent
from hack.demo.snapshot import RETRAINED, Decision, Snapshot
from hack.demo.stage import Stage
from hack.demo.watch import OutOfSightError, Watch

POLL_SECONDS = 1.0
TRAIN_SECONDS, SERVE_SECONDS, CANARY_SECONDS, DRIFT_SECONDS = 150, 120, 240, 150
POLICY_MINIMUM = 0.88
SETTLED_SECONDS = 8  # of traffic on a new state, before its accuracy is read off
FIRST_WEIGHT = 20
SHIFT_MARK = "instrument recalibrated"


class ActFailedError(Exception):
    """The story did not go as told."""


@dataclass(slots=True)
class Ending:
    """How an act ended, in sentences, and the moments that the report marks."""

    number: int
    title: str
    began: float
    ended: float = 0.0
    sentences: list[str] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Play:
    """Plays the acts in their order."""

    def __init__(self, stage: Stage, watch: Watch, screen: Screen) -> None:
        self._stage, self._watch, self._screen = stage, watch, screen
        self.endings: list[Ending] = []
        self.accuracy: dict[str, float] = {}
        """Before, during and after the shift, as the clients saw it."""

    def run(self) -> None:
        """All acts; an ActFailedError ends them."""
        self._act(
            1,
            "v1 is trained and serves",
            "A TrainingJob learns from half of the rows; the first revision has nothing to be "
            "compared with and serves at once.",
            self._first,
        )
        self._act(
            2,
            "v2 is worse and is rolled back",
            "The same trainer, but an export has turned a third of the labels around. Its held-out "
            "rows are just as wrong: no metric of the training can tell. The traffic can.",
            self._bad,
        )
        self._act(
            3,
            "v3 is better and is promoted",
            "All rows and a better estimator.",
            self._good,
        )
        self._act(
            4,
            "the world shifts in the middle of v4's canary",
            "v4 is as good as v3. While it has a share of the traffic, the instrument is "
            "recalibrated: ten of thirty measurements read 30 % higher. Both versions see it.",
            self._shift,
        )

    def _first(self, ending: Ending) -> None:
        self._train("v1")
        self._until("v1 serves", SERVE_SECONDS, lambda s: s.ready and s.stable == "v1")
        began = self._until("the clients' first answers", SERVE_SECONDS, _has_answers).at
        seen = self._after(began)
        ending.sentences.append(
            f"v1 serves every request; {_right(seen, began)} of the answers are right."
        )

    def _bad(self, ending: Ending) -> None:
        self._train("v2")
        shared = self._until("v2 gets its first share", CANARY_SECONDS, _share_of("v2"))
        ending.marks["v2 canary"] = shared.at
        seen = self._until("v2 is rolled back", CANARY_SECONDS, _decided("RollBack", "v2"))
        ending.marks["v2 rolled back"] = seen.at
        decision = self._expected(seen, "RollBack", "v2")
        self._require("v2" in seen.rejected, "v2 is remembered as rejected")
        self._require(seen.stable == "v1", "v1 is still stable")
        self._until("no request goes to v2", SERVE_SECONDS, lambda s: s.weight == 0)
        ending.sentences.append(_because(decision))
        self._screen.tell(self._stage.printed().rstrip(), style="dim")

    def _good(self, ending: Ending) -> None:
        self._train("v3")
        self._canary(ending, "v3")
        self._require("v3" not in self._watch.history[-1].rejected, "v3 was not rolled back")

    def _shift(self, ending: Ending) -> None:
        before = self._after(time.time())
        self._train("v4")
        shared = self._until("v4 gets its first share", CANARY_SECONDS, _share_of("v4"))
        ending.marks["v4 canary"] = shared.at
        self.accuracy["before"] = self._accuracy(before.at, shared.at)
        self._watch.recalibrate()
        shifted = time.time()
        ending.marks[SHIFT_MARK] = shifted
        drifted = self._until("the drift is reported", DRIFT_SECONDS, _breached("inputs"))
        ending.marks["drift reported"] = drifted.at
        ending.sentences.append(f"Drift: {_message(drifted, 'inputs')}")
        fallen = self._until("labels show the loss", DRIFT_SECONDS, _breached("accuracy"))
        ending.sentences.append(_message(fallen, "accuracy"))
        started = self._until("the policy retrains", DRIFT_SECONDS, lambda s: RETRAINED in s.jobs)
        ending.marks["retraining"] = started.at
        self._until("v5 is trained", TRAIN_SECONDS, self._trained(RETRAINED))
        self.accuracy["during"] = self._accuracy(shifted + SETTLED_SECONDS, time.time())
        self._canary(ending, RETRAINED)
        last = self._watch.history[-1]
        self._require("v4" not in last.rejected, "v4 was not blamed for the world")
        self._require(last.decided("RollBack", "v4") is None, "v4 was never rolled back")
        after = self._after(last.at)
        self.accuracy["after"] = self._accuracy(last.at + 1, after.at)
        self._require(self.accuracy["during"] < POLICY_MINIMUM, "the shift hurt the accuracy")
        self._require(self.accuracy["after"] > POLICY_MINIMUM, "retraining mended the accuracy")
        told = ", ".join(f"{when} {percent(share)}" for when, share in self.accuracy.items())
        ending.sentences.append(f"v4 was never rolled back. Right answers: {told}.")
        self._require(after.clients.total_failed == 0, "no request failed in the whole demo")

    def _canary(self, ending: Ending, version: str) -> None:
        """Watch a version through its canary to its promotion."""
        shared = self._until(f"{version} gets its first share", CANARY_SECONDS, _share_of(version))
        ending.marks[f"{version} canary"] = shared.at
        seen = self._until(
            f"{version} is promoted",
            CANARY_SECONDS,
            lambda s: s.stable == version and s.decided("Promote", version) is not None,
        )
        ending.marks[f"{version} promoted"] = seen.at
        ending.sentences.append(_because(self._expected(seen, "Promote", version)))

    def _act(self, number: int, title: str, told: str, script: Callable[[Ending], None]) -> None:
        self._screen.open_act(number, title, told)
        ending = Ending(number, title, time.time())
        try:
            with self._screen.watching():
                script(ending)
        finally:
            ending.ended = time.time()
            self.endings.append(ending)
        for sentence in ending.sentences:
            self._screen.tell(f"  • {sentence}")
        self._screen.tell(
            f"  Act {number} ended as told after {ending.seconds:.0f} s.", "bold green"
        )

    def _train(self, version: str) -> None:
        self._stage.train(version)
        self._until(f"{version} is trained", TRAIN_SECONDS, self._trained(version))

    def _trained(self, version: str) -> Callable[[Snapshot], bool]:
        def check(seen: Snapshot) -> bool:
            if seen.jobs.get(version) == "Failed":
                raise ActFailedError(f"{version} failed: {seen.job_messages[version]}")
            return seen.jobs.get(version) == "Succeeded"

        return check

    def _until(
        self, what: str, limit_seconds: float, holds: Callable[[Snapshot], bool]
    ) -> Snapshot:
        deadline = time.monotonic() + limit_seconds
        while True:
            try:
                seen = self._watch.look()
            except OutOfSightError as error:
                lacks = str(error)
            else:
                self._screen.show(seen, what)
                if holds(seen):
                    return seen
                lacks = seen.message
            if time.monotonic() > deadline:
                raise ActFailedError(f"not after {limit_seconds:.0f} s: {what}. {lacks}")
            time.sleep(POLL_SECONDS)

    def _after(self, began: float) -> Snapshot:
        return self._until("some traffic", SERVE_SECONDS, lambda s: s.at > began + SETTLED_SECONDS)

    def _accuracy(self, since: float, until: float) -> float:
        share = self._watch.history[-1].clients.accuracy(since, until)
        if share is None:
            raise ActFailedError(
                "the clients got no answers; see: kubectl logs -n tidegate-demo world"
            )
        return share

    @staticmethod
    def _expected(seen: Snapshot, action: str, version: str) -> Decision:
        decision = seen.decided(action, version)
        if decision is None:
            raise ActFailedError(f"there is no decision {action} of {version}")
        return decision

    @staticmethod
    def _require(holds: bool, what: str) -> None:  # noqa: FBT001  # reads as a sentence
        if not holds:
            raise ActFailedError(f"not true: {what}")


def _has_answers(seen: Snapshot) -> bool:
    return seen.recent_accuracy() is not None


def _share_of(version: str) -> Callable[[Snapshot], bool]:
    return lambda s: s.candidate == version and s.weight >= FIRST_WEIGHT


def _decided(action: str, version: str) -> Callable[[Snapshot], bool]:
    return lambda s: s.decided(action, version) is not None


def _breached(signal: str) -> Callable[[Snapshot], bool]:
    def check(seen: Snapshot) -> bool:
        found = seen.signal(signal)
        return found is not None and found.level == "Breach"

    return check


def _message(seen: Snapshot, signal: str) -> str:
    found = seen.signal(signal)
    return found.message if found else ""


def _right(seen: Snapshot, since: float) -> str:
    return percent(seen.clients.accuracy(since))


def _because(decision: Decision) -> str:
    """A decision in words; the message of a rollback has the numbers already."""
    numbers = "; ".join(
        f"{m.name} {m.verdict} {interval(m)}, tolerance {m.tolerance}, {m.samples} samples"
        for m in decision.metrics
        if decision.action == "Promote"
    )
    what = f"{decision.id} {decision.action} {decision.version} ({decision.reason})"
    return f"{what}: {decision.message} {numbers}".rstrip()
