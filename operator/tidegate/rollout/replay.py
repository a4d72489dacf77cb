"""Replay: a decision taken again, from the windows that it was taken on.

The record says which slots were weighed and what their digest was; the windows come from whoever
has kept them. The arithmetic is that of the operator. On the machine that decided, every number is
the same bit for bit. Another version of numpy or another processor may round the last bit of a sum
or a logarithm differently, which the shown numbers, of two to four digits, hardly ever tell:
verdicts and counts must be equal, numbers within one unit of their last digit.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.analysis import Analysis
from tidegate.api.v1alpha1.model_status import DecisionStatus, MetricStatus
from tidegate.errors import TerminalError
from tidegate.rollout.analysis import Evidence, digest_of, weigh_again

EXACT = (
    "verdict",
    "samples",
    "stable_samples",
    "events",
    "stable_events",
    "windows",
    "missing",
    "tolerance",
)
ROUNDED: Mapping[str, float] = {  # by how much one unit of the last digit changes it, at most
    "estimate": 1e-3,
    "lower": 1e-3,
    "upper": 1e-3,
    "value": 1e-3,
    "stable_value": 1e-3,
    "evidence": 0.1,
    "safety": 0.1,
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the replay finds otherwise than the record has it."""

    metric: str
    field: str
    recorded: str
    replayed: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the windows say today."""

    same_evidence: bool
    """Whether the windows are those that the operator has weighed, to the last count."""
    results: tuple[MetricStatus, ...]
    differences: tuple[Difference, ...]
    """What the same evidence should not have changed; meaningless on other evidence."""


def replay(record: DecisionStatus, analysis: Analysis, evidence: Evidence) -> Replayed:
    """Take a decision again; TerminalError if the record rests on no evidence or another spec."""
    used = record.evidence
    if used is None:
        message = f"{record.id} ({record.action}) rests on no evidence: there is nothing to replay"
        raise TerminalError("NothingToReplay", message)
    if used.analysis != digest_of(analysis):
        message = (
            f"{record.id} was decided under another spec.delivery.analysis: replay it with the "
            "spec as it was then"
        )
        raise TerminalError(Reason.INVALID_SPEC, message)
    again = weigh_again(analysis, used, record.revision, evidence)
    same = again.evidence is not None and again.evidence.digest == used.digest
    return Replayed(same, again.results, tuple(_differences(record.metrics, again.results)))


def _differences(
    recorded: tuple[MetricStatus, ...], replayed: tuple[MetricStatus, ...]
) -> Iterator[Difference]:
    by_name = {m.name: m for m in replayed}
    for old in recorded:
        new = by_name[old.name]
        for field in (*EXACT, *ROUNDED):
            was, now = getattr(old, field), getattr(new, field)
            if was != now and not _close(was, now, ROUNDED.get(field)):
                yield Difference(old.name, field, str(was), str(now))


def _close(was: str | None, now: str | None, relative: float | None) -> bool:
    if relative is None or was is None or now is None:
        return False
    return math.isclose(float(was), float(now), rel_tol=relative)
