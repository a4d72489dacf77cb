"""DriftPolicy: when the world has moved, and what is done about it."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from tidegate.api.meta import (
    NAME_FITS_LABEL,
    ApiModel,
    Condition,
    Decimal,
    Duration,
    LocalRef,
    Name,
    ObjectMeta,
    Rule,
    list_map,
    longer_than_zero,
    validated,
)
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.training_job import Column

Level = Literal["Ok", "Warn", "Breach"]


class LabelSelector(ApiModel):
    """Which Models are watched, besides those whose `driftPolicyRef` names this policy.

    Of several policies that select a Model, the first by name watches it.
    """

    match_labels: Annotated[dict[str, str], Field(min_length=1, max_length=20)]
    """Labels that a Model must have, all of them."""


class Window(ApiModel):
    """The current data that is compared with the reference."""

    model_config = validated(
        Rule(  # CEL knows no days
            "!self.size.contains('d') && duration(self.size) >= duration('10s') && "
            "duration(self.size) <= duration('1h')",
            "window.size must be between 10s and 1h: the sidecars count 10 s at a time, and keep "
            "an hour",
        ),
    )

    size: Duration = "1h"
    """How much of the newest data is compared (10s to 1h)."""
    min_samples: Annotated[int, Field(ge=1, le=10_000_000)] = 500
    """Fewer rows than this say nothing: the signal is Unknown."""


class Reference(ApiModel):
    """What the current data is compared with."""

    seasonality: Literal["None", "HourOfDay", "HourOfWeek"] = "None"
    """Whether DataDrift and PredictionDrift compare a window with the whole reference (None), or
    with what is usual at its hour of the day or of the week (UTC). Hours are those of the training
    data if it has timestamps (TrainingJob `data.timestamp`), else they are learned once from the
    first seven days or four weeks of the stable revision's traffic."""


class FalseAlarms(ApiModel):
    """The budget of false alarms over all signals and features of a Model."""

    per_model: Annotated[int, Field(ge=1, le=1000)] = 1
    """So many alarms of a Model whose data is what it was."""
    in_: Annotated[
        Duration, Field(alias="in", json_schema_extra=longer_than_zero("falseAlarms.in"))
    ] = "30d"
    """The time in which that many may come."""


class FeatureFilter(ApiModel):
    """Which features a signal looks at, by name."""

    include: Annotated[tuple[Column, ...], Field(max_length=1000)] = ()
    """All features if empty."""
    exclude: Annotated[tuple[Column, ...], Field(max_length=1000)] = ()
    """Features that are passed over, also where `include` names them."""


