"""Verdicts: what the evidence says of one metric, and of all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tidegate.api.v1alpha1.analysis import Metric
from tidegate.api.v1alpha1.model_status import MetricStatus


class Verdict(StrEnum):
    """Pass and Fail are proven; Inconclusive is the honest rest, and never an alarm."""

    PASS = "Pass"  # noqa: S105  # not a password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


# Metrics that only hint at harm. Labels measure it: when they pass, these no longer hold.
PROXIES = frozenset({"PredictionShift", "PairedDisagreement"})
PAIRED = "PairedDisagreement"  # the only source that needs no requests of the candidate's own
# What a client feels at once. It counts whatever the arms were asked; the others compare answers,
# which needs that both arms get the same kind of requests.
FELT = frozenset({"ErrorRate", "LatencyQuantile"})


@dataclass(frozen=True, slots=True)
class Summary:
    """The metrics of a rollout, read together."""

    verdict: Verdict = Verdict.INCONCLUSIVE
    breached: MetricStatus | None = None
    """The metric that failed."""
    rollback: bool = False
    """Whether the failure calls for a rollback; otherwise it holds."""
    regardless: bool = False
    """Whether it counts whatever the arms were asked (`FELT`)."""
    waiting_for: tuple[str, ...] = ()
    """The metrics without a verdict yet."""


def summarize(metrics: Sequence[Metric], results: Sequence[MetricStatus]) -> Summary:
    """One verdict of many: a Fail to roll back on wins, then a Fail to hold on, then patience.

    A labelled metric that passes overrules the proxies: the candidate's answers may well differ
    from stable's where stable's are wrong.
    """
    by_name = {r.name: r for r in results}
    pairs = [(m, by_name[m.name]) for m in metrics if m.name in by_name]
    labels_pass = any(
        m.source == "LabelledAccuracy" and Verdict(r.verdict) is Verdict.PASS for m, r in pairs
    )
    counted = [(m, r) for m, r in pairs if not (labels_pass and m.source in PROXIES)]
    failed = [(m, r) for m, r in counted if Verdict(r.verdict) is Verdict.FAIL]
    for wanted in ("Rollback", "Hold"):
        for metric, result in failed:
            if metric.on_breach == wanted:
                return Summary(
                    Verdict.FAIL,
                    breached=result,
                    rollback=wanted == "Rollback",
                    regardless=metric.source in FELT,
                )
    waiting = tuple(m.name for m, r in counted if Verdict(r.verdict) is not Verdict.PASS)
    return Summary(Verdict.INCONCLUSIVE if waiting else Verdict.PASS, waiting_for=waiting)
