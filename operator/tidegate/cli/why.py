"""`why`: each decision about a Model, and what it waits for now, in plain words."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from tidegate.api.meta import parse_timestamp
from tidegate.api.v1alpha1.analysis import Analysis
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import (
    Model,
)
from tidegate.api.v1alpha1.model_status import DecisionStatus, RolloutStatus
from tidegate.cli.access import Access
from tidegate.cli.answer import Answer
from tidegate.cli.words import READINGS, by_name, guarantee, missing, paragraphs, remaining
from tidegate.rollout.analysis import digest_of, metrics_of

DEEDS = {
    "Start": "started",
    "SetWeight": "set the weight of",
    "Advance": "went on",
    "Hold": "held",
    "Promote": "promoted",
    "RollBack": "rolled back",
    "Supersede": "stopped",
}
RUNNING = ("Starting", "Stepping")


async def why(access: Access, name: str, *, last: int) -> Answer:
    """The newest decisions, what the rollout waits for, and what the drift policy says."""
    model = await access.model(name)
    policy = await access.drift_policy(model.status.drift.policy) if model.status.drift else None
    lines = [*_decisions(model, last), *_now(model), *_drift(model, policy)]
    return Answer(data(model, policy, last), "\n".join(lines))


def data(model: Model, policy: DriftPolicy | None, last: int) -> dict[str, Any]:
    """The same for programs."""
    analysis, rollout = model.spec.delivery.analysis, model.status.rollout
    running = rollout is not None and rollout.state in RUNNING
    return {
        "namespace": model.metadata.namespace,
        "model": model.metadata.name,
        "decisions": [d.to_api() for d in model.status.decisions[-last:]],
        "rollout": rollout.model_copy(update={"cursor": ""}).to_api() if rollout else None,
        "remainingSamples": {
            r.name: remaining(r, analysis) for r in (rollout.metrics if rollout and running else ())
        },
        "drift": [m.to_api() for m in policy.status.models if m.name == model.metadata.name]
        if policy
        else [],
    }


def _decisions(model: Model, last: int) -> Iterator[str]:
    decisions = model.status.decisions
    if not decisions:
        yield f"{model.metadata.name}: nothing has been decided yet."
    for decision in decisions[-last:]:
        yield from explained(decision, model.spec.delivery.analysis)
        yield ""


def explained(decision: DecisionStatus, analysis: Analysis) -> Iterator[str]:
    """A decision: what was done, why, on which numbers, and how often that is wrong."""
    deed = DEEDS.get(decision.action, decision.action)
    weights = f", {decision.from_weight} % to {decision.to_weight} %"
    moved = weights if decision.from_weight != decision.to_weight else ""
    yield f"{decision.id}  {decision.at}  {deed} {decision.revision}{moved} ({decision.reason})"
    # Of a breach the metric itself tells, and with more than the message.
    blamed = [m for m in decision.metrics if m.verdict == "Fail"]
    if not (blamed and decision.reason == "MetricBreached"):
        yield f"    {decision.message}"
    shown = blamed or decision.metrics if decision.action == "RollBack" else decision.metrics
    for paragraph in paragraphs(shown, by_name(metrics_of(analysis))):
        yield f"    {paragraph}"
    used = decision.evidence
    known = used is not None and used.analysis == digest_of(analysis)
    sentence = guarantee(decision.action, decision.reason, analysis) if known else ""
    if sentence:
        yield f"    {sentence}"


def _now(model: Model) -> Iterator[str]:
    rollout = model.status.rollout
    if rollout is None or rollout.state not in RUNNING:
        stable = model.status.stable
        if stable is not None:
            pods = "serves" if stable.ready_replicas else "is stable and has no ready pod"
            yield f"Now: {stable.revision} {pods}; no rollout is running."
        ready = model.status.condition("Ready")
        if ready is not None and ready.status != "True":
            yield f"    {ready.message}"
        return
    yield (
        f"Now: {rollout.revision} gets {rollout.weight} %, step {rollout.step.text}, "
        f"since {rollout.step.started_at} ({rollout.reason})."
    )
    yield f"    {rollout.message}"
    yield from _reading(rollout.cause)
    analysis = model.spec.delivery.analysis
    rate = samples_per_second(rollout)
    metrics = by_name(metrics_of(analysis))
    for result, paragraph in zip(
        rollout.metrics, paragraphs(rollout.metrics, metrics), strict=True
    ):
        yield f"    {paragraph}"
        if result.verdict == "Inconclusive":
            yield f"        To pass: {missing(result, analysis, rate)}"


def _reading(cause: str) -> Iterator[str]:
    """What has happened, where that is known and worth a word."""
    if cause in READINGS:
        yield f"    What happened: {READINGS[cause]} ({cause})."


def samples_per_second(rollout: RolloutStatus) -> float | None:
    """How fast the candidate's samples come in this step; None if that is not known yet."""
    if not rollout.evidence_through:
        return None
    elapsed = parse_timestamp(rollout.evidence_through) - parse_timestamp(rollout.step.started_at)
    came = max((m.samples for m in rollout.metrics), default=0) - rollout.step.samples
    if elapsed <= timedelta(0) or came <= 0:
        return None
    return came / elapsed.total_seconds()


def _drift(model: Model, policy: DriftPolicy | None) -> Iterator[str]:
    if policy is None:
        within = model.status.condition("WithinPolicy")
        yield from ("", within.message) if within is not None else ()
        return
    seen = next((m for m in policy.status.models if m.name == model.metadata.name), None)
    if seen is None:
        return
    yield ""
    yield f"DriftPolicy {policy.metadata.name}: {seen.level}"
    yield from _reading(seen.cause)
    if seen.season is not None:
        season = seen.season
        yield f"    Hours: {season.known} of {season.of} known. {season.message}"
    for signal in seen.signals:
        yield f"    {signal.name}: {signal.level}. {signal.message}".rstrip()
    if seen.last_action is not None:
        action = seen.last_action
        yield f"    {action.at}  {action.do} ({action.reason}): {action.message}"
    if seen.next_retrain_allowed_at is not None:
        yield f"    The next retraining begins at {seen.next_retrain_allowed_at} at the earliest."