class Signal(ApiModel):
    """One thing that is watched."""

    model_config = validated(
        Rule(
            "self.type == 'Performance' || has(self.breach)",
            "breach is required by every type but Performance: what is too much",
        ),
        Rule(
            "self.type != 'Performance' || has(self.min) || has(self.maxRelativeDrop)",
            "Performance needs min or maxRelativeDrop",
        ),
        Rule(
            "self.type != 'Performance' || "
            "!(has(self.warn) || has(self.breach) || has(self.share))",
            "warn, breach and share do not belong to Performance: use min or maxRelativeDrop",
        ),
        Rule(
            "self.type == 'Performance' || !(has(self.metric) || has(self.min) || "
            "has(self.maxRelativeDrop) || has(self.minLabelled))",
            "metric, min, maxRelativeDrop and minLabelled belong to Performance",
        ),
        Rule(
            "self.type in ['DataDrift', 'DataQuality', 'MultivariateDrift'] || !has(self.features)",
            "features belong to DataDrift, DataQuality and MultivariateDrift",
        ),
        Rule(
            "self.type == 'DataDrift' || !has(self.share)",
            "share belongs to DataDrift",
        ),
        Rule(
            "self.type != 'DataQuality' || "
            "(!has(self.warn) || double(self.warn) < 1.0) && "
            "(!has(self.breach) || double(self.breach) < 1.0)",
            "DataQuality's warn and breach must be smaller than 1: they are shares of the rows",
        ),
        Rule(
            "!has(self.warn) || !has(self.breach) || double(self.warn) <= double(self.breach)",
            "warn must not be larger than breach",
        ),
        Rule(
            "(!has(self.warn) || double(self.warn) > 0.0) && "
            "(!has(self.breach) || double(self.breach) > 0.0)",
            "warn and breach must be larger than 0: no two samples are quite alike",
        ),
        Rule(
            "self.type != 'PredictionDrift' || "
            "(!has(self.warn) || double(self.warn) < 0.83) && "
            "(!has(self.breach) || double(self.breach) < 0.83)",
            "PredictionDrift's warn and breach must be smaller than 0.83: no two distributions "
            "are further apart",
        ),
        Rule(
            "self.type != 'MultivariateDrift' || "
            "(!has(self.warn) || (double(self.warn) > 0.5 && double(self.warn) < 1.0)) && "
            "(!has(self.breach) || (double(self.breach) > 0.5 && double(self.breach) < 1.0))",
            "MultivariateDrift's warn and breach must be between 0.5 (nothing can be told apart) "
            "and 1 (everything can): they are a ROC AUC",
        ),
        Rule(
            "self.type == 'MultivariateDrift' || !(has(self.interval) || has(self.credentialsRef))",
            "interval and credentialsRef belong to MultivariateDrift",
        ),
        Rule(  # CEL knows no days
            "!has(self.interval) || (!self.interval.contains('d') && "
            "duration(self.interval) >= duration('10m') && "
            "duration(self.interval) <= duration('168h'))",
            "interval must be between 10m and 168h: each look is a Job",
        ),
        Rule(
            "!has(self.min) || (double(self.min) > 0.0 && double(self.min) <= 1.0)",
            "min must be larger than 0 and at most 1: it is an accuracy or a ROC AUC",
        ),
        Rule(
            "!has(self.maxRelativeDrop) || "
            "(double(self.maxRelativeDrop) >= 0.0 && double(self.maxRelativeDrop) < 1.0)",
            "maxRelativeDrop must be at least 0 and smaller than 1",
        ),
        Rule(
            "!has(self.share) || (double(self.share) > 0.0 && double(self.share) <= 1.0)",
            "share must be larger than 0 and at most 1",
        ),
    )

    name: Name
    """What actions and the status call it."""
    type: Literal["DataDrift", "DataQuality", "MultivariateDrift", "PredictionDrift", "Performance"]
    """DataDrift: inputs against the reference (PSI). DataQuality: shares of missing values, of
    values outside the reference (levels never seen), and of invalid ones, each by how much it is
    larger than in the reference. MultivariateDrift: how well a classifier tells rows of the
    prediction log from training rows (ROC AUC, 0.5 to 1), by a Job: it sees relations between
    features. PredictionDrift: predictions against the reference (Jensen-Shannon distance, 0 to
    0.83). Performance: accuracy, or how well scores rank (`metric`), by feedback labels."""
    features: FeatureFilter | None = None
    warn: Decimal | None = None
    """From this value on the level is Warn, in the unit of the type; no such level, if absent."""
    breach: Decimal | None = None
    """From this value on the level is Breach, in the unit of the type."""
    share: Decimal | None = None
    """DataDrift: the share of features that must drift before the signal does; one, if absent."""
    metric: Literal["accuracy", "roc_auc"] | None = None
    """Performance: `accuracy` (if absent), or `roc_auc`: of a model of two labels, the chance that
    a positive has a higher score than a negative. Answers must have scores: the probabilities of
    Open Inference Protocol v2, or predictions that are numbers."""
    min: Decimal | None = None
    """Performance: the smallest accuracy or ROC AUC that is good enough."""
    max_relative_drop: Decimal | None = None
    """Performance: `"0.05"` allows 5 % less than the metric in the reference profile."""
    min_labelled: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Performance: fewer labels than this say nothing (100 if absent)."""
    interval: Duration | None = None
    """MultivariateDrift: how often a Job looks, and how much of the log it looks at (24h if
    absent)."""
    credentials_ref: LocalRef | None = None
    """MultivariateDrift: the Secret that the Job reads the prediction log with, which has to list
    and get objects; the log's own, if absent."""


