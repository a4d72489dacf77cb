"""What is compared between a candidate and the stable revision, and how sure it has to be."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tidegate.api.meta import ApiModel, Decimal, Duration, Name, Rule, list_map, validated


class Range(ApiModel):
    """The values that a metric can have; those beyond count as the nearest bound."""

    model_config = validated(
        Rule("double(self.min) < double(self.max)", "range.min must be smaller than range.max"),
    )

    min: Decimal
    """The smallest value."""
    max: Decimal
    """As narrow as is true: evidence comes in proportion to the tolerance's part of the range."""


class Metric(ApiModel):
    """One comparison of the candidate with the stable revision, over the same minutes."""

    model_config = validated(
        Rule(
            "self.source != 'ErrorRate' || "
            "has(self.maxAbsoluteIncrease) != has(self.maxRelativeIncrease)",
            "ErrorRate takes exactly one of maxAbsoluteIncrease and maxRelativeIncrease",
        ),
        Rule(
            "self.source != 'LatencyQuantile' || "
            "(has(self.quantile) && has(self.maxRelativeIncrease))",
            "LatencyQuantile takes quantile and maxRelativeIncrease",
        ),
        Rule(
            "self.source != 'PredictionShift' || has(self.maxDistance)",
            "PredictionShift takes maxDistance",
        ),
        Rule(
            "self.source != 'LabelledAccuracy' || has(self.maxAbsoluteDrop)",
            "LabelledAccuracy takes maxAbsoluteDrop",
        ),
        Rule(
            "self.source != 'PairedDisagreement' || has(self.maxRate)",
            "PairedDisagreement takes maxRate",
        ),
        Rule(
            "self.source != 'Prometheus' || (has(self.query) && has(self.range) && "
            "[has(self.maxAbsoluteIncrease), has(self.maxRelativeIncrease), "
            "has(self.maxAbsoluteDrop), has(self.maxRelativeDrop)].filter(x, x).size() == 1)",
            "Prometheus takes query, range and exactly one of maxAbsoluteIncrease, "
            "maxRelativeIncrease, maxAbsoluteDrop and maxRelativeDrop",
        ),
        Rule(
            "(self.source in ['ErrorRate', 'Prometheus'] || !has(self.maxAbsoluteIncrease)) && "
            "(self.source in ['ErrorRate', 'LatencyQuantile', 'Prometheus'] "
            "|| !has(self.maxRelativeIncrease)) && "
            "(self.source == 'LatencyQuantile' || !has(self.quantile)) && "
            "(self.source == 'PredictionShift' || !has(self.maxDistance)) && "
            "(self.source in ['LabelledAccuracy', 'Prometheus'] || !has(self.maxAbsoluteDrop)) && "
            "(self.source == 'PairedDisagreement' || !has(self.maxRate)) && "
            "(self.source == 'Prometheus' || (!has(self.maxRelativeDrop) && !has(self.query) "
            "&& !has(self.window) && !has(self.range)))",
            "a metric takes only the tolerance of its source: remove the other fields",
        ),
        Rule(
            "(!has(self.maxAbsoluteIncrease) || double(self.maxAbsoluteIncrease) > 0.0) && "
            "(!has(self.maxRelativeIncrease) || double(self.maxRelativeIncrease) > 0.0) && "
            "(!has(self.maxDistance) || double(self.maxDistance) > 0.0) && "
            "(!has(self.maxAbsoluteDrop) || double(self.maxAbsoluteDrop) > 0.0) && "
            "(!has(self.maxRelativeDrop) || double(self.maxRelativeDrop) > 0.0) && "
            "(!has(self.maxRate) || double(self.maxRate) > 0.0)",
            "a tolerance must be larger than 0: no number of samples proves that nothing changed",
        ),
        Rule(
            "!has(self.maxDistance) || double(self.maxDistance) < 0.83",
            "maxDistance must be smaller than 0.83: no two distributions are further apart",
        ),
        Rule(
            "self.source == 'Prometheus' || "
            "((!has(self.maxAbsoluteIncrease) || double(self.maxAbsoluteIncrease) < 1.0) && "
            "(!has(self.maxAbsoluteDrop) || double(self.maxAbsoluteDrop) < 1.0) && "
            "(!has(self.maxRate) || double(self.maxRate) < 1.0))",
            "maxAbsoluteIncrease, maxAbsoluteDrop and maxRate must be smaller than 1: they are "
            "shares of all requests, not percentages",
        ),
        Rule(
            "!has(self.quantile) || "
            "(double(self.quantile) >= 0.5 && double(self.quantile) <= 0.999)",
            "quantile must be between 0.5 and 0.999",
        ),
        Rule(
            "self.source != 'LatencyQuantile' || !has(self.maxRelativeIncrease) "
            "|| double(self.maxRelativeIncrease) >= 0.1",
            "LatencyQuantile's maxRelativeIncrease must be at least 0.1: below that, a slower node "
            "would roll back good models",
        ),
        Rule(
            "!has(self.query) || self.query.contains('{{revision}}')",
            "query must say {{revision}} where the revision's name belongs: it is asked once for "
            "each of the two",
        ),
        Rule(
            "!has(self.query) || !self.query.replace('{{revision}}', '')"
            ".replace('{{namespace}}', '').replace('{{window}}', '').contains('{{')",
            "query takes {{revision}}, {{namespace}} and {{window}}; nothing else is filled in",
        ),
        Rule(
            "!has(self.query) || !self.query.matches('\\\\[ *[0-9]+(ms|[smhdwy])')",
            "query must say [{{window}}] in place of a length of time: values that share requests "
            "are no independent evidence",
        ),
        Rule(
            "!has(self.window) || (self.window.matches('^([0-9]+m)?([0-9]+s)?$') "
            "&& duration(self.window) >= duration('10s') "
            "&& duration(self.window) <= duration('15m') "
            "&& duration(self.window).getSeconds() % 10 == 0)",
            "window must be a multiple of 10s, at most 15m, such as 30s or 2m",
        ),
        Rule(
            "!has(self.range) || ("
            "(!has(self.maxAbsoluteIncrease) || double(self.maxAbsoluteIncrease) "
            "< double(self.range.max) - double(self.range.min)) && "
            "(!has(self.maxAbsoluteDrop) || double(self.maxAbsoluteDrop) "
            "< double(self.range.max) - double(self.range.min)) && "
            "(!has(self.maxRelativeIncrease) || double(self.range.min) "
            "* (1.0 + double(self.maxRelativeIncrease)) < double(self.range.max)) && "
            "(!has(self.maxRelativeDrop) || double(self.range.min) "
            "< double(self.range.max) * (1.0 - double(self.maxRelativeDrop))))",
            "the tolerance must be smaller than the range: no value could ever break it",
        ),
        Rule(
            "!has(self.range) || double(self.range.min) >= 0.0 || "
            "(!has(self.maxRelativeIncrease) && !has(self.maxRelativeDrop))",
            "a relative tolerance needs a range.min of at least 0: a share of a negative value "
            "means nothing",
        ),
    )

    name: Name
    """What the status and decisions call it."""
    source: Literal[
        "ErrorRate",
        "LatencyQuantile",
        "PredictionShift",
        "LabelledAccuracy",
        "PairedDisagreement",
        "Prometheus",
    ]
    """ErrorRate: answers 5xx, 400, 422, or none. LatencyQuantile: seconds in the model.
    PredictionShift: distance of the predictions. LabelledAccuracy: right answers, by feedback.
    PairedDisagreement: of the requests that both were asked, those with different answers.
    Prometheus: any number that the operator's Prometheus knows of each revision."""
    query: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """Prometheus: PromQL that gives one number for the revision named {{revision}}, over the last
    {{window}}; {{namespace}} is the Model's. Make it a ratio or a mean: the arms differ in traffic.
    """
    window: Duration | None = None
    """Prometheus: the time that one value is about, `1m` if absent; each window is asked for once.
    """
    range: Range | None = None
    """Prometheus: between what all values lie."""
    quantile: Decimal | None = None
    """LatencyQuantile: which one, 0.5 to 0.999, such as `"0.99"`."""
    max_absolute_increase: Decimal | None = None
    """ErrorRate: `"0.005"` allows half a percentage point more errors than stable has.
    Prometheus: the same in the unit of the query."""
    max_relative_increase: Decimal | None = None
    """`"0.2"` allows 20 % more than stable has."""
    max_distance: Decimal | None = None
    """PredictionShift: the largest Jensen-Shannon distance (0 to 0.83, base e) to stable's."""
    max_absolute_drop: Decimal | None = None
    """LabelledAccuracy: `"0.02"` allows two percentage points less than stable has.
    Prometheus: the same in the unit of the query."""
    max_relative_drop: Decimal | None = None
    """Prometheus: `"0.05"` allows 5 % less than stable has."""
    max_rate: Decimal | None = None
    """PairedDisagreement: `"0.1"` allows every tenth request to be answered differently."""
    on_breach: Literal["Rollback", "Hold"]
    """What a Fail does: Rollback, or Hold at the present weight until somebody decides."""


