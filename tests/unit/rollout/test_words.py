"""Evidence in words: the numbers that people need, in their units."""

import pytest

from tidegate.api.v1alpha1.analysis import Metric
from tidegate.api.v1alpha1.model_status import MetricStatus
from tidegate.rollout.words import compared, counted, told

ERRORS = Metric(
    name="errors", source="ErrorRate", max_absolute_increase="0.005", on_breach="Rollback"
)
RATIO = Metric(name="errors", source="ErrorRate", max_relative_increase="0.5", on_breach="Rollback")
LATENCY = Metric(
    name="latency",
    source="LatencyQuantile",
    quantile="0.99",
    max_relative_increase="0.25",
    on_breach="Rollback",
)


def seen(metric: Metric, **changes: object) -> MetricStatus:
    status = MetricStatus(
        name=metric.name,
        source=metric.source,
        verdict="Fail",
        samples=812,
        stable_samples=7340,
        events=31,
        stable_events=4,
    )
    return status.model_copy(update=changes)


def test_errors_are_counted_on_both_sides() -> None:
    assert counted(seen(ERRORS), ERRORS) == (
        "31 errors in 812 requests (3.82 %) against 4 in 7,340 (0.0545 %) on stable in the same "
        "minutes."
    )


def test_a_difference_of_rates_is_told_in_points() -> None:
    result = seen(ERRORS, estimate="0.0376", lower="0.021", upper="0.058", tolerance="+0.005")
    assert compared(result) == (
        "The candidate fails 2.1 to 5.8 percentage points more often; tolerance 0.5."
    )


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        ("-0.03", "-0.01", "1 to 3 percentage points less often"),
        ("-0.001", "0.002", "-0.1 to 0.2 percentage points more (negative: less) often"),
    ],
)
def test_a_candidate_may_be_better(lower: str, upper: str, words: str) -> None:
    result = seen(ERRORS, estimate="-0.01", lower=lower, upper=upper, tolerance="+0.005")
    assert words in compared(result)


def test_a_ratio_is_told_as_times() -> None:
    result = seen(RATIO, estimate="62", lower="8.1", upper="139", tolerance="+50%")
    assert compared(result) == (
        "The candidate's error rate is 9.1 to 140 times stable's, tolerance 1.5."
    )


def test_latency_names_the_quantile() -> None:
    result = seen(LATENCY, events=90, stable_events=74, estimate="0.41", tolerance="+25%")
    assert counted(result, LATENCY).startswith("90 of 812 requests were slower than stable's p99")
    assert compared(result) == "At that quantile it is about 41% slower; tolerance +25%."
    sure = result.model_copy(update={"lower": "-0.05", "upper": "0.9"})
    assert "about 41% slower (between 5% faster and 90% slower)" in compared(sure)


def test_pairs_are_told_as_what_both_were_asked() -> None:
    metric = Metric(name="agreement", source="PairedDisagreement", max_rate="0.1", on_breach="Hold")
    numbers = {"estimate": "0.1523", "lower": "0.111", "upper": "0.2", "tolerance": "0.1"}
    result = seen(metric, events=None, stable_events=None, **numbers)
    assert counted(result, metric) == "812 requests were answered by both revisions."
    assert compared(result) == "They disagree on 15.2 % of them (11.1 % to 20 %), tolerance 10 %."


def test_nothing_compared_is_said() -> None:
    assert "Nothing" in counted(seen(ERRORS, samples=0), ERRORS)
    assert compared(seen(ERRORS, estimate=None)) == ""


@pytest.mark.parametrize("source", ["ErrorRate", "LatencyQuantile", "PairedDisagreement", "Other"])
@pytest.mark.parametrize("tolerance", ["", "None", "+5%", "-0.1"])
def test_whatever_an_old_object_lacks_there_are_words(source: str, tolerance: str) -> None:
    bare = MetricStatus(name="m", source=source, verdict="Fail", estimate="0.1")
    assert told(bare.model_copy(update={"tolerance": tolerance, "samples": 5, "events": None}))


def valued(**changes: object) -> MetricStatus:
    status = MetricStatus(
        name="conversion",
        source="Prometheus",
        verdict="Inconclusive",
        samples=4120,
        stable_samples=37000,
        value="0.0412",
        stable_value="0.0438",
        windows=38,
        missing=0,
        tolerance="-5%",
    )
    return status.model_copy(update=changes)


def test_values_are_told_as_means_of_windows() -> None:
    assert counted(valued()) == (
        "0.0412 against 0.0438 on stable, the means of 38 windows with 4,120 and 37,000 requests."
    )
    assert counted(valued(missing=2)).endswith(" requests. 2 windows had no value.")
    assert counted(valued(windows=0, missing=2, samples=0)) == (
        "No window could be compared yet. 2 windows had no value."
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lower": "-0.094", "upper": "-0.02"}, "2 % to 9.4 % lower; tolerance -5%"),
        ({"lower": "0.01", "upper": "0.2"}, "1 % to 20 % higher; tolerance -5%"),
        ({"lower": "-0.1", "upper": "0.2"}, "between 10 % lower and 20 % higher"),
        ({}, "about 5.94 % lower"),
        ({"tolerance": "-0.002", "lower": "-0.004", "upper": "0.001"},
         "between 0.004 lower and 0.001 higher; tolerance -0.002"),
    ],
)  # fmt: skip
def test_a_mean_is_told_in_the_unit_of_its_tolerance(changes: dict[str, str], words: str) -> None:
    assert words in compared(valued(estimate="-0.0594", **changes))