class When(ApiModel):
    """What an action answers to."""

    signals: Annotated[tuple[Name, ...], Field(max_length=20)] = ()
    """Names of signals; any signal, if empty."""
    level: Literal["Warn", "Breach"] = "Breach"
    """The action is taken at this level or above."""


class Action(ApiModel):
    """What is done; the first action that matches is taken."""

    when: When
    do: Literal["Notify", "Retrain"]
    """Notify: an Event and a metric. Retrain: a TrainingJob from the Model's training template."""


class Retrain(ApiModel):
    """The bounds of retraining."""

    cooldown: Duration = "24h"
    """The time between two retrainings of a Model."""
    max_per_week: Annotated[int, Field(ge=1, le=100)] = 3
    """The most retrainings of a Model in seven days."""


class Sustain(ApiModel):
    """A level counts only when it was reached in `breaches` of the newest `of` evaluations."""

    model_config = validated(
        Rule("self.breaches <= self.of", "sustain.breaches must not be larger than sustain.of"),
    )

    breaches: Annotated[int, Field(ge=1, le=20)] = 2
    """How many must have reached the level."""
    of: Annotated[int, Field(ge=1, le=20)] = 3
    """How many are looked back at."""


class DriftPolicySpec(ApiModel):
    """What is watched, and what is done when it moves."""

    model_config = validated(
        Rule(
            "!self.actions.exists(a, a.do == 'Retrain') || has(self.retrain)",
            "retrain is required by an action that retrains: set its cooldown and maxPerWeek",
        ),
        Rule(
            "self.actions.all(a, !has(a.when.signals) || "
            "a.when.signals.all(n, self.signals.exists(s, s.name == n)))",
            "actions[].when.signals must name signals of this policy",
        ),
        Rule(
            "self.reference.seasonality == 'None' || "
            "self.signals.exists(s, s.type in ['DataDrift', 'PredictionDrift'])",
            "reference.seasonality needs a signal that it acts on: DataDrift or PredictionDrift",
        ),
    )

    mode: Literal["Advise", "Enforce"] = "Advise"
    """Advise decides and records; Enforce also acts."""
    selector: LabelSelector | None = None
    window: Window = Window()
    reference: Reference = Reference()
    false_alarms: FalseAlarms = FalseAlarms()
    signals: Annotated[
        tuple[Signal, ...], Field(min_length=1, max_length=20, json_schema_extra=list_map("name"))
    ]
    """What is watched of each Model."""
    sustain: Sustain = Sustain()
    actions: Annotated[tuple[Action, ...], Field(max_length=20)] = ()
    """The first of them that fits a signal and its level is taken."""
    retrain: Retrain | None = None


class FeatureValue(ApiModel):
    """How far one feature is from its reference, in several measures; none decides alone."""

    feature: str
    value: str
    """PSI, without the noise of so few rows; of DataQuality the share that was lost or is new; of
    MultivariateDrift by how much the AUC falls when the feature is shuffled."""
    lower: str | None = None
    upper: str | None = None
    """The PSI's 95 % interval for a single look; rows that come in clusters are discounted."""
    samples: int = 0
    jensen_shannon: str | None = None
    """Distance, 0 to 0.83."""
    kolmogorov_smirnov: str | None = None
    """Largest difference of the cumulative shares of the bins; numbers only."""
    wasserstein: str | None = None
    """By how many bins a row has moved on average; numbers only."""
    missing: str | None = None
    """Share of the rows without a value, now."""
    outside: str | None = None
    """Share of the rows with a value beyond the reference's range, or a level never seen."""
    invalid: str | None = None
    """Share of the rows with a value of the wrong type."""