class Analysis(ApiModel):
    """The evidence that decides; it is weighed in the background of every step."""

    model_config = validated(
        Rule("double(self.alpha) > 0.0 && double(self.alpha) <= 0.2", "alpha must be in (0, 0.2]"),
        Rule("double(self.beta) > 0.0 && double(self.beta) <= 0.2", "beta must be in (0, 0.2]"),
    )

    alpha: Decimal = "0.01"
    """Probability that a good candidate is rolled back: whole rollout, all metrics together."""
    beta: Decimal = "0.05"
    """Probability that a metric passes a candidate that is worse than its tolerance."""
    min_samples: Annotated[int, Field(ge=1, le=10_000_000)] = 300
    """No metric passes on fewer samples of the candidate."""
    max_requests_per_session: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """The most requests that one value of the sticky header sends in the course of a rollout. The
    evidence is divided by it, so that one unhappy caller does not count as that many."""
    on_inconclusive: Literal["Hold", "Rollback", "Advance"] = "Hold"
    """What an analysis step does after its timeout."""
    metrics: (
        Annotated[tuple[Metric, ...], Field(max_length=20, json_schema_extra=list_map("name"))]
        | None
    ) = None
    """Absent: errors and latency with default tolerances. Empty: no analysis (Guarded=False)."""
