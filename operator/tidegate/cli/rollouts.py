"""`backtest` of a Model: what its analysis would have said of the recorded rollouts."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tidegate.api.v1alpha1.analysis import Analysis
from tidegate.api.v1alpha1.model_status import EvidenceStatus, MetricStatus, ModelStatus
from tidegate.cli.answer import Answer
from tidegate.cli.replay import evidence_of
from tidegate.cli.words import by_name, paragraphs
from tidegate.errors import TerminalError
from tidegate.evidence.recording import Recording
from tidegate.evidence.windows import SLOT_SECONDS
from tidegate.rollout.analysis import Arms, Evidence, metrics_of, start, weigh
from tidegate.rollout.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout that was recorded: who was compared, in which slots, and how it ended."""

    candidate: str
    used: EvidenceStatus
    ended: str
    """The last decision that was recorded, in a word; empty while it ran."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What another analysis makes of a rollout."""

    rollout: Rollout
    results: tuple[MetricStatus, ...]
    first: dict[str, int]
    """The slot after which a metric's final verdict was first given."""


def tried(name: str, analysis: Analysis, recording: Recording) -> Answer:
    """Weigh every recorded rollout again, slot by slot, by this analysis."""
    rollouts = list(_rollouts(recording))
    if not rollouts:
        message = (
            f"no rollout with evidence was recorded of {recording.namespace}/{recording.model}; "
            "record while one runs, or soon after"
        )
        raise TerminalError("NotFound", message)
    trials = [_trial(analysis, rollout, evidence_of(recording)) for rollout in rollouts]
    lines = [line for trial in trials for line in _lines(name, analysis, trial)]
    return Answer([_data(name, trial) for trial in trials], "\n".join(lines))


def _rollouts(recording: Recording) -> Iterator[Rollout]:
    """The rollouts that decisions or statuses in the recording tell of, in their order."""
    newest: dict[tuple[str, int], Rollout] = {}
    for found in (r for model in recording.snapshots for r in _told(model.status)):
        key = found.candidate, found.used.after
        if key not in newest or newest[key].used.through <= found.used.through:
            newest[key] = found
    return iter(sorted(newest.values(), key=lambda r: r.used.after))


def _told(status: ModelStatus) -> Iterator[Rollout]:
    running = status.rollout
    if running is not None and running.evidence is not None:
        yield Rollout(running.revision, running.evidence, "")
    for decision in status.decisions:
        if decision.evidence is not None:
            yield Rollout(decision.revision, decision.evidence, decision.action)


def _trial(analysis: Analysis, rollout: Rollout, evidence: Evidence) -> Trial:
    """A look after each slot: labels are taken as known by the end of the rollout."""
    used = rollout.used
    arms = Arms(used.stable, rollout.candidate)
    cursor = start(analysis, used.after)
    results: tuple[MetricStatus, ...] = ()
    first: dict[str, int] = {}
    for slot in range(used.after + 1, used.through + 1):
        seen = replace(
            evidence,
            closed_through=slot,
            labels_closed_through=min(slot, used.labels_through),
            values_closed_through=slot,
        )
        weighed = weigh(analysis, cursor, arms, seen)
        cursor, before = weighed.cursor, {r.name: r.verdict for r in results}
        results = weighed.results
        first |= {r.name: slot for r in results if r.verdict != before.get(r.name)}
    return Trial(rollout, results, first)


def _lines(name: str, analysis: Analysis, trial: Trial) -> Iterator[str]:
    rollout = trial.rollout
    was = f"recorded: {rollout.ended}" if rollout.ended else "recorded while it ran"
    yield f"{name} on {rollout.candidate} against {rollout.used.stable} ({was}): {_outcome(trial)}"
    shown = paragraphs(trial.results, by_name(metrics_of(analysis)))
    for result, paragraph in zip(trial.results, shown, strict=True):
        after = ""
        if result.verdict != "Inconclusive":
            after = f" ({_seconds(trial, result.name)} s after the beginning)"
        yield f"    {paragraph}{after}"


def _seconds(trial: Trial, metric: str) -> int:
    return (trial.first[metric] - trial.rollout.used.after) * SLOT_SECONDS


def _outcome(trial: Trial) -> str:
    verdicts = {Verdict(r.verdict) for r in trial.results}
    if Verdict.FAIL in verdicts:
        return "a metric fails"
    return "all pass" if verdicts == {Verdict.PASS} else "no verdict in what was recorded"


def _data(name: str, trial: Trial) -> dict[str, Any]:
    return {
        "analysis": name,
        "candidate": trial.rollout.candidate,
        "stable": trial.rollout.used.stable,
        "recorded": trial.rollout.ended,
        "metrics": [
            {**r.to_api(), "secondsToVerdict": _seconds(trial, r.name)} for r in trial.results
        ],
    }