class SignalStatus(ApiModel):
    """What one signal says of one Model."""

    name: str
    level: Literal["Ok", "Warn", "Breach", "Unknown"]
    value: str | None = None
    """PSI, distance, ROC AUC or accuracy."""
    lower: str | None = None
    upper: str | None = None
    """An interval for the accuracy or the AUC (Performance, MultivariateDrift)."""
    samples: int = 0
    message: str = ""
    top: tuple[FeatureValue, ...] = ()
    """The features that moved most."""


class Look(ApiModel):
    """What a Job has found out for a MultivariateDrift signal."""

    signal: str
    revision: str
    through: str
    """Rows of the interval up to this time were compared with the reference."""
    auc: str | None = None
    """How well a row of the log is told from one of the reference; absent if nobody knows."""
    samples: int = 0
    """Rows that were judged; the others taught the classifier."""
    clustering: str = "1"
    """How many rows count as one, because they came together."""
    top: tuple[FeatureValue, ...] = ()
    """The features that tell most."""
    message: str = ""
    """Why nothing was compared."""


class ActionStatus(ApiModel):
    """What was done last, or would have been done (mode Advise)."""

    do: str
    at: str
    reason: str
    message: str = ""
    training_job: str | None = None


class SeasonStatus(ApiModel):
    """What the reference knows of the hours that `reference.seasonality` asks for."""

    source: Literal["Profile", "Traffic"]
    """Profile: the training data's timestamps. Traffic: learned from the stable revision."""
    known: int
    """How many hours have any rows."""
    of: int
    """24 or 168."""
    provisional: bool = False
    """Whether hours are still being learned."""
    message: str = ""


class ModelDrift(ApiModel):
    """What the policy says of one Model."""

    name: str
    level: Literal["Ok", "Warn", "Breach", "Unknown"]
    cause: str = ""
    """What has happened to the world, read from all signals together: Healthy, SharedDrift, Decay,
    ConceptDrift, BrokenData, Inconclusive."""
    signals: Annotated[tuple[SignalStatus, ...], Field(json_schema_extra=list_map("name"))] = ()
    season: SeasonStatus | None = None
    recent: tuple[str, ...] = ()
    """The newest evaluations of the stable revision, newest last: the window's last slot, the
    revision, each `signal=level`."""
    looks: tuple[Look, ...] = ()
    """The newest looks of each MultivariateDrift signal, newest last."""
    active: str = ""
    """The action that the present level has led to; it is taken anew only after a change."""
    last_action: ActionStatus | None = None
    next_retrain_allowed_at: str | None = None


class DriftPolicyStatus(ApiModel):
    """What the policy has seen and done."""

    observed_generation: int = 0
    level: str = ""
    watched: int = 0
    last_action: str = ""
    """The newest action in words, for the printed table."""
    models: Annotated[tuple[ModelDrift, ...], Field(json_schema_extra=list_map("name"))] = ()
    conditions: Annotated[tuple[Condition, ...], Field(json_schema_extra=list_map("type"))] = ()


class DriftPolicy(ApiModel):
    """Watches Models for drift and decay, and retrains within bounds."""

    model_config = validated(NAME_FITS_LABEL)

    metadata: ObjectMeta
    spec: DriftPolicySpec
    status: DriftPolicyStatus = DriftPolicyStatus()

    def matches(self, model: Model) -> bool:
        """Whether the Model names this policy or, if it names none, the selector selects it."""
        ref = model.spec.monitoring.drift_policy_ref
        if ref is not None:
            return ref.name == self.metadata.name
        wanted = self.spec.selector.match_labels if self.spec.selector else {}
        return bool(wanted) and wanted.items() <= model.metadata.labels.items()


def policy_of(model: Model, policies: Iterable[DriftPolicy]) -> DriftPolicy | None:
    """The one policy that watches the Model: of those that match it, the first by name.

    Two would act on it, each within bounds of its own.
    """
    matching = (p for p in policies if p.matches(model))
    return min(matching, key=lambda p: p.metadata.name, default=None)
