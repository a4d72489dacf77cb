"""The status of a Model: what the operator has seen and decided."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tidegate.api.meta import ApiModel, Condition, list_map


class RevisionStatus(ApiModel):
    """A live revision."""

    revision: str
    digest: str = ""
    weight: int = 0
    """The percentage of requests that this revision gets, as confirmed by the pods."""
    ready_replicas: int = 0
    training_job: str | None = None
    since: str = ""


class PreviousStatus(ApiModel):
    """The replaced revision while it is kept warm."""

    revision: str
    warm_until: str = ""


class RejectedStatus(ApiModel):
    """A revision that is not tried again by itself."""

    revision: str
    reason: str
    decision: str = ""
    at: str = ""
    generation: int = 0
    """The spec's generation; where nothing was proven, another one brings another try."""


class StepStatus(ApiModel):
    """Where the canary is."""

    index: int = 0
    started_at: str = ""
    text: str = ""
    """The step in words, for the printed table."""
    samples: int = 0
    """Samples of the candidate that had been compared when the step began."""


class MetricStatus(ApiModel):
    """What the evidence says of one metric, in the user's unit."""

    name: str
    source: str = ""
    verdict: Literal["Pass", "Fail", "Inconclusive"]
    estimate: str | None = None
    """Candidate minus stable (rates, accuracy), the ratio minus 1 (latency), the distance, or the
    rate of disagreement."""
    lower: str | None = None
    upper: str | None = None
    tolerance: str = ""
    samples: int = 0
    """Rows or requests of the candidate that were compared."""
    stable_samples: int = 0
    value: str | None = None
    """Prometheus: the mean of the candidate's values; absent for the other sources, as are"""
    stable_value: str | None = None
    windows: int | None = None
    """in how many windows both had a value,"""
    missing: int | None = None
    """and in how many more both answered requests, and one of them had none."""
    events: int | None = None
    """Samples of the candidate that were bad: errors, wrong answers, or slower than stable's
    quantile and the tolerance. Absent where the metric counts no events."""
    stable_events: int | None = None
    evidence: str = ""
    """How many times likelier the data are under harm than under none (e-value), capped at 1e6."""
    safety: str = ""
    """The same against harm of the tolerance's size: the metric passes at 1/beta."""


class EditedMetric(ApiModel):
    """A metric that was added or edited while the rollout ran: its evidence begins later."""

    name: str
    after: int
    labels_after: int
    values_after: int | None = None
    """Absent where nothing is asked of Prometheus."""


class EvidenceStatus(ApiModel):
    """Which evidence was weighed, so that whoever has the windows can weigh it again.

    Slots are numbers of ten seconds since 1970.
    """

    stable: str
    """The revision that the candidate was compared with."""
    after: int
    """The slots after this one count,"""
    through: int
    """up to this one,"""
    labels_through: int
    """and the labels of slots up to this one,"""
    values_through: int | None = None
    """and what Prometheus said of windows that ended in slots up to this one."""
    edited: Annotated[tuple[EditedMetric, ...], Field(json_schema_extra=list_map("name"))] = ()
    digest: str
    """SHA-256 of everything that was counted in them, in its order."""
    analysis: str = ""
    """A hash of `spec.delivery.analysis` as it was."""


class RolloutStatus(ApiModel):
    """The rollout that runs, or the last one."""

    revision: str
    state: str
    started_at: str = ""
    step: StepStatus = StepStatus()
    weight: int = 0
    losses: int = 0
    """How often the candidate has lost all its pods since the newest analysis or pause."""
    verdict: str = ""
    cause: str = ""
    """What has happened to the candidate, read from all evidence together: Healthy, BadCandidate,
    DifferentCandidate, RoutingSkew, BrokenData, Inconclusive."""
    reason: str = ""
    message: str = ""
    evidence_through: str = ""
    """Everything that happened up to this time has been weighed."""
    evidence: EvidenceStatus | None = None
    """The evidence behind `metrics`; absent before any was weighed."""
    metrics: Annotated[tuple[MetricStatus, ...], Field(json_schema_extra=list_map("name"))] = ()
    cursor: Annotated[str, StringConstraints(max_length=65536)] = ""
    """What of the evidence has been used, and the state of the tests; opaque."""


class DecisionStatus(ApiModel):
    """Something that the operator decided, with the numbers that it decided on."""

    id: str
    at: str
    action: str
    revision: str
    reason: str
    message: str = ""
    from_weight: int | None = None
    to_weight: int | None = None
    metrics: Annotated[tuple[MetricStatus, ...], Field(json_schema_extra=list_map("name"))] = ()
    """What the evidence said when the decision was taken."""
    evidence: EvidenceStatus | None = None
    """Which evidence that was; absent where a decision rests on none."""
    actor: str = "operator"


class DriftStatus(ApiModel):
    """What the drift policy says of this Model."""

    policy: str
    level: str
    message: str = ""


class ModelStatus(ApiModel):
    """What the operator has seen and decided."""

    observed_generation: int = 0
    stable: RevisionStatus | None = None
    candidate: RevisionStatus | None = None
    previous: PreviousStatus | None = None
    rejected: Annotated[
        tuple[RejectedStatus, ...], Field(json_schema_extra=list_map("revision"))
    ] = ()
    rollout: RolloutStatus | None = None
    drift: DriftStatus | None = None
    decisions: Annotated[tuple[DecisionStatus, ...], Field(json_schema_extra=list_map("id"))] = ()
    conditions: Annotated[tuple[Condition, ...], Field(json_schema_extra=list_map("type"))] = ()

    def condition(self, kind: str) -> Condition | None:
        return next((c for c in self.conditions if c.type == kind), None)
