"""`replay`: take the decisions of a Model again from recorded windows."""

from collections.abc import Iterable, Iterator
from typing import Any

from tidegate.api.v1alpha1.analysis import Analysis
from tidegate.api.v1alpha1.model_status import DecisionStatus
from tidegate.cli.answer import DIFFERS, DONE, Answer
from tidegate.errors import TerminalError
from tidegate.evidence.recording import Recording
from tidegate.rollout.analysis import Evidence, digest_of
from tidegate.rollout.replay import Replayed, replay


def replayed(
    recording: Recording,
    decision: str | None,
    logged: Iterable[DecisionStatus] | None = None,
) -> Answer:
    """Every decision that rests on evidence, or the one that is named; recorded, or `logged`."""
    if logged is None:
        logged = (d for s in recording.snapshots for d in s.status.decisions)
    # Numbers begin anew when a status was lost: the time tells such decisions apart.
    chosen = list({(d.id, d.at): d for d in logged if d.evidence is not None}.values())
    if decision is not None:
        chosen = [d for d in chosen if d.id == decision]
    if not chosen:
        named = f"decision {decision}" if decision else "decision"
        message = (
            f"the recording of {recording.namespace}/{recording.model} has no {named} that rests "
            "on evidence; record again, or name another one with --decision"
        )
        raise TerminalError("NotFound", message)
    results = [_one(recording, d) for d in chosen]
    return Answer(
        [data for data, _ in results],
        "\n".join(line for _, lines in results for line in lines),
        code=DONE if all(data["same"] for data, _ in results) else DIFFERS,
    )


def evidence_of(recording: Recording) -> Evidence:
    """What a recording holds, as the analysis takes it."""
    return Evidence(
        recording.windows,
        recording.labels,
        recording.closed_through,
        recording.labels_closed_through,
        values=recording.values,
        values_closed_through=recording.values_closed_through,
    )


def _one(recording: Recording, decision: DecisionStatus) -> tuple[dict[str, Any], list[str]]:
    analysis = _analysis(recording, decision)
    head = f"{decision.id}  {decision.at}  {decision.action} {decision.revision}"
    if analysis is None:
        why = "the spec that it was decided under was not recorded"
        return {"id": decision.id, "same": False, "why": why}, [f"{head}: {why}"]
    again = replay(decision, analysis, evidence_of(recording))
    same = again.same_evidence and not again.differences
    data = {
        "id": decision.id,
        "same": same,
        "sameEvidence": again.same_evidence,
        "metrics": [m.to_api() for m in again.results],
        "differences": [
            {"metric": d.metric, "field": d.field, "recorded": d.recorded, "replayed": d.replayed}
            for d in again.differences
        ],
    }
    return data, [f"{head}: {_outcome(again)}", *_details(again)]


def _analysis(recording: Recording, decision: DecisionStatus) -> Analysis | None:
    """The analysis that the decision was taken under, from the snapshots of the spec."""
    specs = (s.spec.delivery.analysis for s in reversed(recording.snapshots))
    wanted = decision.evidence.analysis if decision.evidence else ""
    return next((a for a in specs if digest_of(a) == wanted), None)


def _outcome(again: Replayed) -> str:
    if not again.same_evidence:
        return "the recorded windows are not all of those that were weighed"
    return "differs" if again.differences else "the same verdicts from the same evidence"


def _details(again: Replayed) -> Iterator[str]:
    for d in again.differences:
        yield f"    {d.metric}.{d.field}: {d.recorded} then, {d.replayed} now"
